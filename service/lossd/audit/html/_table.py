"""Tables."""

from collections.abc import Iterable, Sequence

from lossd.audit.html._markup import Html, element, joined

_MOST_CALM = 5  # columns that fit a narrow screen


def table(
    caption: str,
    heads: Sequence[str],
    rows: Iterable[Sequence[str]],
    *,
    words: int = 1,
    wide: bool = False,
) -> Html:
    """A table whose first `words` columns are words and whose others are numbers.

    A word in the first column is the head of its row. A wide table scrolls within itself, and
    so does one of `wide` heads.
    """
    head = [
        element("th", each, scope="col", class_="words" if i < words else None)
        for i, each in enumerate(heads)
    ]
    body = [element("tr", *(_cell(i, each, words) for i, each in enumerate(row))) for row in rows]
    whole = element(
        "table",
        element("caption", caption),
        element("thead", element("tr", *head)),
        element("tbody", *body),
    )
    if len(heads) <= _MOST_CALM and not wide:
        return whole
    return element("div", whole, class_="scroll", tabindex="0", role="region", aria_label=caption)


def _cell(i: int, text: str, words: int) -> Html:
    if i >= words:
        return element("td", text)
    inner = element("bdi", text)
    return element("td", inner, class_="words") if i else element("th", inner, scope="row")


def pairs(rows: Iterable[tuple[str, str | None]]) -> Html:
    """Names and what they are; those that are None are left out."""
    return element(
        "dl",
        joined(
            *(
                element("div", element("dt", name), element("dd", element("bdi", value)))
                for name, value in rows
                if value is not None
            )
        ),
    )
