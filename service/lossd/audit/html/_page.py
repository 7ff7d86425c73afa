"""The whole page: one file that fetches nothing and runs nothing."""

import base64
import hashlib
from functools import cache
from pathlib import Path

from lossd.audit.html._caps import USUAL, Caps
from lossd.audit.html._markup import Html, element, joined, style
from lossd.audit.html.sections.calibration import calibration
from lossd.audit.html.sections.comparison import comparison, drift
from lossd.audit.html.sections.confusion import confusion
from lossd.audit.html.sections.groups import classes, slices
from lossd.audit.html.sections.losses import distributions, gradients, losses
from lossd.audit.html.sections.made import made, others
from lossd.audit.html.sections.suspects import suspects
from lossd.audit.html.sections.top import findings, gates, header
from lossd.audit.report import Report

MOST_BYTES = 150_000

_PARTS = (
    ("findings", "Findings", findings),
    ("gates", "Gates", gates),
    ("losses", "Losses", losses),
    ("distributions", "Sureness", distributions),
    ("calibration", "Calibration", calibration),
    ("confusions", "Confusion", confusion),
    ("classes", "Classes", classes),
    ("gradients", "Gradients", gradients),
    ("suspects", "Suspicious labels", suspects),
    ("slices", "Slices", slices),
    ("comparison", "Comparison", comparison),
    ("drift", "Drift", drift),
    ("others", "Other metrics", others),
    ("made", "How this was made", made),
)


def render(report: Report) -> str:
    """The report as one HTML file of at most 150,000 bytes of UTF-8, the same for the same report.

    What is left out to keep it so is said on the page.
    """
    caps = USUAL
    while len((page := _page(report, caps)).encode()) > MOST_BYTES:
        caps = caps.halved()
    return str(page)


def _page(report: Report, caps: Caps) -> Html:
    parts = [(key, name, of(report, caps)) for key, name, of in _PARTS]
    shown = [(key, name, each) for key, name, each in parts if each is not None]
    links = [element("li", element("a", name, href=f"#{key}")) for key, name, _ in shown]
    body = element(
        "body",
        element("a", "To the findings", href="#findings", class_="skip"),
        element(
            "main",
            header(report),
            element("nav", element("ul", *links), aria_label="Parts of this report"),
            *(each for _, _, each in shown),
        ),
    )
    title = f"{report.verdict}: audit of {report.rows:,} rows"
    return joined(Html("<!DOCTYPE html>\n"), element("html", _head(title), body, lang="en"), "\n")


def _head(title: str) -> Html:
    sheet, digest = _style()
    allowed = f"default-src 'none'; style-src 'sha256-{digest}'; img-src data:; "
    allowed += "base-uri 'none'; form-action 'none'"
    return element(
        "head",
        element("meta", charset="utf-8"),
        element("meta", http_equiv="Content-Security-Policy", content=allowed),
        element("meta", name_="viewport", content="width=device-width, initial-scale=1"),
        element("meta", name_="color-scheme", content="light dark"),
        element("meta", name_="referrer", content="no-referrer"),
        element("title", title),
        element("link", rel="icon", href="data:,"),
        style(sheet),
    )


@cache
def _style() -> tuple[str, str]:
    """The style sheet, and its digest for the policy that allows no other."""
    sheet = Path(__file__).with_name("style.css").read_text(encoding="utf-8")
    return sheet, base64.b64encode(hashlib.sha256(sheet.encode()).digest()).decode()
