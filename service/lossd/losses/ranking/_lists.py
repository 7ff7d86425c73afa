"""Inputs and maths that losses of lists of documents share."""

from typing import Annotated, Literal

import torch
from jaxtyping import Float, Int
from torch import Tensor

from lossd.losses._ops import log_sum_exp
from lossd.losses._spec import Arg

Denominator = Literal["lists", "pairs"]
DOCUMENT_PAIRS = (("documents", "documents"),)

DocumentScores = Annotated[
    Float[Tensor, "rows documents"], Arg(doc="Score of each document of a list.", gradient=True)
]
Relevance = Annotated[
    Float[Tensor, "rows documents"], Arg(doc="Relevance of each document; larger is better.")
]
GradedRelevance = Annotated[
    Float[Tensor, "rows documents"],
    Arg(doc="Relevance of each document, 0 is none; its gain is 2^relevance - 1.", low=0, high=64),
]
DocumentMask = Annotated[
    Int[Tensor, "rows documents"],
    Arg(doc="1: a document; 0: padding. All count if absent.", values=(0, 1)),
]


def present(like: Tensor, mask: Tensor | None) -> Tensor:
    """True for a document, False for padding."""
    return torch.ones_like(like, dtype=torch.bool) if mask is None else mask == 1


def weight_of_list(relevance: Tensor, mask: Tensor | None) -> Tensor:
    """1 per list that has a document."""
    return present(relevance, mask).any(1).to(torch.float64)


def ordered_pairs(relevance: Tensor, mask: Tensor | None) -> Tensor:
    """(rows, i, j): whether document i is more relevant than j, and neither is padding."""
    there = present(relevance, mask)
    better = relevance.unsqueeze(2) > relevance.unsqueeze(1)
    return better & there.unsqueeze(2) & there.unsqueeze(1)


def pairs_or_lists(denominator: Denominator, relevance: Tensor, mask: Tensor | None) -> Tensor:
    """What a list adds to the denominator: its ordered pairs, or 1."""
    if denominator == "lists":
        return weight_of_list(relevance, mask)
    return ordered_pairs(relevance, mask).sum((1, 2), dtype=torch.float64)


def differences(scores: Tensor) -> Tensor:
    """(rows, i, j): by how much document i scores above j."""
    return scores.unsqueeze(2) - scores.unsqueeze(1)


def ranks(scores: Tensor, there: Tensor) -> Tensor:
    """Place of each document from 1 on, padding last; of equal scores the first comes first."""
    order = scores.detach().masked_fill(~there, -torch.inf)
    order = order.argsort(dim=1, descending=True, stable=True)
    places = torch.arange(1, scores.shape[1] + 1, device=scores.device).expand_as(order)
    return torch.empty_like(order).scatter(1, order, places)


def gains(relevance: Tensor, there: Tensor) -> Tensor:
    """2^relevance - 1, of padding 0."""
    return (torch.exp2(relevance) - 1.0).masked_fill(~there, 0.0)


def discounts(places: Tensor) -> Tensor:
    """log2(1 + place)."""
    return torch.log2(1.0 + places)


def best_dcg(gain: Tensor, cutoff: int | None) -> Tensor:
    """(rows, 1): the discounted cumulative gain of the best order, of its first `cutoff` places."""
    best = gain.sort(1, descending=True).values[:, :cutoff]
    places = torch.arange(1, best.shape[1] + 1, device=gain.device, dtype=gain.dtype)
    return (best / discounts(places)).sum(1, keepdim=True)


def share_of_best(gain: Tensor, cutoff: int | None) -> Tensor:
    """Gains over the best discounted cumulative gain; 0 where nothing is relevant."""
    best = best_dcg(gain, cutoff)
    return gain / best.masked_fill(best == 0, 1.0)


def soft_ranks(scores: Tensor, there: Tensor, temperature: float) -> Tensor:
    """1 plus the soft number of documents that score above each one."""
    above = torch.sigmoid(-differences(scores) / temperature)
    others = there.unsqueeze(1) & ~torch.eye(
        scores.shape[1], dtype=torch.bool, device=scores.device
    )
    return 1.0 + above.masked_fill(~others, 0.0).sum(2)


def log_softmax_of_present(scores: Tensor, there: Tensor) -> Tensor:
    """Over the documents of a list; of padding, and of lists without documents, of no meaning."""
    there = there | ~there.any(1, keepdim=True)
    return torch.log_softmax(scores.masked_fill(~there, -torch.inf), dim=1).masked_fill(~there, 0.0)


def log_likelihoods_by_place(scores: Tensor, relevance: Tensor, there: Tensor) -> Tensor:
    """(rows, places): the log-probability of each document of the best order among those left.

    Equal relevance keeps the order of the input. Padding comes last, with 0.
    """
    order = relevance.masked_fill(~there, -torch.inf).argsort(dim=1, descending=True, stable=True)
    there = there.gather(1, order)
    ordered = scores.gather(1, order).masked_fill(~there, 0.0)
    # Differences first: a cumulative log-sum of large scores has lost their last digits.
    ahead = differences(ordered).transpose(1, 2)
    count = scores.shape[1]
    left = torch.ones(count, count, dtype=torch.bool, device=scores.device).triu()
    itself = torch.eye(count, dtype=torch.bool, device=scores.device)
    drawn_from = (left & there.unsqueeze(1)) | itself
    return -log_sum_exp(ahead.masked_fill(~drawn_from, -torch.inf), 2)
