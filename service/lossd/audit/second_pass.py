"""All label issues, exactly: the rows once more, with the thresholds of the first pass.

second = SecondPass(audit.state())
for chunk in chunks:
    issues = second.add(chunk.logits, chunk.labels)   # those of the chunk, in its order
second.result()                                       # how many, and the joint
"""

import os
from collections.abc import Iterable, Iterator
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, fields
from typing import Any, Self

import numpy as np
from numpy.typing import ArrayLike, NDArray

from lossd.audit import _second_pass_kernel as kernel
from lossd.audit import confident
from lossd.audit.chunk import Chunk, chunk_of
from lossd.audit.confident import TOLERANCE, Rule
from lossd.audit.ids import Ids
from lossd.audit.metrics import Pieces, Whole
from lossd.audit.metrics._label_issues_result import doubts_of, scores_of, thresholds_of
from lossd.audit.rows import Rows, measure
from lossd.audit.setup import Setup
from lossd.audit.state import State
from lossd.errors import BadOption

RULES: dict[Rule, int] = {
    "argmax": kernel.ARGMAX,
    "cleanlab": kernel.CLEANLAB,
    "paper": kernel.PAPER,
}
_BLOCK_ELEMENTS = 1 << 18


@dataclass(frozen=True, slots=True)
class Issues:
    """Rows that look mislabelled, in the order that they came.

    `label`, `suggested` are class numbers (int64); `score` is the ranking's, the lower the more
    suspected; `probability` is of the label, `suggested_probability` of the suggested class.
    """

    ids: Ids
    label: NDArray[np.int64]
    suggested: NDArray[np.int64]
    score: NDArray[np.float64]
    probability: NDArray[np.float64]
    suggested_probability: NDArray[np.float64]

    def __len__(self) -> int:
        return len(self.label)

    @classmethod
    def joined(cls, parts: Iterable[Self]) -> Self:
        """All of some, one after another; at least one."""
        columns = zip(
            *([getattr(each, f.name) for f in fields(cls)] for each in parts), strict=True
        )
        return cls(*(np.concatenate(each) for each in columns))


