"""All files of an audit, block after block; what every one of them must have in common."""

from collections.abc import Callable, Generator, Iterator
from dataclasses import dataclass, field
from functools import cache
from typing import Any, Self

import pyarrow as pa

from lossd.cli.predictions._source import BATCH_BYTES, Kinds, Source, refusing
from lossd.cli.predictions.columns import Columns, Reader, Wanted, find_columns, placed
from lossd.cli.predictions.opening import STANDARD_INPUT, opening
from lossd.cli.predictions.values import decoded
from lossd.errors import BadOption, WrongShape


@dataclass(frozen=True, slots=True)
class Shard:
    """One of several workers: units of files (row groups, blocks) are dealt out in turn."""

    number: int = 0
    of: int = 1

    def __post_init__(self) -> None:
        if not 0 <= self.number < self.of:
            raise BadOption(
                "no such shard", at="shard", expected="i/n with 0 <= i < n", got=str(self)
            )

    def __str__(self) -> str:
        return f"{self.number}/{self.of}"

    @classmethod
    def parse(cls, text: str) -> Self:
        """`i/n`. Raises `BadOption`."""
        number, slash, of = text.partition("/")
        if not (slash and number.isdecimal() and of.isdecimal() and len(text) < 20):
            raise BadOption(
                "no such shard", at="shard", expected="i/n with 0 <= i < n", got=text[:100]
            )
        return cls(int(number), int(of))


@dataclass(frozen=True, slots=True)
class Block:
    """Rows for `Audit.add`: its arguments, and the number of the first over all files."""

    fields: dict[str, Any]
    first_row: int
    columns: Columns
    file: str
    first_in_file: int

    def __len__(self) -> int:
        return len(self.fields["labels"])

    def placed(self) -> Any:
        """A block in which errors of the audit name this file."""
        return placed(self.columns, self.file, self.first_in_file)


@dataclass
class Predictions:
    """Files in the order of their names, which numbers their rows.

    All files but standard input are opened at once, so that a column that is missing from the last
    one is known before the first is read. Raises `LossdError`, as do the methods.
    """

    files: list[str]
    wanted: Wanted
    input_format: str | None = None
    classes: tuple[str, ...] | None = None
    rows: int | None = field(init=False, default=0)  # None where only reading would tell

    def __post_init__(self) -> None:
        self._scores: tuple[str, ...] | None = None
        if self.files == [STANDARD_INPUT]:
            self.rows = None
            return
        for file in self.files:
            with opening(file, self.input_format) as source:
                self._check(source, file)
                is_known = self.rows is not None and source.rows is not None
                self.rows = self.rows + source.rows if is_known else None  # type: ignore[operator]

    def blocks(self, shard: Shard) -> Iterator[Block]:
        """Blocks of a shard's rows."""
        turn = 0

        def mine() -> bool:
            nonlocal turn
            turn += 1
            return (turn - 1) % shard.of == shard.number

        first, reader = 0, None
        for file in self.files:
            with opening(file, self.input_format) as source:
                columns = self._check(source, file)
                reader = reader or Reader(self.classes, cache(self._length_of))
                first += yield from self._of_file(file, source, columns, reader, first, mine)

    def embedding_size(self) -> int | None:
        """The features of the embeddings, by the first rows that there are, if there are."""
        for block in self.blocks(Shard()):
            return int(block.fields["embeddings"].shape[1])
        return None

    def _check(self, source: Source, file: str) -> Columns:
        columns = find_columns(self.wanted, source.names, file)
        if self._scores is None:
            self._scores = columns.scores
            self.classes = columns.class_names(self.classes, file)
        if columns.scores != self._scores:
            raise WrongShape(
                "the columns of the scores are not those of the files before",
                at=f"{file}: column {self.wanted.scores}",
                expected=", ".join(self._scores)[:200],
                got=", ".join(columns.scores)[:200],
            )
        return columns

    def _of_file(
        self,
        file: str,
        source: Source,
        columns: Columns,
        reader: Reader,
        first: int,
        mine: Callable[[], bool],
    ) -> Generator[Block, None, int]:
        kinds: Kinds = columns.kinds
        if self.classes is not None:
            kinds = {**kinds, self.wanted.label: "named"}
        batches = source.read(kinds, mine)
        while True:
            with refusing(file):
                try:
                    start, batch = next(batches)
                except StopIteration as end:
                    rows: int = end.value
                    return rows
            for place, piece in _pieces(start, batch, columns, reader):
                with refusing(file):
                    fields = reader.fields(piece, columns, file, place)
                yield Block(fields, first + place, columns, file, place)

    def _length_of(self, column: str) -> int | None:
        """The length of the first of a column's lists that is not null; None if there is none.

        Files are read again for it, as far as need be; standard input cannot be.
        """
        for file in self.files if self.files != [STANDARD_INPUT] else ():
            with opening(file, self.input_format) as source, refusing(file):
                for _, batch in source.read({column: "any"}, lambda: True):
                    present = decoded(batch.column(column)).drop_null()
                    if len(present):
                        return len(present[0]) if isinstance(present[0], pa.ListScalar) else None
        return None


def _pieces(start: int, batch: Any, columns: Columns, reader: Reader) -> Iterator[tuple[int, Any]]:
    """A batch; in pieces where it is of null lists, which are larger as numbers."""
    if not batch.num_rows:
        return
    size = max(1, reader.bytes_of_nothing(batch, columns))
    rows = max(1, min(batch.num_rows, batch.num_rows * BATCH_BYTES // size))
    for at in range(0, batch.num_rows, rows):
        yield start + at, batch.slice(at, rows)
