"""What per_class and per_slice say of a group of rows, and how it is held against the rest."""

from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from fractions import Fraction
from typing import Any

from lossd.audit.intervals import wilson
from lossd.audit.metrics._spec import Finding
from lossd.audit.metrics._words import p_value, percent
from lossd.audit.moments import of_losses
from lossd.audit.significance import FALSE_DISCOVERY_RATE, adjusted, two_shares

FEWEST = 30  # rows of a group that is tested
_WORST_TOLD = 10


@dataclass(frozen=True, slots=True)
class Group:
    """Some rows: how many, how many right, how many with a loss; sums of it and of its square."""

    count: int
    correct: int
    finite: int
    total: Fraction
    squares: Fraction

    def described(self) -> dict[str, Any]:
        """Counts, accuracy and mean loss, with intervals."""
        loss = of_losses(self.count, self.finite, self.total, self.squares)
        return {
            "count": self.count,
            "accuracy": self.correct / self.count if self.count else None,
            "accuracy_interval": wilson(self.correct, self.count),
            "mean_loss": loss.mean,
            "mean_loss_interval": loss.interval,
        }


def tested(
    counts: Sequence[tuple[int, int]], rows: int, correct: int, untold: int = 0
) -> Iterable[dict[str, Any]]:
    """For each group of (count, correct): its accuracy against that of all other rows.

    Fisher's exact test, two-sided, corrected after Benjamini and Hochberg for all of them and for
    `untold` more. Groups of fewer than `FEWEST` rows, or against fewer, are not tested.
    """
    p_values = [
        two_shares(hits, count, correct - hits, rows - count)
        if FEWEST <= count <= rows - FEWEST
        else None
        for count, hits in counts
    ]
    asked = [each for each in p_values if each is not None]
    corrected = iter(adjusted([*asked, *[1.0] * untold]))
    for (count, hits), p in zip(counts, p_values, strict=True):
        q = None if p is None else next(corrected)
        yield {
            "accuracy_elsewhere": (correct - hits) / (rows - count) if rows > count else None,
            "p_value": p,
            "adjusted_p_value": q,
            "rejected": q is not None and q <= FALSE_DISCOVERY_RATE,
        }


def is_worse(group: dict[str, Any], points: float, times: float) -> bool:
    """Significantly less accurate, by so much at least and with so many times the errors."""
    if not group["rejected"]:
        return False
    own, elsewhere = 1 - group["accuracy"], 1 - group["accuracy_elsewhere"]
    return bool(own - elsewhere >= points and own >= times * elsewhere)


def findings(
    code: str, worse: Iterable[tuple[str, dict[str, Any]]], of: int, plural: str
) -> Iterator[Finding]:
    """Of the worst groups, each with where it is, one each; of the others together.

    `of` is how many were asked, `plural` what they are. Counts are of rows.
    """
    order = sorted(
        worse,
        key=lambda each: (each[1]["accuracy"] - each[1]["accuracy_elsewhere"]) * each[1]["count"],
    )
    for where, group in order[:_WORST_TOLD]:
        yield Finding(code, "warning", _sentence(where, group, of), (), group["count"])
    if untold := order[_WORST_TOLD:]:
        more = f"{len(untold)} more {plural} are significantly less accurate than the rest."
        yield Finding(code, "warning", more, (), sum(group["count"] for _, group in untold))


def _sentence(where: str, group: dict[str, Any], of: int) -> str:
    """How a group is worse. `of` is how many were asked."""
    low, high = group["accuracy_interval"]
    return (
        f"{where} accuracy is {percent(group['accuracy'])} ({percent(low)} to {percent(high)}, of"
        f" {group['count']} rows), and {percent(group['accuracy_elsewhere'])} elsewhere"
        f" (p {p_value(group['adjusted_p_value'])}, corrected for {of} tests)."
    )
