"""Sparse group lasso: few groups of weights, and few weights in each."""

import torch
from jaxtyping import Float
from pydantic import Field
from torch import Tensor

from lossd.losses._catalog import loss
from lossd.losses._inputs import Weights
from lossd.losses._ops import soft_threshold
from lossd.losses._spec import Card, Example, LossParams
from lossd.losses.regularization._proximal import shrink_groups
from lossd.losses.regularization._weights import Groups, group_lengths, total


class SparseGroupLassoParams(LossParams):
    """Parameters of `sparse_group_lasso`."""

    coefficient: float = Field(1.0, ge=0, description="Lambda, the strength of the penalty.")
    alpha: float = Field(0.5, ge=0, le=1, description="Share of the absolute weights.")
    groups: Groups = Field(
        "rows",
        description="What is a group: a slice along axis 0 (an output), a slice along axis 1 (an "
        "input), or each tensor.",
    )
    scale_by_size: bool = Field(True, description="Whether a group counts root of its size times.")


def proximal(
    weights: tuple[Tensor, ...], step: float, params: SparseGroupLassoParams
) -> dict[str, tuple[Tensor, ...]]:
    """Each weight moved to 0 by its share, then each group shortened by its own."""
    by, alpha = step * params.coefficient, params.alpha
    return {
        "weights": tuple(
            shrink_groups(
                soft_threshold(each.double(), by * alpha),
                params.groups,
                by * (1.0 - alpha),
                by_size=params.scale_by_size,
            ).to(each.dtype)
            for each in weights
        )
    }


@loss(
    formula=r"\lambda \left[\alpha \sum |w| + (1 - \alpha) \sum_g \sqrt{n_g}\, \|w_g\|_2\right]",
    source="Simon et al. 2013, Journal of Computational and Graphical Statistics 22, 231-245, "
    "eq. 3",
    units="lambda times weight units",
    coupling="whole",
    reduction="sum",
    proximal=proximal,
    card=Card(
        characteristics="Convex; `l1_penalty` with alpha 1, `group_lasso` with alpha 0.",
        use="Groups of which only a few members matter.",
        stability="Summed in float64. Subgradients at 0 are 0.",
        data="Any weights, in groups.",
    ),
    example=Example(
        {"weights": {"layer": [[0.5, -1.0], [0.25, 2.0]], "head": [2.0, 0.0]}},
        {"coefficient": 0.01},
    ),
)
def sparse_group_lasso(weights: Weights, *, params: SparseGroupLassoParams) -> Float[Tensor, ""]:
    """Lambda times a share of absolute weights and the rest of the groups' lengths."""
    lengths = [group_lengths(each, params.groups, params.scale_by_size).sum() for each in weights]
    absolute = [each.abs().sum(dtype=torch.float64) for each in weights]
    alpha = params.alpha
    return params.coefficient * (alpha * total(absolute) + (1.0 - alpha) * total(lengths))
