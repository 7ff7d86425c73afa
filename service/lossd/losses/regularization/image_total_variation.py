"""Total variation: keeps images piecewise smooth."""

from typing import Annotated, Literal

import torch
from jaxtyping import Float
from pydantic import Field
from torch import Tensor

from lossd.losses._catalog import loss
from lossd.losses._spec import Arg, Card, Example, LossParams


class ImageTotalVariationParams(LossParams):
    """Parameters of `image_total_variation`."""

    kind: Literal["anisotropic", "isotropic", "squared"] = Field(
        "anisotropic",
        description="What of the differences along the axes is summed: absolute values, the "
        "length of each pixel's, or squares.",
    )


@loss(
    formula=r"\sum_x \sum_d |\Delta_d f(x)|,\quad \text{isotropic: } \sum_x \|\Delta f(x)\|_2",
    source="Rudin, Osher and Fatemi 1992, Physica D 60, 259-268, eq. 2.2",
    units="units of the image, or their square",
    card=Card(
        characteristics="Convex; edges cost as much as ramps of the same height. squared smooths "
        "edges away.",
        use="Denoising, style transfer, adversarial patches, depth and flow.",
        stability="Subgradients where neighbours are equal are 0. A pixel at the end of an axis "
        "has no difference along it.",
        data="Images with the channels on axis 1, signals or volumes.",
    ),
    example=Example({"images": [[[[0.1, 0.5, 0.9], [0.2, 0.4, 0.8]]]]}),
)
def image_total_variation(
    images: Annotated[
        Float[Tensor, "rows channels *spatial"],
        Arg(doc="Images, or other signals over space.", gradient=True),
    ],
    *,
    params: ImageTotalVariationParams,
) -> Float[Tensor, "rows"]:
    """The sum of differences of neighbours over channels and pixels.

    Returns one value per image, >= 0; 0 without spatial axes.
    """
    axes = range(2, images.ndim)
    if params.kind == "isotropic":
        steps = [_steps(images, axis, keep=True) for axis in axes]
        if not steps:
            return images.flatten(1).sum(1) * 0.0
        each: Tensor = torch.linalg.vector_norm(torch.stack(steps), dim=0)
        return each.flatten(1).sum(1, dtype=torch.float64).to(images.dtype)
    value = images.flatten(1).sum(1, dtype=torch.float64) * 0.0
    for axis in axes:
        step = _steps(images, axis, keep=False)
        cost = step.square() if params.kind == "squared" else step.abs()
        value = value + cost.flatten(1).sum(1, dtype=torch.float64)
    return value.to(images.dtype)


def _steps(images: Tensor, axis: int, *, keep: bool) -> Tensor:
    """Differences to the next pixel; with `keep`, 0 for the last."""
    step = images.diff(dim=axis)
    if not keep or not images.shape[axis]:
        return step
    return torch.cat((step, torch.zeros_like(images.narrow(axis, 0, 1))), dim=axis)
