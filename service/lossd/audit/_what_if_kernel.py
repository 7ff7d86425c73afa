"""What other losses want to know of a row that measuring it does not tell."""

import math
from typing import Any

from lossd.compiled import compiled, inlined

SPREAD, POSSIBLE, ADJUSTED, ADJUSTED_NORM = range(4)


@inlined()
def _logit(x: float, logits: bool) -> float:
    if logits:
        return x
    return math.log(x) if x > 0.0 else -math.inf


@inlined()
def _adjust(z: Any, label: int, logits: bool, prior: Any, found: Any, i: int) -> None:
    most = -math.inf
    for j in range(z.size):
        most = max(most, _logit(float(z[j]), logits) + prior[j])
    others, squares = 0.0, 0.0
    for j in range(z.size):
        e = math.exp(_logit(float(z[j]), logits) + prior[j] - most)
        if j != label:
            others += e
            squares += e * e
    lead = _logit(float(z[label]), logits) + prior[label] - most
    own = math.exp(lead)
    total = others + own
    found[ADJUSTED, i] = math.log1p(others if lead == 0.0 else total - 1.0) - lead
    found[ADJUSTED_NORM, i] = math.sqrt(others * others + squares) / total


@inlined()
def _all(scores: Any, labels: Any, logits: bool, shift: Any, prior: Any, found: Any) -> None:
    for i in range(labels.size):
        total, possible = 0.0, 0
        for j in range(scores.shape[1]):
            each = _logit(float(scores[i, j]), logits)
            if each > -math.inf:
                total += shift[i] - each
                possible += 1
        found[SPREAD, i] = total / possible if possible else math.inf
        found[POSSIBLE, i] = possible
        if prior.size and possible:
            _adjust(scores[i], labels[i], logits, prior, found, i)


@compiled(
    "void(Array(float32, 2, 'C', readonly=True), Array(int64, 1, 'C', readonly=True), boolean,"
    " float64[::1], float64[::1], float64[:, ::1])"
)
def look_float32(
    scores: Any, labels: Any, logits: bool, shift: Any, prior: Any, found: Any
) -> None:
    """Fill `found`: the mean of -log p over the possible classes, and how many these are.

    `prior` is added to the logits: if it is not empty, of these the cross-entropy and the norm of
    its gradient.
    """
    _all(scores, labels, logits, shift, prior, found)


@compiled(
    "void(Array(float64, 2, 'C', readonly=True), Array(int64, 1, 'C', readonly=True), boolean,"
    " float64[::1], float64[::1], float64[:, ::1])"
)
def look_float64(
    scores: Any, labels: Any, logits: bool, shift: Any, prior: Any, found: Any
) -> None:
    """The same of float64."""
    _all(scores, labels, logits, shift, prior, found)
