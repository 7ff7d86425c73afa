"""HTML and SVG from Python: whatever is not `Html` is escaped."""

import html
import re
import unicodedata

_VOID = frozenset({"meta", "link", "br"})
# Controls, lone surrogates and marks that turn the direction of the text after them.
_UNFIT = re.compile(
    "[\x00-\x08\x0b-\x1f\x7f-\x9f\u202a-\u202e\u2066-\u2069\ud800-\udfff\ufffe\uffff]"
)
_ELLIPSIS = "\N{HORIZONTAL ELLIPSIS}"


class Html(str):
    """Text that is markup already. Only this module makes it."""

    __slots__ = ()


Child = str | None  # None is left out
Attribute = str | float | bool | None  # None and False are left out


def escaped(text: str) -> Html:
    """Text as markup that shows it; what no page may hold is shown as U+FFFD."""
    if isinstance(text, Html):
        return text
    return Html(html.escape(_UNFIT.sub("\N{REPLACEMENT CHARACTER}", text)))


def joined(*children: Child) -> Html:
    """Pieces after one another."""
    return Html("".join(escaped(child) for child in children if child is not None))


def _attribute(name: str, value: Attribute) -> str:
    if value is None or value is False:
        return ""
    name = name.rstrip("_").replace("_", "-")
    if value is True:
        return f" {name}"
    text = value if isinstance(value, str) else f"{round(value, 2):.10g}"
    return f' {name}="{escaped(text)}"'


def element(name: str, *children: Child, **attributes: Attribute) -> Html:
    """One element. `class_` is the attribute class, `aria_label` is aria-label."""
    opening = f"<{name}{''.join(_attribute(*each) for each in attributes.items())}>"
    return Html(opening if name in _VOID else f"{opening}{joined(*children)}</{name}>")


def style(text: str) -> Html:
    """Our own style sheet, whose text no parser unescapes. Never for text of others."""
    return Html(f"<style>{text}</style>")


def _fitting(text: str, columns: int) -> int:
    """How many letters fit into so many columns; wide ones take two."""
    width = 0
    for i, letter in enumerate(text[: columns + 1]):
        width += 2 if unicodedata.east_asian_width(letter) in "WF" else 1
        if width > columns:
            return i
    return len(text)


def shortened(text: str, columns: int, *, tail: int = 0) -> str:
    """At most so many columns of text, of which `tail` are its end; an ellipsis where it is cut."""
    if _fitting(text, columns) == len(text):
        return text
    last = text[-1 : -1 - tail : -1]
    end = last[: _fitting(last, tail)][::-1]
    return text[: _fitting(text, max(1, columns - tail - 1))] + _ELLIPSIS + end


def shortened_name(name: str, columns: int) -> str:
    """A name without its middle: names of one kind often differ in their ends."""
    return shortened(name, columns, tail=columns * 2 // 5)
