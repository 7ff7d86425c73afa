"""Parameters and weights of losses whose items may be ignored by their label."""

from jaxtyping import Int
from pydantic import Field
from torch import Tensor

from lossd.losses._ops import counted
from lossd.losses._spec import LossParams


class IgnoringParams(LossParams):
    """Parameters of a loss of labels, of which one may say that its item does not count."""

    ignore_index: int | None = Field(None, description="Label of items that do not count.")


def counted_item(params: IgnoringParams, labels: Int[Tensor, "rows *spatial"]) -> Tensor:
    """1 for an item that counts, 0 for an ignored one."""
    return counted(labels, params.ignore_index)
