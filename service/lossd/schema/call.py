"""A call and its result: what the engine trusts, and what it answers."""

import math
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from lossd.losses import CLASSIFIER, HIDDEN, LossParams, LossSpec, Shared
from lossd.schema.options import Options, Reduction
from lossd.schema.plan import Plan


@dataclass(frozen=True, slots=True)
class Call:
    """A request that is what the loss's signature wants, but for the numbers in its tensors.

    Those are checked by `check_values`, or by a kernel in its one pass over them; nothing else may
    compute with them before. Inputs are on the CPU, in the dtype that the caller sent. A group of
    named tensors appears in `inputs` as `name/member`, one entry each. `item_shape` is that of the
    values, with rows first; () where there is one value for the whole call. `places` is memory that
    dense gradients may be written to, by their inputs, where it is as large as they are. `extras`
    are what is wanted beside value, rows and gradients. `shared` is what other calls of the same
    tensors have computed of them. `plan` is what a whole request's call was made by, the same one
    for the like of it.
    """

    spec: LossSpec
    inputs: Mapping[str, Tensor]
    params: LossParams
    options: Options
    item_shape: tuple[int, ...]
    row_weights: Tensor | None = None
    cotangent: Tensor | None = None
    wrt: tuple[str, ...] = ()
    places: Mapping[str, NDArray[np.uint8]] = field(default_factory=dict)
    extras: tuple[str, ...] = ()
    plan: Plan | None = None
    shared: Shared | None = None

    @property
    def reduction(self) -> Reduction:
        """The reduction asked for, or the loss's own."""
        return self.options.reduction or self.spec.reduction

    @property
    def elements(self) -> int:
        """Elements of the largest tensor that is given or made: what the work grows with."""
        given = max(x.numel() for x in self.inputs.values())
        return max(given, self.paired_elements) if self.spec.matrices else given

    @property
    def compute_dtype(self) -> torch.dtype:
        """The widest float dtype among the inputs, at least float32."""
        wide = any(x.dtype == torch.float64 for x in self.inputs.values())
        return torch.float64 if wide else torch.float32

    @property
    def paired_elements(self) -> int:
        """The elements of the matrices of pairs, or of triplets, that the loss builds."""
        sizes = {
            dim: x.shape[i]
            for key, x in self.inputs.items()
            for i, dim in enumerate(self.spec.inputs[key.partition("/")[0]].dims)
            if not dim.startswith("*")
        }
        return sum(math.prod(sizes.get(dim, 0) for dim in dims) for dims in self.spec.matrices)

    @property
    def is_linear(self) -> bool:
        """Whether the logits are still to be made, of `hidden` and `classifier`."""
        return self.spec.linear and HIDDEN in self.inputs

    @property
    def linear_logits(self) -> int:
        """How many logits are to be made, all in all."""
        if not self.is_linear:
            return 0
        return self.inputs[HIDDEN].shape[0] * self.inputs[CLASSIFIER].shape[0]

    @property
    def by_recipe(self) -> bool:
        """Whether the gradient of the logits is answered as a recipe."""
        return self.options.gradient_form == "recipe" and "logits" in self.wrt

    def as_sent(self, name: str, gradient: Tensor) -> Tensor:
        """A gradient with its classes on the axis where the caller has them."""
        if self.options.class_axis == 1:
            return gradient
        if self.spec.inputs[name.partition("/")[0]].dims[:2] != ("rows", "classes"):
            return gradient
        return gradient.movedim(1, self.options.class_axis)

    def arguments(self, tensors: Mapping[str, Tensor]) -> dict[str, Any]:
        """Tensors as the loss's function takes them: in the compute dtype, groups as tuples."""
        arguments: dict[str, Any] = {}
        for key, tensor in tensors.items():
            head = key.partition("/")[0]
            x = tensor.to(self.compute_dtype) if tensor.is_floating_point() else tensor
            grouped = self.spec.inputs[head].group
            arguments[head] = (*arguments.get(head, ()), x) if grouped else x
        return arguments


@dataclass(frozen=True, slots=True)
class Warned:
    """Something that the caller should know about an answer. `code` is stable."""

    code: str
    detail: str


@dataclass(frozen=True, slots=True)
class Result:
    """What the engine answers. Results of one loss merge by adding sums and denominators.

    `count` is the number of items, ignored ones included. `value` is None where nothing counts or
    no reduction was asked for. `condensed` holds, by the names that they are answered by, gradients
    that were asked for in another form than dense; `extras`, likewise, new states and proximal
    operators. `seconds` takes the time of each phase from whoever measures it.
    """

    value: float | None
    sum: float
    denominator: float
    count: int
    rows: Tensor | None
    gradients: Mapping[str, Tensor]
    condensed: Mapping[str, Tensor] = field(default_factory=dict)
    extras: Mapping[str, Tensor] = field(default_factory=dict)
    warnings: tuple[Warned, ...] = ()
    seconds: dict[str, float] = field(default_factory=dict)
