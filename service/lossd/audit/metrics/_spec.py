"""What a metric is: pieces that rows are added to, and what becomes of them in the end."""

from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass
from typing import Any, Literal

from lossd.audit.pieces import Piece
from lossd.audit.rows import Rows
from lossd.audit.setup import Setup

Pieces = Mapping[str, Any]  # of `Piece`, which each metric knows as what it made
Severity = Literal["info", "warning", "error"]


@dataclass(frozen=True, slots=True)
class Finding:
    """Something that a person should know, as a sentence. `code` is stable.

    `ids` are some of the rows that it is about, ten at most; `count` is how many there are.
    """

    code: str
    severity: Severity
    sentence: str
    ids: tuple[int | str, ...] = ()
    count: int | None = None


@dataclass(frozen=True, slots=True)
class Whole:
    """What a metric may know of the audit as it ends."""

    setup: Setup
    classes: int
    rows: int  # usable ones

    def name_of(self, class_: int) -> str:
        """The name of a class, or its number."""
        names = self.setup.classes
        return str(class_) if names is None else names[class_]


def _nothing(result: Mapping[str, Any], whole: Whole) -> Iterable[Finding]:
    return ()


@dataclass(frozen=True, slots=True, kw_only=True)
class Metric:
    """One metric; a file each.

    - `start` makes empty pieces, of a number of classes; all that is ever kept is in them.
    - `add` adds usable rows to them, some hundred to some ten thousand at a time.
    - `finish` gives the result: JSON values, None in place of what is not defined. It must not
      change the pieces.
    - `findings` says what there is to say of the result, under these `codes`.
    """

    name: str
    summary: str
    start: Callable[[Setup, int], dict[str, Piece]]
    add: Callable[[Pieces, Rows, Setup], None]
    finish: Callable[[Pieces, Whole], dict[str, Any]]
    findings: Callable[[Mapping[str, Any], Whole], Iterable[Finding]] = _nothing
    codes: tuple[str, ...] = ()
    default: bool = True
