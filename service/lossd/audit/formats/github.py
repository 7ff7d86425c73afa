"""A report for GitHub Actions: a step summary, and lines that become annotations."""

from lossd.audit.report import Report

MOST_BYTES = 1 << 20


def render(report: Report) -> str:
    """The step summary: Markdown of 1 MiB of UTF-8 at most."""
    raise NotImplementedError


def annotations(report: Report) -> str:
    """Lines to print to standard output, ten at most; empty where there is nothing to say."""
    raise NotImplementedError
