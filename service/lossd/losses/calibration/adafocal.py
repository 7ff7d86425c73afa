"""AdaFocal: focal loss with a focus per bin of confidence, moved by how calibrated the bin was."""

from typing import Annotated

import torch
from jaxtyping import Float
from pydantic import Field
from torch import Tensor

from lossd.losses._catalog import loss
from lossd.losses._inputs import RowLabels, RowLogits
from lossd.losses._ops import at_label, log_softmax
from lossd.losses._spec import Arg, Card, Example, LossParams
from lossd.losses.calibration._confidence import confidence_and_gap, focal_value, missed

Gammas = Annotated[
    Float[Tensor, "bins"],
    Arg(
        doc="Focus of each bin after earlier calls; below 0 it is inverse. 1 if absent.",
        low=-100,
        high=100,
        role="state",
    ),
]
BinTops = Annotated[
    Float[Tensor, "bins"],
    Arg(
        doc="The largest confidence of each bin, in ascending order; even bins if absent.",
        low=0,
        high=1,
        role="state",
    ),
]


class AdafocalParams(LossParams):
    """Parameters of `adafocal`."""

    bins: int = Field(15, ge=1, le=1000, description="How many bins of confidence there are.")
    rate: float = Field(1.0, ge=0, le=100, description="lambda: how fast gammas move.")
    gamma_max: float = Field(20.0, gt=0, le=100, description="Largest gamma.")
    gamma_min: float = Field(-2.0, ge=-100, lt=0, description="Smallest, of the inverse loss.")
    switch: float = Field(
        0.2, gt=0, le=1, description="Size of gamma below which its sign is changed."
    )


def state(
    params: AdafocalParams,
    logits: Tensor,
    labels: Tensor,
    gammas: Tensor | None = None,
    bin_tops: Tensor | None = None,
) -> dict[str, Tensor]:
    """The next `gammas`, and bins of as many rows each, from a call on held-out rows."""
    confidence, gap = confidence_and_gap(logits.detach().double(), labels)
    old, tops = _old(params, gammas, bin_tops, logits)
    if len(confidence):
        last = torch.arange(1, params.bins + 1, device=logits.device) * len(confidence)
        last = (last + params.bins - 1) // params.bins - 1
        tops = confidence.sort().values[last]
        tops[-1] = 1.0
    bins = _bins(confidence, tops.double())
    zeros = torch.zeros(params.bins, dtype=torch.float64, device=logits.device)
    sizes = zeros.index_add(0, bins, torch.ones_like(gap))
    # Confidence less accuracy, which is minus the gap; a bin without rows does not move.
    over = -zeros.index_add(0, bins, gap) / sizes.clamp(min=1.0)
    old = old.double()
    moved = old * torch.exp(params.rate * over * old.sign())
    moved = moved.clamp(params.gamma_min, params.gamma_max)
    switched = torch.where(old >= 0, -params.switch, params.switch)
    moved = torch.where(moved.abs() < params.switch, switched, moved)
    return {"gammas": moved.to(logits.dtype), "bin_tops": tops.to(logits.dtype)}


def _old(
    params: AdafocalParams, gammas: Tensor | None, bin_tops: Tensor | None, like: Tensor
) -> tuple[Tensor, Tensor]:
    if gammas is None:
        gammas = like.new_ones(params.bins)
    if bin_tops is None:
        even = torch.arange(1, params.bins + 1, device=like.device).to(like.dtype)
        bin_tops = even / params.bins
    return gammas, bin_tops


def _bins(confidence: Tensor, tops: Tensor) -> Tensor:
    return torch.searchsorted(tops, confidence).clamp(max=len(tops) - 1)


@loss(
    formula=r"-(1 - p_y)^{\gamma_b} \log p_y \text{ if } \gamma_b \ge 0,\ "
    r"-(1 + p_y)^{-\gamma_b} \log p_y \text{ else},\quad b = b(p_y);\quad "
    r"\gamma_b \leftarrow \gamma_b\, e^{\pm \lambda (R_b - A_b)}",
    source="Ghosh, Schaaf and Gormley 2022, arXiv:2211.11838, algorithm 1",
    units="nats",
    state=state,
    card=Card(
        characteristics="Each bin of confidence has a focus of its own, that grows while the bin "
        "is over-confident and turns inverse where it is not confident enough.",
        use="Networks that must be calibrated after any number of epochs: train with the state, "
        "and once an epoch ask a call on held-out rows for the next.",
        stability="gammas are bounded on both sides; the bins have no gradient. Near p = 1 value "
        "and gradient go to 0.",
        data="Held-out rows for the state, some hundred of them for each bin.",
    ),
    example=Example(
        {
            "logits": [[2.0, 0.5, -1.0], [0.1, 1.2, 0.3], [0.2, 0.4, 3.0]],
            "labels": [0, 2, 2],
            "gammas": [2.0, 1.0, -0.5],
            "bin_tops": [0.4, 0.8, 1.0],
        },
        {"bins": 3},
    ),
)
def adafocal(
    logits: RowLogits,
    labels: RowLabels,
    gammas: Gammas | None = None,
    bin_tops: BinTops | None = None,
    *,
    params: AdafocalParams,
) -> Float[Tensor, "rows"]:
    """Focal or inverse focal loss, by the bin that the right class's probability is in.

    The value is by the state as given; the new state is by how sure and how right the call's rows
    are, so it is to be asked for on held-out rows.

    Returns one value per row, in nats, >= 0.
    """
    gammas, bin_tops = _old(params, gammas, bin_tops, logits)
    log_p = at_label(log_softmax(logits), labels)
    gamma = gammas[_bins(log_p.detach().exp().to(bin_tops.dtype), bin_tops)].to(log_p.dtype)
    miss = missed(log_p)
    # Powers of a tensor of exponents, without a gradient where the base is 0.
    base = torch.where(gamma >= 0, miss, 1.0 + log_p.exp())
    nothing = base == 0
    power = torch.exp(gamma.abs() * base.masked_fill(nothing, 1.0).log())
    return focal_value(log_p, power.masked_fill(nothing & (gamma != 0), 0.0))
