"""What metrics read: the usable rows of a chunk, measured once."""

from collections.abc import Mapping
from dataclasses import dataclass
from functools import cached_property
from typing import Any

import numpy as np
from numpy.typing import NDArray

from lossd.audit import _columns as at
from lossd.audit._row_kernel import measure_float32, measure_float64
from lossd.audit.chunk import Chunk, SliceColumn
from lossd.audit.ids import Ids, hash_of
from lossd.audit.pieces.sums import MOST
from lossd.audit.row_losses import RowLoss
from lossd.audit.setup import Scores

FAULTS = {
    at.NOT_FINITE: "not_finite",
    at.IMPOSSIBLE: "no_possible_class",
    at.BAD_LABEL: "label_out_of_range",
}


@dataclass(frozen=True)
class Rejected:
    """Rows that no metric reads: what is wrong with each, and its id."""

    faults: NDArray[np.uint8]
    ids: Ids


@dataclass(frozen=True)
class Rows:
    """Usable rows, in the order that they came. All columns are float64 but where said.

    - `loss`: the one that is audited; NaN where it is not defined.
    - `log_p`: the log-probability of the label; -inf where it is 0. `miss`: 1 - p, without loss
      near p = 1.
    - `confidence`: the largest probability. `margin`: the label's probability minus the largest
      other. `entropy`: in nats. `residual`: |p - onehot|^2, the square of EL2N.
    - `log_sum_exp`: of logits; 0 of probabilities. `largest`, `smallest`, `total`: of the scores.
    - `predicted`, `rank` (int64): the class of the largest score, the lowest of equals; how many
      classes are before the label in that order.
    """

    scores: NDArray[Any]
    labels: NDArray[np.int64]
    ids: Ids
    weights: NDArray[np.float64] | None
    slices: Mapping[str, SliceColumn]
    embeddings: NDArray[Any] | None
    loss: NDArray[np.float64]
    log_p: NDArray[np.float64]
    miss: NDArray[np.float64]
    confidence: NDArray[np.float64]
    margin: NDArray[np.float64]
    entropy: NDArray[np.float64]
    residual: NDArray[np.float64]
    log_sum_exp: NDArray[np.float64]
    largest: NDArray[np.float64]
    smallest: NDArray[np.float64]
    total: NDArray[np.float64]
    predicted: NDArray[np.int64]
    rank: NDArray[np.int64]
    seen: int
    rejected: Rejected

    def __len__(self) -> int:
        return len(self.labels)

    @cached_property
    def hashes(self) -> NDArray[np.uint64]:
        """64 bits of each row's id."""
        return hash_of(self.ids)

    @cached_property
    def correct(self) -> NDArray[np.bool_]:
        """Whether the label is the class of the largest score."""
        found: NDArray[np.bool_] = self.predicted == self.labels
        return found

    @cached_property
    def has_loss(self) -> NDArray[np.bool_]:
        """Whether the loss is a number that can be summed: not infinite, nor beyond 2^62."""
        found: NDArray[np.bool_] = np.abs(self.loss) < MOST
        return found

    @cached_property
    def finite_loss(self) -> NDArray[np.float64]:
        """The loss, and 0 where it cannot be summed."""
        return self.loss if self.has_loss.all() else np.where(self.has_loss, self.loss, 0.0)

    @cached_property
    def squared_loss(self) -> NDArray[np.float64]:
        """The square of the loss, and 0 where it cannot be summed."""
        found: NDArray[np.float64] = np.square(self.finite_loss)
        return found


def measure(chunk: Chunk, scores: Scores, loss: RowLoss | None = None) -> Rows:
    """The usable rows of a chunk, and why the others are not. The loss is cross-entropy, or one."""
    n = len(chunk)
    columns = np.empty((at.FLOATS, n))
    predicted, rank = np.empty(n, np.int64), np.empty(n, np.int64)
    faults = np.empty(n, np.uint8)
    run = measure_float32 if chunk.scores.dtype == np.float32 else measure_float64
    run(chunk.scores, chunk.labels, scores == "logits", columns, predicted, rank, faults)
    rejected = faults != at.USABLE
    if not rejected.any():
        why = Rejected(faults[:0], chunk.ids[:0])
        return _rows(chunk, columns, predicted, rank, n, why, loss)
    kept = np.flatnonzero(~rejected)
    whole = np.ascontiguousarray(columns[:, kept])
    why = Rejected(faults[rejected], chunk.ids[rejected])
    return _rows(chunk.rows(kept), whole, predicted[kept], rank[kept], n, why, loss)


def _rows(
    chunk: Chunk,
    columns: NDArray[np.float64],
    predicted: NDArray[np.int64],
    rank: NDArray[np.int64],
    seen: int,
    rejected: Rejected,
    loss: RowLoss | None,
) -> Rows:
    return Rows(
        chunk.scores,
        chunk.labels,
        chunk.ids,
        chunk.weights,
        chunk.slices,
        chunk.embeddings,
        0.0 - columns[at.LOG_P] if loss is None else loss(chunk.scores, chunk.labels),
        columns[at.LOG_P],
        columns[at.MISS],
        columns[at.CONFIDENCE],
        columns[at.MARGIN],
        columns[at.ENTROPY],
        columns[at.RESIDUAL],
        columns[at.LOG_SUM_EXP],
        columns[at.LARGEST],
        columns[at.SMALLEST],
        columns[at.TOTAL],
        predicted,
        rank,
        seen,
        rejected,
    )
