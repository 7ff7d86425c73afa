"""The report as one self-contained HTML file."""

from lossd.audit.html._page import MOST_BYTES, render

__all__ = ["MOST_BYTES", "render"]
