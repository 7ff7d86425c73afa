"""The ratios that the benchmark is about: what is divided by what, and how good it should be."""

from collections.abc import Sequence
from dataclasses import dataclass
from statistics import median, quantiles
from typing import Any


@dataclass(frozen=True)
class Target:
    """`mine / theirs` of one figure in one section.

    `reach` is what is aimed for, `floor` the least that is accepted; at most if `lower` is better.
    """

    section: str
    name: str
    figure: str
    mine: str
    theirs: str
    reach: float
    floor: float
    lower: bool = False

    def verdict(self, ratio: float | None) -> str:
        if ratio is None:
            return "not measured"
        sign = -1 if self.lower else 1
        if sign * ratio >= sign * self.reach:
            return "reached"
        return "above the floor" if sign * ratio >= sign * self.floor else "missed"


TARGETS = (
    Target("small_json", "requests per second to plain FastAPI, its answer declared",
           "requests_per_s", "lossd", "plain", 11, 7),
    Target("small_json", "requests per second to plain FastAPI, its answer a dict",
           "requests_per_s", "lossd", "plain_dict", 11, 7),
    Target("small_json", "requests per second to an empty FastAPI route", "requests_per_s",
           "lossd", "empty", 1, 1),
    Target("small_latency", "p50 to plain FastAPI, its answer declared", "p50_us",
           "lossd", "plain", 0.2, 0.35, True),
    Target("small_latency", "p50 to plain FastAPI, its answer a dict", "p50_us",
           "lossd", "plain_dict", 0.2, 0.35, True),
    Target("large_binary", "p50 of the SDK to Triton", "p50_us",
           "lossd_sdk", "triton_tritonclient", 0.25, 0.5, True),
    Target("large_binary", "p50 to Triton, both by tritonclient", "p50_us",
           "lossd_tritonclient", "triton_tritonclient", 0.25, 0.5, True),
    Target("large_json", "p50 to MLServer", "p50_us", "lossd", "mlserver", 0.25, 0.5, True),
    Target("shared_memory", "rows per second to Triton", "rows_per_s",
           "lossd", "triton", 2.5, 1.5),
    Target("workers", "requests per second of two workers to one", "requests_per_s",
           "two_workers", "one_worker", 1.7, 1.5),
)  # fmt: skip


def ratio_line(
    target: Target, mine: Sequence[float] | None, theirs: Sequence[float] | None
) -> dict[str, Any]:
    """The median of the ratios round by round, and their quartiles."""
    line: dict[str, Any] = {"kind": "target", "target": target.name, "figure": target.figure,
                            "mine": target.mine, "theirs": target.theirs}  # fmt: skip
    ratio = None
    if mine and theirs:
        ratios = [a / b for a, b in zip(mine, theirs, strict=True)]
        ratio = round(median(ratios), 3)
        if len(ratios) > 1:
            low, _, high = quantiles(ratios, n=4, method="inclusive")
            line["quartiles"] = [round(low, 3), round(high, 3)]
    return {**line, "ratio": ratio, "reach": target.reach, "floor": target.floor,
            "verdict": target.verdict(ratio)}  # fmt: skip
