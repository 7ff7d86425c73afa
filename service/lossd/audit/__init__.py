"""Judges a model's outputs: a fold over rows, whose states merge. Knows no files, no terminals."""

from lossd.audit.checking import check as check
from lossd.audit.fold import Audit as Audit
from lossd.audit.report import Report as Report
from lossd.audit.report import report_of as report_of
from lossd.audit.setup import Setup as Setup
from lossd.audit.state import State as State
from lossd.audit.state import load as load
