"""One call as a part of a larger autograd graph: its values, and what they come to."""

from collections.abc import Mapping
from dataclasses import dataclass

from torch import Tensor

from lossd.engine.mining import settle_mined
from lossd.engine.plain import denominator_of, per_item, settle
from lossd.schema import Call, Result


@dataclass(frozen=True, slots=True)
class Node:
    """The values of a call, in the graph, and its result but for gradients.

    `outer` is the gradient of the result's value by each of the values; None is 0 everywhere.
    """

    values: Tensor
    outer: Tensor | None
    result: Result


def node_of(call: Call, tensors: Mapping[str, Tensor]) -> Node:
    """A call whose values are checked, of tensors that may be parts of a graph, by their keys."""
    values = call.spec.fn(**call.arguments(tensors), params=call.params)
    if call.options.mining is None:
        result, outer = settle(call, values, denominator_of(call))
        return Node(values, outer, result)
    result, kept = settle_mined(call, values.detach().cpu())
    if result.value is None:
        return Node(values, None, result)
    outer = kept.to(values.device, values.dtype)
    row_weights = per_item(call.row_weights, values)
    return Node(values, outer if row_weights is None else outer * row_weights, result)
