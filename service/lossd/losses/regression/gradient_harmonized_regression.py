"""Gradient harmonised regression loss (GHM-R): elements weigh less where many are alike."""

from typing import Annotated

import torch
from jaxtyping import Float, Int
from pydantic import Field
from torch import Tensor

from lossd.losses._catalog import loss
from lossd.losses._harmony import (
    Counts,
    HarmonizedParams,
    Mask,
    bins_of,
    counted,
    new_counts,
    weights_of,
)
from lossd.losses._inputs import Prediction
from lossd.losses._spec import Arg, Card, Example

Truth = Annotated[
    Float[Tensor, "rows *rest"], Arg(doc="True values, in the unit of the prediction.")
]


class GradientHarmonizedRegressionParams(HarmonizedParams):
    """Parameters of `gradient_harmonized_regression`."""

    mu: float = Field(
        0.02, gt=0, description="Where the loss turns from square to line, in the target's unit."
    )


def weight_of_item(
    params: GradientHarmonizedRegressionParams,
    target: Float[Tensor, "rows *rest"],
    mask: Int[Tensor, "rows *rest"] | None = None,
) -> Tensor:
    """1 for an element that counts, 0 for an ignored one."""
    return counted(target, mask)


def _length(difference: Tensor, mu: float) -> Tensor:
    """sqrt(d^2 + mu^2), which no square overflows."""
    return torch.hypot(difference, torch.full_like(difference, mu))


def _bins(difference: Tensor, mask: Tensor | None, mu: float, bins: int) -> Tensor:
    return bins_of(difference.abs() / _length(difference, mu), mask, bins)


def state(
    params: GradientHarmonizedRegressionParams,
    prediction: Tensor,
    target: Tensor,
    mask: Tensor | None = None,
    counts: Tensor | None = None,
) -> dict[str, Tensor]:
    """`counts`: momentum times the old ones, and the rest of this call's."""
    found = _bins(prediction - target, mask, params.mu, params.bins)
    return {"counts": new_counts(params, found, counts, prediction.dtype)}


@loss(
    formula=r"\frac{N}{M\,S_{b(i)}}\,\big[\sqrt{d^2 + \mu^2} - \mu\big],\quad d = x - y,\quad "
    r"b(i) = \lfloor M\,|d| / \sqrt{d^2 + \mu^2} \rfloor,\quad "
    r"S_b = \alpha S_b + (1 - \alpha) R_b",
    source="Li, Liu and Wang 2019, arXiv:1811.05181, GHM-R loss on authentic smooth L1",
    units="the target's unit, times a weight",
    weights=weight_of_item,
    coupling="coupled",
    state=state,
    card=Card(
        characteristics="Smooth L1 over the density of gradient norms: the many elements that fit "
        "and the outliers, whose gradients are alike, weigh less than those between.",
        use="Box regression of detectors, beside gradient_harmonized for their classes.",
        stability="Weights are constant in the gradient and jump where an element changes its "
        "bin. With momentum, first calls weigh 1 / (1 - momentum) too much, as counts begin at 0.",
        data="Many elements per call, or a momentum; differences that are scaled to about 1.",
    ),
    example=Example(
        {
            "prediction": [[0.5, -0.01], [1.2, 0.0]],
            "target": [[0.0, 0.0], [1.0, 0.02]],
            "counts": [1.0, 0.0, 0.5, 4.0],
        },
        {"bins": 4, "momentum": 0.75},
    ),
)
def gradient_harmonized_regression(
    prediction: Prediction,
    target: Truth,
    mask: Mask | None = None,
    counts: Counts | None = None,
    *,
    params: GradientHarmonizedRegressionParams,
) -> Float[Tensor, "rows *rest"]:
    """Smooth L1 over the density of the element's gradient norm, one value per element.

    N is the number of elements that count, M that of bins, S the new state: this call's counts R
    averaged with the old. Weights have no gradient, so neither has a border between bins.
    """
    difference = prediction - target
    found = _bins(difference, mask, params.mu, params.bins)
    # The difference of length and mu, without what is lost where they are nearly equal.
    values = difference * (difference / (_length(difference, params.mu) + params.mu))
    return weights_of(params, found, counts, prediction.dtype) * values
