"""Which class is confident in a row, by a rule."""

from typing import Any

from lossd.compiled import called, compiled

ARGMAX, CLEANLAB, PAPER = range(3)
NONE = -1


@called()
def _guess(z: Any, offset: float, cuts: Any, predicted: int, rule: int) -> int:
    """The confident class of a row, or -1."""
    if rule == ARGMAX:
        return predicted if float(z[predicted]) - offset >= cuts[predicted] else NONE
    best, many = NONE, 0
    for j in range(z.size):
        if float(z[j]) - offset >= cuts[j]:
            many += 1
            if best == NONE or z[j] > z[best]:
                best = j
    return predicted if many > 1 and rule == CLEANLAB else best


@called()
def _all(scores: Any, offsets: Any, cuts: Any, predicted: Any, rule: int, guesses: Any) -> None:
    for i in range(scores.shape[0]):
        guesses[i] = _guess(scores[i], offsets[i], cuts, predicted[i], rule)


@compiled(
    "void(Array(float32, 2, 'C', readonly=True), float64[::1], float64[::1], int64[::1], int64,"
    " int64[::1])"
)
def guess_float32(
    scores: Any, offsets: Any, cuts: Any, predicted: Any, rule: int, guesses: Any
) -> None:
    """Fill in the confident class of each row of float32, or -1."""
    _all(scores, offsets, cuts, predicted, rule, guesses)


@compiled(
    "void(Array(float64, 2, 'C', readonly=True), float64[::1], float64[::1], int64[::1], int64,"
    " int64[::1])"
)
def guess_float64(
    scores: Any, offsets: Any, cuts: Any, predicted: Any, rule: int, guesses: Any
) -> None:
    """Fill in the confident class of each row of float64, or -1."""
    _all(scores, offsets, cuts, predicted, rule, guesses)
