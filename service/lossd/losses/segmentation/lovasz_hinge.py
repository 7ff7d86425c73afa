"""Lovász hinge: the convex surrogate of the Jaccard loss of one region, of its margins."""

from typing import Annotated

from jaxtyping import Float, Int
from pydantic import Field
from torch import Tensor

from lossd.losses._catalog import loss
from lossd.losses._inputs import Scores
from lossd.losses._ops import is_ignored, positive_part
from lossd.losses._spec import Arg, Card, Example, LossParams
from lossd.losses.segmentation._sorted import lovasz_extension


class LovaszHingeParams(LossParams):
    """Parameters of `lovasz_hinge`."""

    ignore_index: int | None = Field(None, description="Label of pixels that do not count.")


def counted(params: LovaszHingeParams, labels: Int[Tensor, "rows *rest"]) -> Tensor:
    """1 for an image of which something counts, else 0."""
    kept = ~is_ignored(labels, params.ignore_index)
    return kept.unsqueeze(1).flatten(1).any(1).double()


@loss(
    formula=r"\overline{\Delta_J}(\max(0, 1 - s_i y_i)),\quad y_i = \pm 1",
    source="Berman, Triki and Blaschko 2018, arXiv:1705.08790, eq. 6 to 8",
    units="score units",
    weights=counted,
    card=Card(
        characteristics="Convex in the scores, piecewise linear; errors are weighed by what they "
        "add to the Jaccard loss, the largest first.",
        use="One region judged by IoU, after training with a pixelwise loss.",
        stability="Equal errors are ranked by place, always the same. The subgradient at a margin "
        "of 1 is 0.",
        data="One score per pixel, labels 0 and 1.",
    ),
    example=Example({"scores": [[2.0, 0.5, -1.0, 0.3]], "labels": [[1, 0, 0, 1]]}),
)
def lovasz_hinge(
    scores: Scores,
    labels: Annotated[
        Int[Tensor, "rows *rest"],
        Arg(doc="1: a pixel of the region; 0: none; or `ignore_index`.", values=(0, 1)),
    ],
    *,
    params: LovaszHingeParams,
) -> Float[Tensor, "rows"]:
    """The Lovász extension of the Jaccard loss of an image's hinge errors.

    Ignored pixels count nowhere. For one ranking over a whole batch, send it as one row.

    Returns one value per image, >= 0; 0 where all is ignored.
    """
    kept = (~is_ignored(labels, params.ignore_index)).to(scores.dtype)
    truth = (labels == 1).to(scores.dtype) * kept
    errors = 1.0 - scores * (2.0 * truth - 1.0)
    errors, truth, kept = (x.unsqueeze(1).flatten(1) for x in (errors, truth, kept))
    return lovasz_extension(positive_part(errors), truth, kept).to(scores.dtype)
