"""Label distribution disentangling (LADE): logits are kept free of the training classes' sizes."""

import math
from typing import Annotated

from jaxtyping import Float, Int
from pydantic import Field
from torch import Tensor

from lossd.losses._catalog import loss
from lossd.losses._ops import log_sum_exp, one_hot
from lossd.losses._spec import Arg, Card, Example, LossParams
from lossd.losses.imbalance._prior import PositiveClassCounts, log_prior


class LabelDistributionDisentanglingParams(LossParams):
    """Parameters of `label_distribution_disentangling`."""

    coefficient: float = Field(
        0.1, ge=0, le=1e3, description="Factor of the square that keeps log-partitions near 0."
    )


@loss(
    formula=r"\sum_c \pi_c \left[ -\frac{1}{N_c} \sum_{y_i = c} z_{ic} + s_c + \lambda s_c^2 "
    r"\right],\quad s_c = \log \frac{1}{N} \sum_i \frac{1 / C}{\pi_c} e^{z_{ic}}",
    source="Hong et al. 2021, Disentangling Label Distribution for Long-tailed Visual Recognition, "
    "LADER, as in the authors' code",
    units="nats",
    coupling="whole",
    card=Card(
        characteristics="The Donsker-Varadhan bound of each class's density ratio, regularized: a "
        "term for a batch, of either sign, and no classifier's loss on its own.",
        use="Beside balanced_softmax, with a factor of about 0.1, for long-tailed training that is "
        "to be tested under any distribution of classes.",
        stability="By log-sum-exp over the batch, in float64. A class that the batch lacks is only "
        "pushed down, by its share of the training set.",
        data="Class counts of the training set, each at least 1, and batches of many items. The "
        "importance of an item is that of the class asked about, as the authors' code has it.",
    ),
    example=Example(
        {
            "logits": [[2.0, 0.5], [0.1, 1.2], [1.0, -0.5], [-1.0, 0.3]],
            "labels": [0, 1, 0, 1],
            "class_counts": [90, 10],
        }
    ),
)
def label_distribution_disentangling(
    logits: Annotated[Float[Tensor, "rows classes"], Arg(doc="Raw scores.", gradient=True)],
    labels: Annotated[Int[Tensor, "rows"], Arg(doc="Class of each item.", index_of="classes")],
    class_counts: PositiveClassCounts,
    *,
    params: LabelDistributionDisentanglingParams,
) -> Float[Tensor, ""]:
    """How far each class's logits are from the log of its density ratio, by a bound on it.

    Returns one value, in nats, of either sign; 0 without items.
    """
    if not len(logits):
        return logits.sum()
    z = logits.double()  # its log-sum-exp has the rounding of the largest logit
    inside = one_hot(labels, z)
    own = (z * inside).sum(0) / inside.sum(0).clamp_min(1.0)
    prior = log_prior(class_counts.double())
    shift = prior + math.log(logits.shape[1]) + math.log(len(logits))
    log_partition = log_sum_exp(z, 0) - shift
    terms = log_partition + params.coefficient * log_partition.square() - own
    return (prior.exp() * terms).sum().to(logits.dtype)
