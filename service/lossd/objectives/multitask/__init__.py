"""Multi-task balancing: one file per method, each a function of what is known of K tasks.

`pcgrad.py` holds `pcgrad` and answers `/v1/multitask/pcgrad`.
"""

from lossd.losses import discover
from lossd.objectives.multitask._balance import Balanced as Balanced
from lossd.objectives.multitask._balance import balance as balance
from lossd.objectives.multitask._balance import compare as compare
from lossd.objectives.multitask._balance import residual_of as residual_of
from lossd.objectives.multitask._catalog import METHODS as METHODS
from lossd.objectives.multitask._catalog import Method as Method
from lossd.objectives.multitask._catalog import MethodParams as MethodParams
from lossd.objectives.multitask._catalog import describe as describe
from lossd.objectives.multitask._catalog import find as find
from lossd.objectives.multitask._certificate import Certificate as Certificate
from lossd.objectives.multitask._message import read_tasks as read_tasks
from lossd.objectives.multitask._message import to_fields as to_fields
from lossd.objectives.multitask._message import to_message as to_message
from lossd.objectives.multitask._tasks import MOST_TASKS as MOST_TASKS
from lossd.objectives.multitask._tasks import Tasks as Tasks

discover(__name__, __path__)
