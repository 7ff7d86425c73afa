"""MMCE: how far confidence is from being right, measured by a kernel over a batch."""

import torch
from jaxtyping import Float
from pydantic import Field
from torch import Tensor

from lossd.losses._catalog import loss
from lossd.losses._inputs import RowLabels, RowLogits
from lossd.losses._ops import power
from lossd.losses._spec import Card, Example, LossParams
from lossd.losses.calibration._confidence import confidence_and_gap


class MmceParams(LossParams):
    """Parameters of `mmce`."""

    width: float = Field(
        0.4, ge=1e-3, le=1e3, description="Of the kernel: confidences that are alike, in [0, 1]."
    )
    weighted: bool = Field(
        False, description="Right and wrong rows count alike, however few (MMCE_w)."
    )
    squared: bool = Field(False, description="Leave the square root out.")


@loss(
    formula=r"\sqrt{\frac{1}{N^2} \sum_{ij} (c_i - r_i)(c_j - r_j)\, e^{-|r_i - r_j| / w}},"
    r"\quad r = \max_k p_k,\quad c = [\operatorname{argmax}_k p_k = y]",
    source="Kumar, Sarawagi and Jain 2018, ICML, PMLR 80, 2805-2814, section 4.1; weighted: 4.2",
    units="probability",
    coupling="whole",
    matrices=(("rows", "rows"),),
    card=Card(
        characteristics="0 if and only if a batch looks calibrated; differentiable, without bins. "
        "Being right is taken as constant, so it says nothing about accuracy.",
        use="Beside cross_entropy, with a coefficient of 1 to 10; weighted where few rows are "
        "wrong.",
        stability="Bounded by 1. 1 - r is taken as -expm1(log r). At 0 the gradient is 0.",
        data="Batches of 100 rows or more; the cost is the square of the rows.",
    ),
    example=Example(
        {"logits": [[2.0, 0.5, -1.0], [0.1, 1.2, 0.3], [0.2, 0.4, 3.0]], "labels": [0, 2, 2]}
    ),
)
def mmce(logits: RowLogits, labels: RowLabels, *, params: MmceParams) -> Float[Tensor, ""]:
    """Kernel calibration error of the confidences of a batch, with a Laplacian kernel.

    The first of tied classes is the predicted one. A kernel of two equal confidences is at its
    kink, where the subgradient is 0.

    Returns one value for the whole call, in [0, 1] unless weighted, then in [0, 2].
    """
    confidence, gap = confidence_and_gap(logits, labels)
    kernel = torch.exp(-(confidence.unsqueeze(1) - confidence).abs() / params.width)
    scaled = gap / _counts(gap, params.weighted)
    square = (scaled * (kernel @ scaled)).sum()
    return square if params.squared else power(square, 0.5)


def _counts(gap: Tensor, weighted: bool) -> Tensor | int:
    """What each row is divided by: all of them, or those of its own side."""
    if not weighted:
        return max(len(gap), 1)
    right = (gap.detach() >= 0).to(gap.dtype)
    return right * right.sum() + (1.0 - right) * (1.0 - right).sum()
