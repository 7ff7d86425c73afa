"""Structural similarity: whether two images agree in brightness, contrast and structure."""

from typing import Annotated

import torch
from jaxtyping import Float
from pydantic import Field
from torch import Tensor

from lossd.losses._catalog import loss
from lossd.losses._spec import Arg, Card, Example, LossParams


class SsimParams(LossParams):
    """Parameters of `ssim`."""

    window: int = Field(11, ge=1, le=65, description="Side of the Gaussian window, in pixels.")
    sigma: float = Field(1.5, gt=0, le=100, description="Its standard deviation, in pixels.")
    data_range: float = Field(
        1.0, gt=0, description="L, the largest value less the least that images may have."
    )
    k1: float = Field(0.01, gt=0, le=1, description="Constant of the brightness, in shares of L.")
    k2: float = Field(0.03, gt=0, le=1, description="Constant of the contrast, in shares of L.")


@loss(
    formula=r"1 - \overline{\frac{(2 \mu_x \mu_y + c_1)(2 \sigma_{xy} + c_2)}"
    r"{(\mu_x^2 + \mu_y^2 + c_1)(\sigma_x^2 + \sigma_y^2 + c_2)}},\quad c_i = (k_i L)^2",
    source="Wang et al. 2004, IEEE Transactions on Image Processing 13, 600-612, eq. 13",
    units="1",
    card=Card(
        characteristics="In [0, 2], 0 for equal images; closer to what eyes see than squared "
        "errors.",
        use="Restoration, compression, super-resolution, depth; often beside an L1.",
        stability="In float64, where a variance is the difference of large numbers. Libraries "
        "halve it, or pad the edges: here only whole windows count.",
        data="Images with the channels on axis 1, on a known range.",
    ),
    example=Example(
        {
            "prediction": [[[[0.1, 0.5, 0.9], [0.2, 0.4, 0.8], [0.3, 0.6, 0.7]]]],
            "target": [[[[0.2, 0.5, 0.8], [0.1, 0.4, 0.9], [0.3, 0.5, 0.7]]]],
        },
        {"window": 3},
    ),
)
def ssim(
    prediction: Annotated[
        Float[Tensor, "rows channels height width"],
        Arg(doc="Predicted images.", gradient=True),
    ],
    target: Annotated[
        Float[Tensor, "rows channels height width"],
        Arg(doc="True images.", gradient=True),
    ],
    *,
    params: SsimParams,
) -> Float[Tensor, "rows"]:
    """One minus the mean of the structural similarity over an image's channels and windows.

    A side shorter than the window has a window as long as it is.

    Returns one value per image, in [0, 2]; 0 where there are no pixels.
    """
    x, y = prediction.double(), target.double()
    if not x.numel():
        return (x.flatten(1).sum(1) + y.flatten(1).sum(1)).to(prediction.dtype)
    mean_x, mean_y = _blurred(x, params), _blurred(y, params)
    squares = mean_x * mean_x + mean_y * mean_y
    variances = _blurred(x * x + y * y, params) - squares
    covariance = _blurred(x * y, params) - mean_x * mean_y
    c1, c2 = (params.k1 * params.data_range) ** 2, (params.k2 * params.data_range) ** 2
    brightness = (2.0 * mean_x * mean_y + c1) / (squares + c1)
    structure = (2.0 * covariance + c2) / (variances + c2)
    return (1.0 - (brightness * structure).flatten(1).mean(1)).to(prediction.dtype)


def _blurred(x: Tensor, params: SsimParams) -> Tensor:
    """The Gaussian means of all whole windows, along height and then width."""
    for axis in (2, 3):
        size = min(params.window, x.shape[axis])
        place = torch.arange(size, dtype=torch.float64, device=x.device) - 0.5 * (size - 1)
        window = torch.exp(-place.square() / (2.0 * params.sigma**2))
        x = x.unfold(axis, size, 1) @ (window / window.sum())
    return x
