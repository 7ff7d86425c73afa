"""Group lasso: whole groups of weights become zero together."""

from jaxtyping import Float
from pydantic import Field
from torch import Tensor

from lossd.losses._catalog import loss
from lossd.losses._inputs import Weights
from lossd.losses._spec import Card, Example, LossParams
from lossd.losses.regularization._proximal import shrink_groups
from lossd.losses.regularization._weights import Groups, group_lengths, total


class GroupLassoParams(LossParams):
    """Parameters of `group_lasso`."""

    coefficient: float = Field(1.0, ge=0, description="Lambda, the strength of the penalty.")
    groups: Groups = Field(
        "rows",
        description="What is a group: a slice along axis 0 (an output), a slice along axis 1 (an "
        "input), or each tensor.",
    )
    scale_by_size: bool = Field(True, description="Whether a group counts root of its size times.")


def proximal(
    weights: tuple[Tensor, ...], step: float, params: GroupLassoParams
) -> dict[str, tuple[Tensor, ...]]:
    """Each group shortened by step times lambda times the root of its size, or to 0."""
    by = step * params.coefficient
    return {
        "weights": tuple(
            shrink_groups(each.double(), params.groups, by, by_size=params.scale_by_size).to(
                each.dtype
            )
            for each in weights
        )
    }


@loss(
    formula=r"\lambda \sum_g \sqrt{n_g}\, \|w_g\|_2",
    source="Yuan and Lin 2006, Journal of the Royal Statistical Society B 68, 49-67, eq. 2.1",
    units="lambda times weight units",
    coupling="whole",
    reduction="sum",
    proximal=proximal,
    card=Card(
        characteristics="Convex; not smooth where a group is 0, which is why groups become 0.",
        use="To remove neurons, channels or features of several columns.",
        stability="Summed in float64. A group of zeros has no gradient.",
        data="Any weights: rows of a matrix are its outputs.",
    ),
    example=Example(
        {"weights": {"layer": [[0.5, -1.0], [0.25, 2.0]], "head": [2.0, 0.0]}},
        {"coefficient": 0.01},
    ),
)
def group_lasso(weights: Weights, *, params: GroupLassoParams) -> Float[Tensor, ""]:
    """Lambda times the sum of the groups' lengths; the subgradient at a group of zeros is 0."""
    lengths = [group_lengths(each, params.groups, params.scale_by_size).sum() for each in weights]
    return params.coefficient * total(lengths)
