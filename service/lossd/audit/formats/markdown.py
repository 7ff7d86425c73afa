"""A report as Markdown."""

from lossd.audit.report import Report


def render(report: Report) -> str:
    """The whole of it."""
    raise NotImplementedError
