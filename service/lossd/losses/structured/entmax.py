"""Entmax loss: between cross-entropy and sparsemax, sparse probabilities by degrees."""

from jaxtyping import Float
from pydantic import Field
from torch import Tensor

from lossd.losses._catalog import loss
from lossd.losses._inputs import FiniteLogits, Labels, TargetProbabilities
from lossd.losses._spec import Card, Example, LossParams
from lossd.losses.structured._fenchel_young import one_hot_or, tsallis_value


class EntmaxParams(LossParams):
    """Parameters of `entmax`."""

    alpha: float = Field(
        1.5, ge=1, le=16, description="Sparsity: 1 is cross-entropy, 2 is sparsemax."
    )


@loss(
    formula=r"\langle p - t, z \rangle + H_\alpha(p) - H_\alpha(t),\quad H_\alpha(p) = "
    r"\frac{\sum_k (p_k - p_k^\alpha)}{\alpha (\alpha - 1)},\quad p = "
    r"\operatorname*{argmax}_{q \in \Delta} \langle q, z \rangle + H_\alpha(q)",
    source="Peters, Niculae and Martins 2019, arXiv:1905.05702, section 4",
    units="nats at alpha 1, of Tsallis' entropy of order alpha else",
    exactly_one_of=(("labels", "target_probabilities"),),
    card=Card(
        characteristics="Convex; above alpha 1 it is exactly 0 once the right logit leads by "
        "1 / (alpha - 1). Its gradient is p - t, with p sparse.",
        use="Sequence models and attention with sparse outputs; 1.5 is the usual middle.",
        stability="The threshold is found to the last bits of float64, by Newton's method up to "
        "alpha 2 and by halving above, so any alpha is as exact as any other.",
        data="As cross_entropy, many classes above all.",
    ),
    example=Example({"logits": [[2.0, 1.5, -1.0], [0.1, 1.2, 0.3]], "labels": [0, 2]}),
)
def entmax(
    logits: FiniteLogits,
    labels: Labels | None = None,
    target_probabilities: TargetProbabilities | None = None,
    *,
    params: EntmaxParams,
) -> Float[Tensor, "rows *spatial"]:
    """Fenchel-Young loss of the Tsallis entropy of order alpha.

    Returns one value per item, >= 0.
    """
    target = one_hot_or(target_probabilities, labels, logits)
    return tsallis_value(logits, target, params.alpha)
