"""What a kernel on a device is asked for, and where it writes: the sister of `kernels/_job.py`."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Protocol

from torch import Tensor

from lossd.schema import Call


@dataclass(frozen=True, slots=True)
class DeviceJob:
    """Memory on the device for some rows of one call, none for what nobody asked for.

    - `outer`: what each item's value counts in what is answered: (rows, items per row), (rows, 1),
      or (1, 1) where all count alike; float32. An item's gradient is its outer times the derivative
      of its value.
    - `sums`: (rows, parts) float64: the values of a row add up to its parts.
    - `values`: every value, unweighted, as (rows, items per row) float32.
    - `gradients`: by the key of the input, in its shape. It may be the memory of the input itself:
      an element is written after its last use.
    - `overflows`: (rows, parts) int8: not 0 where a gradient is too large for its dtype.
    - `log_sum_exp`, `factor`: (rows, items per row) float64, where the call wants a recipe in place
      of the gradient of the logits (see `SoftmaxRecipe`); factor includes outer.
    """

    outer: Tensor
    sums: Tensor
    values: Tensor | None = None
    gradients: Mapping[str, Tensor] = field(default_factory=dict)
    overflows: Tensor | None = None
    log_sum_exp: Tensor | None = None
    factor: Tensor | None = None

    @property
    def outer_strides(self) -> tuple[int, int]:
        """Elements from one row's outer to the next row's, and from one item's to the next."""
        rows, items = self.outer.shape
        return (items if rows > 1 else 0, 1 if items > 1 else 0)


class DeviceKernel(Protocol):
    """A module of this folder that is named as its loss: value and gradient in one launch.

    It takes every option of the loss; `kernel_for` says which calls come to it.
    """

    def parts(self, call: Call) -> int:
        """How many partial sums it writes per row. The number of rows has no say in it."""
        ...

    def launch(self, call: Call, inputs: Mapping[str, Tensor], job: DeviceJob) -> None:
        """Queue the computation of the rows in `inputs`: some rows of the call's, on the device.

        The numbers are checked. A row's bits depend on that row alone.
        """
        ...
