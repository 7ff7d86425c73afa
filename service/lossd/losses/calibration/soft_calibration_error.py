"""Soft calibration error: expected calibration error with bins that rows belong to by degrees."""

from typing import Literal

import torch
from jaxtyping import Float
from pydantic import Field
from torch import Tensor

from lossd.losses._catalog import loss
from lossd.losses._inputs import RowLabels, RowLogits
from lossd.losses._ops import power
from lossd.losses._spec import Card, Example, LossParams
from lossd.losses.calibration._confidence import confidence_and_gap


class SoftCalibrationErrorParams(LossParams):
    """Parameters of `soft_calibration_error`."""

    bins: int = Field(15, ge=1, le=128, description="How many bins share [0, 1] evenly.")
    temperature: float = Field(
        0.01, ge=1e-6, le=1e3, description="Softness of the bins, a squared probability."
    )
    p: Literal[1, 2] = Field(2, description="Norm over the bins.")


@loss(
    formula=r"\left(\sum_b \frac{S_b}{N} |A_b - R_b|^p\right)^{1/p},\quad S_b = \sum_i u_{ib},"
    r"\quad u_{ib} = \operatorname{softmax}_b\left(-(r_i - \xi_b)^2 / T\right)",
    source="Karandikar et al. 2021, arXiv:2108.00106, section 4, SB-ECE",
    units="probability",
    coupling="whole",
    card=Card(
        characteristics="ECE made differentiable: as the temperature goes to 0 the bins become "
        "hard. Being right is taken as constant.",
        use="Beside cross_entropy or focal, to train for the calibration error itself, or after "
        "training, to fit a recalibration.",
        stability="Bounded by 1. Means of bins are taken in log-space, so that an empty bin costs "
        "nothing. At 0 the gradient is 0.",
        data="Batches of some hundred rows: a bin must have rows to say anything.",
    ),
    example=Example(
        {"logits": [[2.0, 0.5, -1.0], [0.1, 1.2, 0.3], [0.2, 0.4, 3.0]], "labels": [0, 2, 2]}
    ),
)
def soft_calibration_error(
    logits: RowLogits, labels: RowLabels, *, params: SoftCalibrationErrorParams
) -> Float[Tensor, ""]:
    """Norm over soft bins of the difference of how often they are right and how sure they are.

    The centre of bin b is (b + 1/2) / bins. The first of tied classes is the predicted one.

    Returns one value for the whole call, in [0, 1].
    """
    if not logits.numel():
        return logits.sum()
    confidence, gap = confidence_and_gap(logits, labels)
    centres = (torch.arange(params.bins, device=gap.device) + 0.5).to(gap.dtype) / params.bins
    nearness = -(confidence.unsqueeze(1) - centres).square() / params.temperature
    log_member = torch.log_softmax(nearness, dim=1)
    share = log_member.exp().mean(0)
    of_bin = (torch.softmax(log_member, dim=0) * gap.unsqueeze(1)).sum(0).abs()
    return power((share * of_bin**params.p).sum(), 1.0 / params.p)
