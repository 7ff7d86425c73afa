"""What parts of the page share."""

from collections.abc import Mapping
from typing import Any

from lossd.audit.html._caps import Caps
from lossd.audit.html._markup import Child, Html, element
from lossd.audit.html._numbers import count
from lossd.audit.report import Report


def part(key: str, heading: str, *children: Child) -> Html:
    """A section of the page."""
    head = element("h2", heading, id=f"{key}-heading")
    return element("section", head, *children, id=key, aria_labelledby=f"{key}-heading")


def said(*children: Child) -> Html:
    """A sentence, or several."""
    return element("p", *children)


def capped(shown: int, all_: int, nouns: str, rest: str = "") -> Html | None:
    """Says that not all are shown; None where they are."""
    if shown >= all_:
        return None
    words = f"{count(shown)} of {count(all_)} {nouns} are shown{rest}."
    return element("p", words, class_="cap")


def class_name(report: Report, caps: Caps, class_: int | str) -> str:
    """The name of a class, which results may give by its number."""
    names = report.setup.get("classes")
    if isinstance(class_, int) and names is not None and 0 <= class_ < len(names):
        class_ = names[class_]
    return caps.named(class_)


def result(report: Report, name: str) -> Mapping[str, Any] | None:
    """What a metric gave; None where it was not asked for."""
    return report.results.get(name)
