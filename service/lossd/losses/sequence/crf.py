"""Linear-chain conditional random field: one tag per step, and transitions between tags."""

from typing import Annotated

import torch
from jaxtyping import Float, Int
from torch import Tensor

from lossd.losses._catalog import loss
from lossd.losses._ops import log_sum_exp
from lossd.losses._spec import Arg, Card, Example, LossParams
from lossd.losses.sequence._paths import InputLengths, lengths_or, without_infinity


class CrfParams(LossParams):
    """`crf` has no parameters."""


@loss(
    formula=r"\log \sum_{y'} e^{S(y')} - S(y),\quad "
    r"S(y) = b_{y_1} + e_{y_T} + \sum_t z_t(y_t) + \sum_t A_{y_{t-1}, y_t}",
    source="Lafferty et al. 2001, Conditional Random Fields, ICML, eq. 1; the scores of Lample et "
    "al. 2016, arXiv:1603.01360, section 2.2",
    units="nats",
    matrices=(("classes", "classes"), ("time", "classes")),
    card=Card(
        characteristics="Normalised over whole tag sequences; convex in all of its inputs.",
        use="Named entities, segmentation of text: where some tags cannot follow others.",
        stability="In logarithms throughout; -inf in the transitions forbids a step. A forbidden "
        "tag sequence costs +inf.",
        data="One tag for each step; steps past the length of a row do not count.",
    ),
    example=Example(
        {
            "logits": [[[1.0, 0.2], [0.3, 0.5], [-0.2, 0.9]]],
            "transitions": [[0.5, -0.5], [-0.2, 0.4]],
            "labels": [[0, 1, 1]],
        }
    ),
)
def crf(
    logits: Annotated[
        Float[Tensor, "rows time classes"],
        Arg(doc="Score of each tag at each step.", gradient=True),
    ],
    transitions: Annotated[
        Float[Tensor, "classes classes"],
        Arg(
            doc="Score of going from the tag of the row to that of the column; -inf forbids it.",
            gradient=True,
            minus_infinity=True,
        ),
    ],
    labels: Annotated[Int[Tensor, "rows time"], Arg(doc="Tag of each step.", index_of="classes")],
    start: Annotated[
        Float[Tensor, "classes"], Arg(doc="Score of each first tag; 0 if absent.", gradient=True)
    ]
    | None = None,
    end: Annotated[
        Float[Tensor, "classes"], Arg(doc="Score of each last tag; 0 if absent.", gradient=True)
    ]
    | None = None,
    input_lengths: InputLengths | None = None,
    *,
    params: CrfParams,
) -> Float[Tensor, "rows"]:
    """Negative log-likelihood of a tag sequence among all of its length.

    Returns one value per row, in nats, >= 0; 0 for a row without steps.
    """
    dtype = logits.dtype
    # A sum over a long path has few digits left in float32 for the ways that differ late.
    logits, transitions = logits.double(), transitions.double()
    zeros = logits.new_zeros(logits.shape[2])
    start, end = zeros if start is None else start, zeros if end is None else end
    frames = lengths_or(input_lengths, labels, logits.shape[1])
    if not logits.shape[1]:
        return logits.sum((1, 2)).to(dtype)
    # Everything relative to the right tags: the sum of all paths over the right one is what is
    # wanted, and the difference of two large scores would have lost its last digits.
    ahead = logits - logits.gather(2, labels.unsqueeze(2))
    taken = transitions[labels[:, :-1], labels[:, 1:]]
    counts = torch.arange(1, logits.shape[1], device=labels.device) < frames.unsqueeze(1)
    forbidden = ((taken == -torch.inf) & counts).any(1)
    transitions, taken = without_infinity(transitions), without_infinity(taken)
    alpha = ahead[:, 0] + start - start[labels[:, 0]].unsqueeze(1)
    for t in range(1, logits.shape[1]):
        step = transitions - taken[:, t - 1].view(-1, 1, 1)
        moved = log_sum_exp(alpha.unsqueeze(2) + step, 1) + ahead[:, t]
        alpha = torch.where(counts[:, t - 1 : t], moved, alpha)
    last = labels.gather(1, (frames - 1).clamp(min=0).unsqueeze(1))
    value = log_sum_exp(alpha + end - end[last], 1)
    return value.masked_fill(forbidden, torch.inf).masked_fill(frames == 0, 0.0).to(dtype)