class SecondPass:
    """Lists the issues of rows, chunk by chunk. Holds counts only.

    `confident` are the rows by (label, confident class); it is empty where classes are more than
    `dense_classes`. `thresholds` are the classes' own, 2 where no row has the label.

    - `rule`: a class is confident in a row if its probability reaches the class's threshold. With
      `cleanlab`, of several the row's largest probability is meant, and rows whose label has that
      one are no issues; with `paper`, the largest of the confident ones, and they may be; with
      `argmax`, as in the first pass, only the class of the row's largest probability can be
      confident.
    - `threads`: 0 is one per core.

    Raises `BadOption` where the state has no `label_issues`.
    """

    def __init__(self, state: State, *, rule: Rule = "cleanlab", threads: int = 0) -> None:
        if "label_issues" not in state.pieces or state.classes is None:
            raise BadOption(
                "there is nothing to take thresholds from",
                at="metrics",
                expected="label_issues, and rows",
                got=", ".join(state.pieces) or "no rows",
            )
        if rule not in RULES:
            raise BadOption("no such rule", at="rule", expected=", ".join(RULES), got=str(rule))
        pieces: Pieces = state.pieces["label_issues"]
        kept = {"scores", "classes", "has_ids", "issue_ranking"}
        self._setup = Setup(**state.setup.model_dump(include=kept))
        self._classes, self._rule = state.classes, rule
        self.thresholds = thresholds_of(pieces)
        self._doubts = doubts_of(pieces, Whole(state.setup, state.classes, state.rows))
        self._labels: NDArray[np.int64] = pieces["labels"].values
        self._next_row = 0
        self.rows, self.count = 0, 0
        is_counted = state.classes <= state.setup.dense_classes
        size = state.classes if is_counted else 0
        self.confident = np.zeros((size, size), np.int64)
        self._pool = ThreadPoolExecutor(threads or os.cpu_count() or 1)

    def close(self) -> None:
        """Let the threads go."""
        self._pool.shutdown()

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *error: object) -> None:
        self.close()

    def add(
        self,
        scores: ArrayLike,
        labels: ArrayLike,
        *,
        ids: ArrayLike | None = None,
        first_row: int | None = None,
    ) -> Issues:
        """The issues of rows, which are the first pass's once more, in any order or cut.

        Without ids a row is known by its number, as with `Audit.add`. Raises `WrongShape`,
        `WrongDtype`, `MissingInput`, `UnexpectedInput`, at the argument's name.
        """
        start = self._next_row if first_row is None else first_row
        chunk = chunk_of(self._setup, scores, labels, first_row=start, ids=ids)
        self._next_row = start + len(chunk)
        return self.add_chunk(chunk)

    def add_chunk(self, chunk: Chunk) -> Issues:
        """The issues of a chunk, whose ids are its own."""
        rows = max(1, _BLOCK_ELEMENTS // chunk.scores.shape[1])
        starts = range(0, max(len(chunk), 1), rows)
        blocks = [chunk.rows(slice(start, start + rows)) for start in starts]
        parts = []
        for seen, confident_counts, issues in self._pool.map(self._block, blocks):
            self.rows += seen
            self.count += len(issues)
            self.confident += confident_counts
            parts.append(issues)
        return Issues.joined(parts)

    def merge(self, other: "SecondPass") -> None:
        """Add another's counts, of other rows of the same audit."""
        self.rows += other.rows
        self.count += other.count
        self.confident += other.confident

    def result(self) -> dict[str, Any]:
        """JSON values: `count`, `share`, `rule`, and the joint where classes are not too many."""
        joint = None
        if len(self.confident) and self.rows:
            joint = confident.joint(self.confident.astype(np.float64), self._labels)
        return {
            "count": self.count,
            "share": self.count / self.rows if self.rows else None,
            "rows": self.rows,
            "rule": self._rule,
            "noise_rate": None if joint is None else confident.noise_rate(joint),
            "joint": None if joint is None else joint.tolist(),
        }

    def _block(self, chunk: Chunk) -> tuple[int, NDArray[np.int64], Issues]:
        rows = measure(chunk, self._setup.scores)
        guesses = self._guesses(rows)
        sure = guesses >= 0
        counts = np.zeros_like(self.confident)
        if len(counts):
            places = (rows.labels * self._classes + guesses)[sure]
            counts += np.bincount(places, minlength=counts.size).reshape(counts.shape)
        is_issue = sure & (guesses != rows.labels)
        if self._rule != "paper":
            is_issue &= rows.margin < -TOLERANCE
        return len(rows), counts, self._issues(rows, np.flatnonzero(is_issue), guesses)

    def _guesses(self, rows: Rows) -> NDArray[np.int64]:
        """The confident class of each row, or -1; logits are compared as they are."""
        cuts = self.thresholds - TOLERANCE
        if self._setup.scores == "logits":
            cuts = np.log(cuts)
        guesses = np.empty(len(rows), np.int64)
        is_single = rows.scores.dtype == np.float32
        run = kernel.guess_float32 if is_single else kernel.guess_float64
        run(rows.scores, rows.log_sum_exp, cuts, rows.predicted, RULES[self._rule], guesses)
        return guesses

    def _issues(self, rows: Rows, which: NDArray[np.int64], guesses: NDArray[np.int64]) -> Issues:
        log_p, label, suggested = rows.log_p[which], rows.labels[which], guesses[which]
        p = rows.scores[which, suggested].astype(np.float64)
        if self._setup.scores == "logits":
            p = np.exp(p - rows.log_sum_exp[which])
        score = scores_of(
            self._setup.issue_ranking, log_p, p, rows.margin[which], rows.residual[which]
        )
        if self._doubts is not None:
            score = score - self._doubts[label, suggested]
        return Issues(rows.ids[which], label, suggested, score, np.exp(log_p), p)


def issues_of(
    state: State, chunks: Iterable[Chunk], *, rule: Rule = "cleanlab"
) -> Iterator[Issues]:
    """The issues of each chunk, as it comes: for who needs no counts."""
    with SecondPass(state, rule=rule) as second:
        for chunk in chunks:
            yield second.add_chunk(chunk)
