"""A report for GitHub Actions: a step summary, and lines that become annotations."""

from collections.abc import Iterator

from lossd.audit.formats import markdown
from lossd.audit.formats._outline import printable
from lossd.audit.report import Report

MOST_BYTES = 1 << 20  # of a step summary; a longer one is dropped whole
MOST_ANNOTATIONS = 10  # of a step, of each kind; we take no more in all
_LETTERS = 1_000
_LEVELS = {"fail": "error", "inconclusive": "warning", "warn": "warning"}
_CUT = "\n\n*The report is longer; the rest was cut here.*\n"


def render(report: Report) -> str:
    """The step summary: Markdown of 1 MiB of UTF-8 at most."""
    whole = markdown.render(report)
    if len(whole.encode()) <= MOST_BYTES:
        return whole
    start = whole.encode()[: MOST_BYTES - len(_CUT.encode())].decode(errors="ignore")
    return start.rpartition("\n")[0] + _CUT


def annotations(report: Report) -> str:
    """Lines to print to standard output, ten at most; empty where there is nothing to say.

    Gates come first, those that failed before others; then findings that are errors or warnings.
    """
    lines = list(_lines(report))
    if len(lines) > MOST_ANNOTATIONS:
        rest = len(lines) - MOST_ANNOTATIONS + 1
        more = _command("warning", "lossd audit", f"{rest} more are in the report.")
        lines = [*lines[: MOST_ANNOTATIONS - 1], more]
    return "".join(f"{each}\n" for each in lines)


def _lines(report: Report) -> Iterator[str]:
    for verdict, level in _LEVELS.items():
        for gate in report.gates:
            if gate.verdict == verdict:
                yield _command(level, f"gate {verdict}: {gate.name}", gate.sentence)
    for finding in report.findings:
        if finding.severity != "info":
            level = "error" if finding.severity == "error" else "warning"
            yield _command(level, finding.code, finding.sentence)


def _command(level: str, title: str, message: str) -> str:
    name = _data(printable(title, 200)).replace(":", "%3A").replace(",", "%2C")
    return f"::{level} title={name}::{_data(printable(message, _LETTERS))}"


def _data(text: str) -> str:
    return text.replace("%", "%25").replace("\r", "%0D").replace("\n", "%0A")
