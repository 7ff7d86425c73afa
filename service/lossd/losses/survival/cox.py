"""Cox partial likelihood: at each event, who of those still at risk had it?"""

from typing import Annotated, Literal

import torch
from jaxtyping import Float, Int
from pydantic import Field
from torch import Tensor

from lossd.losses._catalog import loss
from lossd.losses._ops import log_sum_exp
from lossd.losses._spec import Arg, Card, Example, LossParams
from lossd.losses.survival._times import Events


class CoxParams(LossParams):
    """Parameters of `cox`."""

    ties: Literal["breslow", "efron"] = Field(
        "efron", description="How events at one time share the risk set."
    )


def weight_of_row(params: CoxParams, events: Int[Tensor, "rows"]) -> Tensor:
    """1 per event, 0 per censored row."""
    return events.to(torch.float64)


@loss(
    formula=r"-h_i + \log \sum_{t_j \ge t_i} e^{h_j}",
    source="Cox 1972, Regression Models and Life-Tables, J. R. Stat. Soc. B 34, 187-220, eq. 12; "
    "Breslow 1974, Biometrics 30, 89-99; Efron 1977, JASA 72, 557-565",
    units="nats",
    weights=weight_of_row,
    coupling="coupled",
    matrices=(("rows", "rows"),),
    card=Card(
        characteristics="Uses only the order of the times; the level of the log-hazards is free.",
        use="Relative risk with any model in place of the linear one (DeepSurv).",
        stability="Stable for any finite log-hazard. The risk set is the batch: small batches are "
        "noisy, and a batch without events has no mean.",
        data="Durations on one clock, right-censored; Efron where many events tie.",
    ),
    example=Example(
        {
            "log_hazards": [0.5, -0.3, 1.2, 0.1],
            "durations": [2.0, 3.0, 1.0, 3.0],
            "events": [1, 1, 1, 0],
        }
    ),
)
def cox(
    log_hazards: Annotated[
        Float[Tensor, "rows"], Arg(doc="Log of each row's relative hazard.", gradient=True)
    ],
    durations: Annotated[
        Float[Tensor, "rows"], Arg(doc="Time of the event or of the last sight of the row.")
    ],
    events: Events,
    *,
    params: CoxParams,
) -> Float[Tensor, "rows"]:
    """Minus the log of an event's share of the hazards at risk; 0 for censored rows.

    A row is at risk at its own time. Under Efron every event of a tie takes the mean over the
    places that it could have in it, so that the order of rows does not matter.

    Returns one value per row, in nats, >= 0; a mean is over events.
    """
    if not len(events):
        return 0.0 * log_hazards
    happened = events == 1
    at_risk = durations.unsqueeze(0) >= durations.unsqueeze(1)
    ahead = log_hazards.unsqueeze(0) - log_hazards.unsqueeze(1)
    ahead = ahead.masked_fill(~at_risk, -torch.inf)
    value = log_sum_exp(ahead, 1)
    if params.ties == "efron":
        value = value + _of_ties(torch.softmax(ahead, 1), durations, happened)
    return value.masked_fill(~happened, 0.0)


def _of_ties(shares: Tensor, durations: Tensor, happened: Tensor) -> Tensor:
    """Mean over the places k = 0, 1, ... of a tie of d events of log(1 - k / d * its share)."""
    itself = torch.eye(len(durations), dtype=torch.bool, device=durations.device)
    tied = (durations.unsqueeze(0) == durations.unsqueeze(1)) & happened | itself
    share = shares.masked_fill(~tied, 0.0).sum(1, keepdim=True)
    count = tied.sum(1, keepdim=True)
    place = torch.arange(len(durations), device=durations.device).unsqueeze(0)
    gone = (place / count).to(share.dtype).masked_fill(place >= count, 0.0)
    return torch.log1p(-gone * share).sum(1) / count.squeeze(1)
