"""Small JSON calls of a kind that was answered before: from text to text without a tensor.

What a first call of its kind was found to be (its plan, its kernel, its answer but for the numbers)
is kept, and only the numbers are new. Whatever is not as it was then, or not finite, or might have
to be refused, takes the usual way, which gives the same bits and says what is wrong.
"""

import time
from collections.abc import Hashable
from dataclasses import dataclass
from typing import Any

import numpy as np

from lossd.engine import Engine, Found, Straight
from lossd.floats import narrow
from lossd.schema import Call, Result, to_message
from lossd.wire import Message, json
from lossd.wire.json import SmallRequest

_MOST_KINDS = 256
_MOST_TEXT = 2000  # characters of fields; what says more is not kept


@dataclass(frozen=True, slots=True)
class _Kind:
    straight: Straight
    fields: dict[str, Any]  # of the answer, without its numbers
    nulls: int


class Express:
    """Used by one thread."""

    def __init__(self, engine: Engine) -> None:
        self._engine = engine
        self._kinds: dict[Hashable, _Kind] = {}
        self._losses: set[str] = set()

    def knows(self, loss: str) -> bool:
        """Whether calls of a loss have gone this way."""
        return loss in self._losses

    def kind_of(self, loss: str, request: SmallRequest) -> Hashable:
        """What a request says but for its numbers."""
        inputs = request.inputs.items()
        return (loss, repr(request.fields), *[(key, x.dtype, x.shape) for key, x in inputs])

    def answer(
        self, kind: Hashable, request: SmallRequest, seconds: dict[str, float]
    ) -> bytes | None:
        """The answer; None if it takes the usual way."""
        known = self._kinds.get(kind)
        if known is None:
            return None
        started_s = time.perf_counter()
        straight, given = known.straight, dict(request.inputs)
        for key in straight.floats:
            single = np.empty(given[key].shape, np.float32)
            if not narrow(given[key], single):
                return None
            given[key] = single
        found = straight.compute(given)
        if found is None:
            return None
        computed_s = time.perf_counter()
        text = _write(known, found)
        if text is not None:
            seconds["queue"] = 0.0
            seconds["compute"] = computed_s - started_s
            seconds["serialize"] = time.perf_counter() - computed_s
        return text

    def learn(self, kind: Hashable, request: SmallRequest, call: Call, result: Result) -> None:
        """Keep what a call of a kind was found to be, if the like of it can go straight."""
        straight = self._engine.straight(call)
        if straight is None or result.warnings or len(repr(request.fields)) > _MOST_TEXT:
            return
        if any(request.inputs[key].dtype != np.float64 for key in straight.floats):
            return
        if len(self._kinds) >= _MOST_KINDS:
            self._kinds.clear()
        message = to_message(call, result)
        nulls = json.encode(Message({}, message.fields, scalars=message.scalars)).count(b"null")
        self._kinds[kind] = _Kind(straight, dict(message.fields), nulls)
        self._losses.add(call.spec.name)


def _write(known: _Kind, found: Found) -> bytes | None:
    straight = known.straight
    total = float(np.add.reduce(found.sums))
    if not abs(total) < np.inf:
        return None
    fields = dict(known.fields)
    if straight.reduction == "mean":
        fields["value"] = total / straight.denominator
    elif straight.reduction == "sum":
        fields["value"] = total
    fields |= {"sum": total, "denominator": straight.denominator, "count": straight.count}
    return json.write_small(fields, found.rows, found.gradients, known.nulls)
