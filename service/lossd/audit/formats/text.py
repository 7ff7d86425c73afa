"""A report for a terminal."""

from lossd.audit.report import Report


def render(report: Report, *, colours: bool = False) -> str:
    """The whole of it."""
    raise NotImplementedError
