"""The loss of a whole from the losses of its parts."""

from typing import Any

from lossd.engine.reduce import reduce_sums
from lossd.losses import LossParams, LossSpec
from lossd.schema import Result, Warned
from lossd.schema.options import Reduction

_MOST_WARNINGS = 100


class Fold:
    """Adds results up in float64. `sum`, `denominator`, `count` and `batches` are those so far."""

    def __init__(self) -> None:
        self.sum = self.denominator = 0.0
        self.count = self.batches = 0
        self._warnings: dict[Warned, None] = {}  # in order, each once

    def add(self, result: Result) -> None:
        """Count one part's result, of the reduction sum."""
        self.sum += result.sum
        self.denominator += result.denominator
        self.count += result.count
        self.batches += 1
        for each in result.warnings:
            if len(self._warnings) < _MOST_WARNINGS and each.code != "nonfinite_value":
                self._warnings.setdefault(each)

    def summary(self, spec: LossSpec, params: LossParams, reduction: Reduction) -> dict[str, Any]:
        """What the whole comes to, as JSON values; numbers that are not finite stay floats."""
        value, _, warnings = reduce_sums(reduction, self.sum, self.denominator)
        return {
            "loss": spec.name,
            "version": spec.version,
            "value": value,
            "sum": self.sum,
            "denominator": self.denominator,
            "count": self.count,
            "batches": self.batches,
            "params": params.model_dump(mode="json"),
            "warnings": [
                {"code": each.code, "detail": each.detail} for each in (*self._warnings, *warnings)
            ],
        }
