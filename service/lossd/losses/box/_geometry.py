"""What two boxes have in common. All of it is free of eps: a ratio to nothing is 0.

Where two edges coincide, the gradient is the mean of both sides; boxes that do not overlap have no
gradient through their overlap.
"""

from dataclasses import dataclass
from typing import Annotated, Any, Literal

import torch
from jaxtyping import Float
from pydantic import Field
from torch import Tensor

from lossd.losses._spec import Arg, LossParams

BoxFormat = Literal["xyxy", "cxcywh"]
PredictedBoxes = Annotated[
    Float[Tensor, "rows 4"],
    Arg(doc="Predicted boxes, in the format `box_format`.", gradient=True, boxes=True),
]
TargetBoxes = Annotated[
    Float[Tensor, "rows 4"], Arg(doc="True boxes, in the unit of the predicted ones.", boxes=True)
]
EXAMPLE: dict[str, Any] = {
    "boxes": [[10.0, 10.0, 50.0, 40.0], [0.0, 0.0, 10.0, 10.0]],
    "target_boxes": [[12.0, 8.0, 52.0, 44.0], [20.0, 20.0, 30.0, 30.0]],
}


class BoxParams(LossParams):
    """What every loss of boxes must know."""

    box_format: BoxFormat = Field(
        "xyxy", description="Two corners (x1, y1, x2, y2), or centre and size (cx, cy, w, h)."
    )


@dataclass(frozen=True, slots=True)
class Pairs:
    """Predicted boxes and true ones, row by row, in the unit of the larger side around both.

    Sizes and differences of centres are (rows, 2): along x and y. Areas are (rows,).
    """

    size: Tensor
    target_size: Tensor
    between_centres: Tensor
    enclosing: Tensor
    union: Tensor
    iou: Tensor

    @property
    def enclosing_area(self) -> Tensor:
        """Of the smallest box around both."""
        return self.enclosing.prod(1)


def ratio(part: Tensor, whole: Tensor) -> Tensor:
    """part / whole, and 0 without gradient where the whole is 0."""
    nothing = whole == 0
    return part.masked_fill(nothing, 0.0) / whole.masked_fill(nothing, 1.0)


def pairs_of(boxes: Tensor, target_boxes: Tensor, box_format: BoxFormat) -> Pairs:
    """Measure each box against its target.

    What is computed of a `Pairs` must not depend on its unit, which counts as constant.
    """
    low, high = _corners(boxes, box_format)
    target_low, target_high = _corners(target_boxes, box_format)
    enclosing = torch.maximum(high, target_high) - torch.minimum(low, target_low)
    unit = enclosing.detach().amax(1, keepdim=True)
    unit = unit.masked_fill(unit == 0, 1.0)
    shared = torch.relu(torch.minimum(high, target_high) - torch.maximum(low, target_low)) / unit
    size, target_size = (high - low) / unit, (target_high - target_low) / unit
    intersection = shared.prod(1)
    union = size.prod(1) + target_size.prod(1) - intersection
    return Pairs(
        size=size,
        target_size=target_size,
        between_centres=0.5 * ((target_low - low) + (target_high - high)) / unit,
        enclosing=enclosing / unit,
        union=union,
        iou=ratio(intersection, union),
    )


def centre_penalty(pairs: Pairs) -> Tensor:
    """Squared distance of centres over the squared diagonal of the box around both."""
    return ratio(pairs.between_centres.square().sum(1), pairs.enclosing.square().sum(1))


def empty_share(pairs: Pairs) -> Tensor:
    """The share of the box around both that neither covers."""
    area = pairs.enclosing_area
    return ratio(area - pairs.union, area)


def aspect_difference(pairs: Pairs) -> Tensor:
    """The v of CIoU: squared difference of the angles of both diagonals, at most 1."""
    return (4 / torch.pi**2) * (_angle(pairs.target_size) - _angle(pairs.size)).square()


def _angle(size: Tensor) -> Tensor:
    """arctan(w / h); that of a point is 0, without gradient."""
    width, height = size.unbind(1)
    nothing = (width == 0) & (height == 0)
    return torch.atan2(width, height.masked_fill(nothing, 1.0))


def _corners(boxes: Tensor, box_format: BoxFormat) -> tuple[Tensor, Tensor]:
    """The lower and the upper corner of each box, (rows, 2) each."""
    first, second = boxes[:, :2], boxes[:, 2:]
    if box_format == "xyxy":
        return first, second
    return first - 0.5 * second, first + 0.5 * second
