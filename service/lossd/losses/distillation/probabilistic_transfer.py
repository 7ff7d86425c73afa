"""Probabilistic knowledge transfer: whom a row would choose as its neighbour."""

import torch
from jaxtyping import Float
from torch import Tensor

from lossd.losses._catalog import loss
from lossd.losses._ops import direction, kl_divergence_of
from lossd.losses._spec import Card, Example, LossParams
from lossd.losses.distillation._relations import EXAMPLE, StudentFeatures, TeacherFeatures


class ProbabilisticTransferParams(LossParams):
    """Parameters of `probabilistic_transfer`: none."""


@loss(
    formula=r"\sum_j p_{j|i} \log \frac{p_{j|i}}{q_{j|i}},"
    r"\quad p_{j|i} = \frac{K(t_j, t_i)}{\sum_k K(t_k, t_i)},\quad K = \tfrac12 (\cos + 1)",
    source="Passalis and Tefas 2018 (PKT), arXiv:1803.10837, eq. 3 to 7",
    units="nats",
    coupling="coupled",
    matrices=(("rows", "rows"),),
    card=Card(
        characteristics="A divergence of conditional probabilities by cosine similarity; no width "
        "to choose, no parameter.",
        use="Distillation of embeddings for retrieval, between any dimensions.",
        stability="Without the authors' eps: +inf, without gradient, where the student puts two "
        "rows exactly opposite that the teacher does not.",
        data="Batches of many rows. A row chooses itself too, as in the authors' code.",
    ),
    example=Example(EXAMPLE),
)
def probabilistic_transfer(
    student: StudentFeatures, teacher: TeacherFeatures, *, params: ProbabilisticTransferParams
) -> Float[Tensor, "rows"]:
    """Divergence of the student's choice of a neighbour from the teacher's.

    Returns one value per row, in nats, >= 0 up to rounding.
    """
    return kl_divergence_of(_log_choice(teacher), _log_choice(student))


def _log_choice(x: Tensor) -> Tensor:
    unit = direction(x)
    kernel = torch.relu(0.5 * (unit @ unit.T + 1.0))
    opposite = kernel == 0
    log_kernel = torch.log(kernel.masked_fill(opposite, 1.0)).masked_fill(opposite, -torch.inf)
    return torch.log_softmax(log_kernel, dim=1)
