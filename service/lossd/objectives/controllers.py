"""Controllers: coefficients that follow the terms' own values. State in, state out, no step."""

import math
from collections.abc import Mapping
from dataclasses import dataclass
from types import MappingProxyType
from typing import Any, Self

from pydantic import Field, model_validator

from lossd.objectives.schedules import ScheduleParams

FIELDS = frozenset({"of", "state"})  # what is said beside the parameters


class LossRatio(ScheduleParams):
    """Parameters of `loss_ratio`."""

    ratio: float = Field(gt=0, le=1e12, description="Weighted value over the other term's value.")
    momentum: float = Field(
        0.9, ge=0, lt=1, description="How much of the averages stays at each call."
    )
    low: float = Field(0.0, ge=0, description="The least coefficient.")
    high: float = Field(1e4, ge=0, description="The largest coefficient.")

    @model_validator(mode="after")
    def check(self) -> Self:
        """Raises `ValueError` where the bounds are the wrong way round."""
        if self.low > self.high:
            raise ValueError("low must not be above high")
        return self


class LossRatioState(ScheduleParams):
    """Both averages; null until there was a value."""

    term: float | None = Field(None, ge=0)
    other: float | None = Field(None, ge=0)


@dataclass(frozen=True, slots=True)
class Controller:
    """What follows the values: how it is described, its parameters and its state."""

    name: str
    params: type[LossRatio]
    state: type[LossRatioState]
    formula: str
    summary: str
    source: str

    def step(
        self, at: LossRatio, state: LossRatioState, value: float | None, other: float | None
    ) -> tuple[float, LossRatioState]:
        """The coefficient and the new state, of a term's value and another's.

        A value that is null or not finite leaves its average as it is. While one of both is not
        known the coefficient is `low`; where the term's is 0 and the other's is not, `high`.
        """
        m = _average(state.term, value, at.momentum)
        m_other = _average(state.other, other, at.momentum)
        new = LossRatioState(term=m, other=m_other)
        if not m or m_other is None:
            return (at.high if m == 0 and m_other else at.low), new
        return min(max(at.ratio * m_other / m, at.low), at.high), new


def _average(old: float | None, value: float | None, momentum: float) -> float | None:
    if value is None or not math.isfinite(value):
        return old
    size = min(abs(value), 1e300)
    return size if old is None else momentum * old + (1.0 - momentum) * size


CONTROLLERS: Mapping[str, Controller] = MappingProxyType(
    {
        "loss_ratio": Controller(
            "loss_ratio",
            LossRatio,
            LossRatioState,
            r"\lambda = \operatorname{clip}(\rho\, m_o / m_k, \text{low}, \text{high}),\quad "
            r"m \leftarrow \beta m + (1 - \beta) |L|,\quad m = |L| \text{ at first}",
            "A term's weighted value follows a ratio of another term's value. No function of the "
            "step: in an objective only, where the values are.",
            "Our rule; a balance by moving averages is that of Wang, Teng and Perdikaris 2021, "
            "arXiv:2001.04536, algorithm 1, who take gradients where this takes values",
        )
    }
)


def describe_controller(controller: Controller) -> dict[str, Any]:
    """Everything that a controller declares."""
    return {
        "name": controller.name,
        "summary": controller.summary,
        "formula": controller.formula,
        "source": controller.source,
        "params": controller.params.model_json_schema(),
        "state": controller.state.model_json_schema(),
        "follows": "values",
    }
