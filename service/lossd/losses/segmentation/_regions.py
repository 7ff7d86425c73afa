"""How much of each class's region is found, missed and made up, in each image: soft counts.

The counts are sums of pixels in float64. Ignored pixels count nowhere.
"""

from dataclasses import dataclass
from typing import Annotated, Any, Literal

import torch
from jaxtyping import Float, Int
from pydantic import Field
from torch import Tensor

from lossd.losses._ops import is_ignored, one_hot
from lossd.losses._spec import Arg, LossParams

RegionProbabilities = Annotated[
    Float[Tensor, "rows classes *spatial"],
    Arg(doc="Predicted probability of each class at each pixel.", gradient=True, low=0, high=1),
]
Masks = Annotated[
    Float[Tensor, "rows classes *spatial"],
    Arg(doc="How far each pixel belongs to each class.", low=0, high=1),
]
ONE_OF = (("logits", "probabilities"), ("labels", "targets"))
EXAMPLE: dict[str, Any] = {
    "logits": [[[2.0, 0.5, -1.0, 0.3], [0.1, 1.2, 0.3, -0.4]]],
    "labels": [[0, 1, 1, 0]],
}


class RegionParams(LossParams):
    """What every loss of regions must know."""

    activation: Literal["softmax", "sigmoid"] = Field(
        "softmax", description="What makes probabilities of logits; sigmoid: a pixel may be of "
        "several classes, or of none."
    )  # fmt: skip
    include_background: bool = Field(True, description="Whether class 0 counts.")
    ignore_index: int | None = Field(None, description="Label of pixels that do not count.")


class SmoothParams(RegionParams):
    """The smoothing terms of a ratio."""

    smooth_numerator: float = Field(1e-5, ge=0, description="Added to the numerator.")
    smooth_denominator: float = Field(
        1e-5, ge=0, description="Added to the denominator; 0 / 0 is a perfect match."
    )


class OverlapParams(SmoothParams):
    """What the losses of overlap, class by class, have in common."""

    empty: Literal["formula", "zero", "one", "skip"] = Field(
        "formula",
        description="What a class costs an image whose target has none of it: what the formula "
        "says, 0, 1, or it is left out of the image's mean.",
    )


@dataclass(frozen=True, slots=True)
class Regions:
    """Soft counts of pixels, (rows, classes) each, in float64; `dtype` is what to answer in.

    `squared_error` sums (p - t)^2; `squares` p^2 + t^2. `present` is False where a target has none
    of a class.
    """

    true_positive: Tensor
    false_positive: Tensor
    false_negative: Tensor
    true_negative: Tensor
    squared_error: Tensor
    squares: Tensor
    present: Tensor
    dtype: torch.dtype


def regions_of(
    logits: Tensor | None,
    probabilities: Tensor | None,
    labels: Tensor | None,
    targets: Tensor | None,
    params: RegionParams,
) -> Regions:
    """Count the pixels. (rows, classes) without spatial dimensions are images of one pixel."""
    p, q, t, counts = masks_of(logits, probabilities, labels, targets, params)
    found, missed = _total(counts * p * t), _total(counts * q * t)
    return Regions(
        true_positive=found,
        false_positive=_total(counts * p * (1.0 - t)),
        false_negative=missed,
        true_negative=_total(counts * q * (1.0 - t)),
        squared_error=_total(counts * (p - t).square()),
        squares=_total(counts * (p.square() + t.square())),
        present=_total(counts * t) > 0,
        dtype=p.dtype,
    )


def masks_of(
    logits: Tensor | None,
    probabilities: Tensor | None,
    labels: Tensor | None,
    targets: Tensor | None,
    params: RegionParams,
) -> tuple[Tensor, Tensor, Tensor, Tensor]:
    """(rows, classes, pixels) each: p, 1 - p, targets, and 1 where a pixel counts, else 0."""
    given = logits if logits is not None else probabilities
    assert given is not None
    p, q = _probabilities(logits, probabilities, params.activation)
    if targets is not None:
        t, counts = targets.to(p.dtype), torch.ones_like(p)
    else:
        assert labels is not None
        ignored = is_ignored(labels, params.ignore_index)
        t = one_hot(labels.masked_fill(ignored, 0), given.detach())
        counts = (~ignored).to(p.dtype).unsqueeze(1).expand_as(p)
    first = 0 if params.include_background else 1
    p, q, t, counts = (each.unsqueeze(2).flatten(2)[:, first:] for each in (p, q, t, counts))
    return p, q, t, counts


def counted_images(
    params: RegionParams,
    labels: Int[Tensor, "rows *spatial"] | None = None,
    targets: Float[Tensor, "rows classes *spatial"] | None = None,
) -> Tensor:
    """1 for an image of which something counts, else 0: the share of the denominator."""
    skips = getattr(params, "empty", "formula") == "skip"
    if labels is not None:
        counts = ~is_ignored(labels, params.ignore_index)
        if skips and not params.include_background:
            counts &= labels != 0
        return counts.unsqueeze(1).flatten(1).any(1).double()
    assert targets is not None
    if not skips:
        return torch.ones(len(targets), dtype=torch.float64, device=targets.device)
    counted = targets if params.include_background else targets[:, 1:]
    return (counted > 0).flatten(1).any(1).double()


def shortfall(part: Tensor, missing: Tensor, params: SmoothParams) -> Tensor:
    """1 - (part + s) / (part + missing + s'), without the loss of digits; 0 / 0 is 1."""
    whole = part + missing + params.smooth_denominator
    nothing = whole == 0
    lacking = missing + (params.smooth_denominator - params.smooth_numerator)
    return lacking.masked_fill(nothing, 0.0) / whole.masked_fill(nothing, 1.0)


def mean_over_classes(costs: Tensor, regions: Regions, params: OverlapParams) -> Tensor:
    """The mean of an image's classes, after the ruling on those that its target lacks."""
    if params.empty in ("zero", "one"):
        costs = costs.masked_fill(~regions.present, 1.0 if params.empty == "one" else 0.0)
    counts = regions.present if params.empty == "skip" else torch.ones_like(regions.present)
    count = counts.sum(1).clamp_min(1)
    return (costs.masked_fill(~counts, 0.0).sum(1) / count).to(regions.dtype)


def _probabilities(
    logits: Tensor | None, probabilities: Tensor | None, activation: str
) -> tuple[Tensor, Tensor]:
    """p and 1 - p."""
    if logits is not None and activation == "sigmoid":
        return torch.sigmoid(logits), torch.sigmoid(-logits)
    p = probabilities if logits is None else torch.softmax(logits, dim=1)
    assert p is not None
    return p, 1.0 - p


def _total(x: Tensor) -> Tensor:
    return x.sum(2, dtype=torch.float64)
