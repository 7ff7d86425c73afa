"""Connectionist temporal classification: labels without knowing which frame they belong to."""

from typing import Annotated, Literal

import torch
from jaxtyping import Float, Int
from pydantic import Field
from torch import Tensor

from lossd.losses._catalog import loss
from lossd.losses._ops import log_sum_exp
from lossd.losses._spec import Arg, Card, Example, LossParams
from lossd.losses.sequence._paths import (
    NEVER,
    InputLengths,
    infinite_where_impossible,
    lengths_or,
    without_infinity,
)


class CtcParams(LossParams):
    """Parameters of `ctc`."""

    blank: Literal["first", "last"] = Field(
        "first", description="Which class is the blank: torch has the first, Keras the last."
    )
    zero_infinity: bool = Field(
        False, description="Whether a row that no path fits costs 0 instead of infinity."
    )
    denominator: Literal["rows", "label_mean", "labels"] = Field(
        "rows",
        description="What a mean divides by: rows; rows, each first divided by its number of "
        "labels (label_mean, as in torch); or all labels.",
    )


def weight_of_row(
    params: CtcParams,
    labels: Int[Tensor, "rows length"],
    label_lengths: Int[Tensor, "rows"] | None = None,
) -> Tensor:
    """1 per row, or its number of labels."""
    if params.denominator != "labels":
        return torch.ones(labels.shape[0], dtype=torch.float64, device=labels.device)
    return lengths_or(label_lengths, labels, labels.shape[1]).to(torch.float64)


@loss(
    formula=r"-\log \sum_{\pi \in \mathcal{B}^{-1}(y)} \prod_t p_t(\pi_t)",
    source="Graves et al. 2006, Connectionist Temporal Classification, ICML, eq. 8 and 14",
    units="nats",
    weights=weight_of_row,
    exactly_one_of=(("logits", "log_probabilities"),),
    matrices=(("time", "length"),),
    card=Card(
        characteristics="Sums over all alignments; frames are independent given the input.",
        use="Speech and handwriting, where labels come in order and frames outnumber them.",
        stability="In logarithms throughout. A row with fewer frames than its labels and repeats "
        "need has no path: +inf and no gradient, or 0 with zero_infinity.",
        data="Label sequences without blanks; between equal labels a blank frame is needed.",
    ),
    example=Example(
        {
            "logits": [[[0.1, 1.2, 0.3], [0.5, 0.2, -0.1], [0.0, -0.4, 1.1]]],
            "labels": [[1, 2]],
        }
    ),
)
def ctc(
    logits: Annotated[
        Float[Tensor, "rows time classes"], Arg(doc="Raw scores of each frame.", gradient=True)
    ]
    | None = None,
    log_probabilities: Annotated[
        Float[Tensor, "rows time classes"],
        Arg(
            doc="Log-probabilities of each frame; -inf is probability 0.",
            gradient=True,
            high=0,
            minus_infinity=True,
        ),
    ]
    | None = None,
    *,
    labels: Annotated[
        Int[Tensor, "rows length"],
        Arg(doc="Labels of each row, then anything legal as padding.", index_of="classes"),
    ],
    input_lengths: InputLengths | None = None,
    label_lengths: Annotated[
        Int[Tensor, "rows"],
        Arg(doc="Labels of each row; all if absent.", index_of="length", index_past=1),
    ]
    | None = None,
    params: CtcParams,
) -> Float[Tensor, "rows"]:
    """Negative log-likelihood of a label sequence, summed over its alignments with the frames.

    Gradients of `log_probabilities` are those of free numbers, not of ones that sum to 1.

    Returns one value per row, in nats, >= 0; +inf, or 0, where no alignment exists.
    """
    if logits is not None:
        log_probabilities = torch.log_softmax(logits, 2)
    assert log_probabilities is not None
    frames = lengths_or(input_lengths, labels, log_probabilities.shape[1])
    count = lengths_or(label_lengths, labels, labels.shape[1])
    blank = 0 if params.blank == "first" else log_probabilities.shape[2] - 1
    likelihood = _log_likelihood(log_probabilities, labels, frames, count, blank)
    value = infinite_where_impossible(likelihood, 0.0 if params.zero_infinity else torch.inf)
    if params.denominator == "label_mean":
        value = value / count.clamp(min=1)
    return value


def _log_likelihood(
    log_p: Tensor, labels: Tensor, frames: Tensor, count: Tensor, blank: int
) -> Tensor:
    """By the forward recursion over the labels with a blank before, between and behind them."""
    rows, length = labels.shape
    states = torch.full((rows, 2 * length + 1), blank, dtype=torch.int64, device=labels.device)
    states[:, 1::2] = labels
    emitted = without_infinity(log_p).gather(2, states.unsqueeze(1).expand(-1, log_p.shape[1], -1))
    number = torch.arange(2 * length + 1, device=labels.device)
    differs = states[:, 2:] != states[:, :-2]
    may_skip = torch.nn.functional.pad(differs & (states[:, 2:] != blank), (2, 0))[:, : len(number)]
    # Before the first frame: as if one could step into the first two states alone.
    alpha = emitted.new_full((rows, 2 * length + 1), NEVER).masked_fill(number < 1, 0.0)
    for t in range(log_p.shape[1]):
        step = _shifted(alpha, 1)
        skip = _shifted(alpha, 2).masked_fill(~may_skip, NEVER)
        ways = torch.stack([alpha, step, skip]) if t else torch.stack([alpha, step])
        moved = log_sum_exp(ways, 0) + emitted[:, t]
        alpha = torch.where((t < frames).unsqueeze(1), moved, alpha)
    at_blank = alpha.gather(1, 2 * count.unsqueeze(1)).squeeze(1)
    at_label = alpha.gather(1, (2 * count - 1).clamp(min=0).unsqueeze(1)).squeeze(1)
    ends = torch.stack([at_blank, at_label.masked_fill(count == 0, NEVER)])
    return log_sum_exp(ends, 0)


def _shifted(alpha: Tensor, by: int) -> Tensor:
    """Each state's value at the state `by` further on."""
    width = alpha.shape[1]
    return torch.nn.functional.pad(alpha, (by, 0), value=NEVER)[:, :width]
