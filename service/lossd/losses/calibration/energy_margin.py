"""Energy margins: familiar rows must have a low free energy, outliers a high one."""

import torch
from jaxtyping import Float
from pydantic import Field
from torch import Tensor

from lossd.losses._catalog import loss
from lossd.losses._inputs import RowLogits
from lossd.losses._ops import positive_part
from lossd.losses._spec import Card, Example, LossParams
from lossd.losses.calibration._confidence import IsOutlier


class EnergyMarginParams(LossParams):
    """Parameters of `energy_margin`."""

    margin_familiar: float = Field(-23.0, description="Energy that a familiar row must not exceed.")
    margin_outlier: float = Field(-5.0, description="Energy that an outlier must reach.")
    temperature: float = Field(1.0, ge=1e-4, le=1e4, description="T of the energy.")


@loss(
    formula=r"\max(0,\; E - m_\text{in})^2 \text{ of a familiar row};\quad "
    r"\max(0,\; m_\text{out} - E)^2 \text{ of an outlier};\quad "
    r"E = -T \log \sum_k e^{z_k / T}",
    source="Liu et al. 2020, arXiv:2010.03759, section 3.2",
    units="squared logit units",
    card=Card(
        characteristics="Squared hinges on the log-sum-exp of the logits, which cross-entropy "
        "leaves free; no gradient beyond the margins.",
        use="Beside cross_entropy, with a coefficient of 0.1, where energy is to tell outliers.",
        stability="Log-sum-exp from the largest logit: stable for any finite logits below 1e19.",
        data="Familiar rows and outliers. Set the margins around the energies that a trained "
        "model has.",
    ),
    example=Example(
        {"logits": [[2.0, 0.5, -1.0], [0.1, 1.2, 0.3]], "is_outlier": [0, 1]},
        {"margin_familiar": -4.0, "margin_outlier": -1.0},
    ),
)
def energy_margin(
    logits: RowLogits, is_outlier: IsOutlier, *, params: EnergyMarginParams
) -> Float[Tensor, "rows"]:
    """Square of how far the free energy is on the wrong side of the row's margin.

    The mean is over all rows, where the paper adds the means of both kinds.

    Returns one value per row, >= 0.
    """
    # From the largest logit on, as a constant: the gradient of what is left is the softmax.
    top = logits.detach().amax(1, keepdim=True)
    scaled = (logits - top) / params.temperature
    energy = -(params.temperature * scaled.exp().sum(1).log() + top.squeeze(1))
    over = torch.where(
        is_outlier == 1, params.margin_outlier - energy, energy - params.margin_familiar
    )
    return positive_part(over).square()
