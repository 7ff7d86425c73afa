"""RNN transducer: labels and frames in one lattice, each label given those before it."""

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
)


class TransducerParams(LossParams):
    """Parameters of `transducer`."""

    blank: Literal["first", "last"] = Field(
        "first", description="Which class is the blank, that goes on to the next frame."
    )


@loss(
    formula=r"-\log \sum_{\pi} \prod p(\pi_i \mid t_i, u_i),\quad "
    r"\text{from } (0, 0) \text{ to } (T, U) \text{ by blanks and labels}",
    source="Graves 2012, Sequence Transduction with Recurrent Neural Networks, arXiv:1211.3711, "
    "eq. 16 to 18",
    units="nats",
    card=Card(
        characteristics="CTC with a language model inside: a label may depend on all before it.",
        use="Streaming speech recognition (RNN-T).",
        stability="In logarithms throughout, by diagonals of the lattice.",
        data="Scores of every pair of frame and state, which is a large tensor: cut the batch.",
    ),
    example=Example(
        {
            "logits": [[[[0.1, 0.5, 0.2], [0.4, -0.1, 0.3]], [[0.2, 0.3, -0.5], [1.0, 0.1, 0.0]]]],
            "labels": [[2, 0]],
        }
    ),
)
def transducer(
    logits: Annotated[
        Float[Tensor, "rows time states classes"],
        Arg(doc="Raw scores at each frame after each number of labels, from 0.", gradient=True),
    ],
    labels: Annotated[
        Int[Tensor, "rows states"],
        Arg(doc="Labels of each row, then padding: the last is never read.", index_of="classes"),
    ],
    input_lengths: InputLengths | None = None,
    label_lengths: Annotated[
        Int[Tensor, "rows"],
        Arg(doc="Labels of each row, at most states - 1, the default.", index_of="states"),
    ]
    | None = None,
    *,
    params: TransducerParams,
) -> Float[Tensor, "rows"]:
    """Negative log-likelihood of a label sequence, summed over its alignments with the frames.

    Returns one value per row, in nats, >= 0; +inf, without a gradient, for a row without frames.
    """
    rows, time, states, classes = logits.shape
    if not time or not states:
        return logits.sum((1, 2, 3)) + torch.inf
    frames = lengths_or(input_lengths, labels, time)
    count = lengths_or(label_lengths, labels, states - 1)
    log_p = torch.log_softmax(logits, 3)
    blank = log_p[..., 0 if params.blank == "first" else classes - 1]
    emitted = log_p.gather(3, labels.view(rows, 1, states, 1).expand(-1, time, -1, 1)).squeeze(3)
    alpha = _by_diagonals(blank, emitted)
    last = (frames - 1).clamp(min=0)
    ends = alpha[last + count, torch.arange(rows, device=logits.device), count]
    ends = ends + blank[torch.arange(rows, device=logits.device), last, count]
    return infinite_where_impossible(ends.masked_fill(frames == 0, NEVER), torch.inf)


def _by_diagonals(blank: Tensor, emitted: Tensor) -> Tensor:
    """(diagonals, rows, states): the log-probability of coming to frame n - u after u labels."""
    _, time, states = blank.shape
    state = torch.arange(states, device=blank.device)
    alpha = blank.new_full((len(blank), states), NEVER).masked_fill(state == 0, 0.0)
    found = [alpha]
    for n in range(1, time + states - 1):
        frame = n - state  # of each state on this diagonal
        before = (frame - 1).clamp(0, time - 1)
        waited = alpha + blank[:, before, state]
        wrote = alpha + emitted[:, frame.clamp(0, time - 1).roll(-1), state]
        wrote = torch.nn.functional.pad(wrote, (1, 0), value=NEVER)[:, :states]
        waited = waited.masked_fill((frame < 1) | (frame >= time), NEVER)
        wrote = wrote.masked_fill((frame < 0) | (frame >= time), NEVER)
        alpha = log_sum_exp(torch.stack([waited, wrote]), 0)
        found.append(alpha)
    return torch.stack(found)
