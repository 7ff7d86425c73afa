"""What figures share: the frame, scales, axes."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass

from lossd.audit.html._markup import Html, element, joined
from lossd.audit.html._numbers import tick_label

WIDTH = 360.0  # of every figure: the width of a small screen, so that text stays readable there
EDGE = 4.0


@dataclass(frozen=True, slots=True)
class Scale:
    """A straight line from numbers to places."""

    low: float
    high: float
    start: float
    end: float

    def __call__(self, value: float) -> float:
        """The place of a number; the ends for those outside."""
        span = self.high - self.low
        share = (value - self.low) / span if span > 0 else 0.5
        return self.start + min(max(share, 0.0), 1.0) * (self.end - self.start)


def figure(
    key: str,
    title: str,
    description: str,
    height: float,
    drawing: Sequence[Html | None],
    twin: Html,
) -> Html:
    """A drawing, named for those who do not see it, over its numbers as a table.

    `key` must be the only one of its kind on a page.
    """
    drawn = element(
        "svg",
        element("title", title, id=f"{key}-title"),
        element("desc", description, id=f"{key}-description"),
        *drawing,
        viewBox=f"0 0 {WIDTH:g} {height:g}",
        role="img",
        aria_labelledby=f"{key}-title {key}-description",
    )
    shown = element("details", element("summary", "The numbers as a table"), twin)
    return element("figure", element("figcaption", title), drawn, shown, id=key)


def line(x1: float, y1: float, x2: float, y2: float, class_: str) -> Html:
    """A straight line."""
    return element("line", x1=x1, y1=y1, x2=x2, y2=y2, class_=class_)


def text(x: float, y: float, words: str, class_: str = "") -> Html:
    """Words; `class_` may say where they are held: `middle`, `end`."""
    return element("text", words, x=x, y=y, class_=class_ or None)


def axis_below(
    scale: Scale, y: float, at: Sequence[float], label: Callable[[float], str] = tick_label
) -> Html:
    """An axis under a plot, with its numbers."""
    return joined(
        line(scale.start, y, scale.end, y, "axis"),
        *(
            joined(
                line(scale(each), y, scale(each), y + 4, "axis"),
                text(scale(each), y + 16, label(each), "middle"),
            )
            for each in at
        ),
    )


def axis_left(
    scale: Scale,
    x: float,
    right: float,
    at: Sequence[float],
    label: Callable[[float], str] = tick_label,
) -> Html:
    """Numbers at the left of a plot, each with a faint line through it."""
    return joined(
        *(
            joined(
                line(x, scale(each), right, scale(each), "grid"),
                text(x - 6, scale(each) + 4, label(each), "end"),
            )
            for each in at
        )
    )
