"""Carlini-Wagner margin: how far the label still leads, as an attack must know it."""

from jaxtyping import Float
from pydantic import Field
from torch import Tensor

from lossd.losses._catalog import loss
from lossd.losses._inputs import FiniteLogits, Labels
from lossd.losses._ops import at_label, positive_part
from lossd.losses._spec import Card, Example, LossParams
from lossd.losses.adversarial._inputs import largest_other


class CarliniWagnerParams(LossParams):
    """Parameters of `carlini_wagner`."""

    kappa: float = Field(0.0, ge=0, description="The lead of the wrong class that is enough.")
    targeted: bool = Field(
        False, description="Whether `labels` are the classes to be reached, not those to leave."
    )


@loss(
    formula=r"\max\left(z_y - \max_{k \ne y} z_k,\ -\kappa\right)",
    source="Carlini and Wagner 2017, arXiv:1608.04644, section V.A, f_6",
    units="logits",
    card=Card(
        characteristics="What an attack makes small; -kappa once it has succeeded by kappa.",
        use="Attacks, and the margin of robustness. It is minimised by the attacker: to train a "
        "model, take `multiclass_hinge`.",
        stability="Piecewise linear; no softmax, so no vanishing gradient of sure answers.",
        data="Logits of the input under attack; true labels, or the attacker's targets.",
    ),
    example=Example({"logits": [[2.0, 0.5, -1.0], [0.1, 1.2, 0.3]], "labels": [0, 2]}),
)
def carlini_wagner(
    logits: FiniteLogits, labels: Labels, *, params: CarliniWagnerParams
) -> Float[Tensor, "rows *spatial"]:
    """The lead of the label over the best other class, or of that over a target, down to -kappa.

    The subgradient at -kappa is 0, and the first of equal rivals is the best. With one class the
    lead is 0.

    Returns one value per item, >= -kappa.
    """
    lead = at_label(logits, labels) - largest_other(logits, labels)
    if params.targeted:
        lead = -lead
    return positive_part(lead + params.kappa) - params.kappa
