"""Counts rows by class and by pair of classes, in bins of their confidence."""

from typing import Any

from lossd.compiled import compiled, inlined


@inlined()
def _place(p: float, bits: int, bits_of_rest: int, layout: Any) -> Any:
    """`Bins.place`, of the bits of p and of 1 - p."""
    shift, low_first, up_first, lows, count = layout
    if p < 0.5:
        return min(max((bits >> shift) - low_first, 0), max(lows - 1, 0))
    return min(max(count - 1 - ((bits_of_rest >> shift) - up_first), lows), count - 1)


@compiled(
    "void(float64[::1], int64[::1], int64[::1], Array(int64, 1, 'C', readonly=True), int64[::1],"
    " float64[::1], float64, int64[::1], int64[:, :, ::1], int64[::1], int64[:, :, ::1])"
)
def count(
    confidence: Any,
    bits: Any,
    bits_of_rest: Any,
    labels: Any,
    predicted: Any,
    margin: Any,
    least_margin: float,
    class_layout: Any,
    by_class: Any,
    pair_layout: Any,
    by_pair: Any,
) -> None:
    """Add rows to `by_class` (predicted, contradicted, bin) and `by_pair` (label, predicted, bin).

    A row is contradicted if its margin is below `least_margin`. `by_pair` may be empty.
    """
    fine = (class_layout[0], class_layout[1], class_layout[2], class_layout[3], class_layout[4])
    rough = (pair_layout[0], pair_layout[1], pair_layout[2], pair_layout[3], pair_layout[4])
    for i in range(labels.size):
        p, own, rest = confidence[i], bits[i], bits_of_rest[i]
        contradicted = 1 if margin[i] < least_margin else 0
        by_class[predicted[i], contradicted, _place(p, own, rest, fine)] += 1
        if by_pair.size:
            by_pair[labels[i], predicted[i], _place(p, own, rest, rough)] += 1
