"""How much a page shows. Every cap that cut something is printed where it cut."""

from dataclasses import dataclass, fields
from typing import Self

from lossd.audit.html._markup import shortened, shortened_name


@dataclass(frozen=True, slots=True)
class Caps:
    """The most of each thing."""

    findings: int = 40
    gates: int = 60
    confused: int = 10  # classes of the heat map
    classes: int = 20
    suspects: int = 30
    columns: int = 8  # of slices
    slices: int = 14  # of a column
    flips: int = 12
    others: int = 40  # lines of what has no section of its own
    name: int = 60  # characters of a name, an id, a slice's value
    sentence: int = 600  # characters

    def named(self, name: int | str) -> str:
        """A name of others, short enough to show."""
        return shortened_name(str(name), self.name)

    def said(self, sentence: str) -> str:
        """A sentence of others, short enough to show."""
        return shortened(sentence, self.sentence)

    def halved(self) -> Self:
        """For a page that came out too large."""
        return type(self)(*(max(1, getattr(self, each.name) // 2) for each in fields(self)))


USUAL = Caps()
