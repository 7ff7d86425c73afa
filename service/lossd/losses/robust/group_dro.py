"""Group DRO: the worst of the groups' losses, softly, by weights that go from call to call."""

from typing import Annotated

import torch
from jaxtyping import Float, Int
from pydantic import Field
from torch import Tensor

from lossd.losses._catalog import loss
from lossd.losses._spec import Arg, Card, Example, LossParams

Losses = Annotated[Float[Tensor, "rows"], Arg(doc="Value of any loss for each row.", gradient=True)]
GroupLabels = Annotated[Int[Tensor, "rows"], Arg(doc="Group of each row.", index_of="groups")]
GroupWeights = Annotated[
    Float[Tensor, "groups"],
    Arg(
        doc="Weight q of each group after earlier calls, all alike if absent.",
        low=0,
        high=1,
        sums_to_one="groups",
        role="state",
    ),
]
GroupAdjustments = Annotated[
    Float[Tensor, "groups"],
    Arg(doc="Added to each group's loss where weights are moved: C / sqrt(n). 0 if absent."),
]


class GroupDroParams(LossParams):
    """Parameters of `group_dro`."""

    groups: int = Field(2, ge=1, le=100_000, description="How many groups there are.")
    step_size: float = Field(
        0.01, ge=0, description="Eta of the weights' exponential step, per unit of the losses."
    )


def _sizes(params: GroupDroParams, group_labels: Tensor) -> Tensor:
    return torch.bincount(group_labels, minlength=params.groups)


def state(
    params: GroupDroParams,
    losses: Tensor,
    group_labels: Tensor,
    group_weights: Tensor | None = None,
    group_adjustments: Tensor | None = None,
) -> dict[str, Tensor]:
    """`group_weights`: the old ones times exp(eta times the group's mean loss), normalised."""
    sizes = _sizes(params, group_labels)
    sums = torch.zeros(params.groups, dtype=torch.float64, device=losses.device)
    sums = sums.index_add(0, group_labels, losses.detach().double())
    means = sums / sizes.clamp(min=1)
    if group_adjustments is not None:
        means = means + group_adjustments
    old = torch.ones_like(means) if group_weights is None else group_weights.double()
    # A group without rows is not moved, but for the sum.
    moved = torch.log(old) + params.step_size * means.masked_fill(sizes == 0, 0.0)
    return {"group_weights": torch.softmax(moved, 0).to(losses.dtype)}


@loss(
    formula=r"\frac{N}{n_g}\,q_g\,\ell_i,\quad g = g(i),\quad "
    r"q_g \propto q_g \exp\Big(\frac{\eta}{n_g} \sum_{j \in g} \ell_j\Big)",
    source="Sagawa et al. 2020, arXiv:1911.08731, algorithm 1; adjustments: section 3.3",
    units="those of the losses",
    coupling="coupled",
    state=state,
    card=Card(
        characteristics="The mean is the sum over groups of q times the group's mean loss; q "
        "moves to the groups of large loss, call by call.",
        use="Known groups of which the worst matters: subpopulations, hospitals, languages. Send "
        "the gradient as the cotangent of the call that the losses are of.",
        stability="Needs strong regularisation or early stopping: a model that fits every row has "
        "no worst group. Weights have no gradient; the step is taken in logarithms.",
        data="Calls in which every group has some rows, best as many of each: a group without "
        "rows counts for nothing in that call.",
    ),
    example=Example(
        {"losses": [0.2, 0.7, 3.0], "group_labels": [0, 0, 1], "group_weights": [0.5, 0.5]},
        {"groups": 2, "step_size": 0.1},
    ),
)
def group_dro(
    losses: Losses,
    group_labels: GroupLabels,
    group_weights: GroupWeights | None = None,
    group_adjustments: GroupAdjustments | None = None,
    *,
    params: GroupDroParams,
) -> Float[Tensor, "rows"]:
    """Each row's loss times its group's new weight, over the share of rows that are in its group.

    Their mean is the robust loss. Weights are constant in the gradient.
    """
    moved = state(params, losses, group_labels, group_weights, group_adjustments)["group_weights"]
    sizes = _sizes(params, group_labels).to(losses.dtype)
    return len(losses) / sizes[group_labels] * moved[group_labels] * losses
