"""`Audit`: rows in, a report out."""

import os
from collections.abc import Mapping
from concurrent.futures import ThreadPoolExecutor
from types import TracebackType
from typing import Any, Self

from numpy.typing import ArrayLike

from lossd.audit.chunk import Chunk, chunk_of
from lossd.audit.report import Report, report_of
from lossd.audit.setup import Setup
from lossd.audit.state import State

_BLOCK_ELEMENTS = 1 << 18  # of scores that are folded at once: they stay in the cache
_FEWEST_ROWS = 16  # of a block: the row kernel measures so many together


class Audit:
    """Judges a model's outputs, chunk by chunk, in constant memory.

        audit = Audit(classes=("cat", "dog"))
        audit.add(logits, labels)
        print(audit.report().to_json())

    Options are those of `Setup`. The report does not depend on how rows are cut into chunks, on
    their order, or on `threads` (0: one per core).
    """

    def __init__(self, setup: Setup | None = None, *, threads: int = 0, **options: Any) -> None:
        self.setup = setup or Setup(**options)
        self._threads = threads or os.cpu_count() or 1
        self._states = [State(self.setup) for _ in range(self._threads)]
        self._pool = ThreadPoolExecutor(self._threads) if self._threads > 1 else None
        self._next_row = 0

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self.close()

    def close(self) -> None:
        """Let the threads go."""
        if self._pool is not None:
            self._pool.shutdown()

    def add(
        self,
        scores: ArrayLike,
        labels: ArrayLike,
        *,
        ids: ArrayLike | None = None,
        weights: ArrayLike | None = None,
        slices: Mapping[str, ArrayLike] | None = None,
        embeddings: ArrayLike | None = None,
        first_row: int | None = None,
    ) -> None:
        """Fold rows in. Without ids a row is known by its number, counted from `first_row`.

        `first_row` is where the rows of the calls before ended, unless it is given. Raises
        `WrongShape`, `WrongDtype`, `MissingInput`, `UnexpectedInput`, at the argument's name.
        """
        start = self._next_row if first_row is None else first_row
        chunk = chunk_of(
            self.setup,
            scores,
            labels,
            first_row=start,
            ids=ids,
            weights=weights,
            slices=slices,
            embeddings=embeddings,
        )
        self._next_row = start + len(chunk)
        self.add_chunk(chunk)

    def add_chunk(self, chunk: Chunk) -> None:
        """Fold a chunk in, whose ids are its own."""
        rows = max(_FEWEST_ROWS, _BLOCK_ELEMENTS // chunk.scores.shape[1])
        blocks = [slice(start, start + rows) for start in range(0, len(chunk), rows)]

        def work(i: int) -> None:
            for block in blocks[i :: self._threads]:
                self._states[i].add(chunk.rows(block))

        if self._pool is None or len(blocks) < 2:
            self._states[0].add(chunk)
            return
        for done in [self._pool.submit(work, i) for i in range(self._threads)]:
            done.result()

    def merge(self, state: State) -> None:
        """Fold a state in. Raises `BadOption`, `WrongShape` where it is of another audit."""
        self._states[0].merge(state)

    def state(self) -> State:
        """All that was added, as one state."""
        whole = State(self.setup)
        for each in self._states:
            whole.merge(each)
        return whole

    def report(self) -> Report:
        """The report of all that was added. Raises `BadOption` if there was nothing."""
        return report_of(self.state())
