"""Reference values by pytorch-metric-learning: its unreduced losses, added up by their anchors."""

from collections.abc import Callable
from typing import Any

import torch
from pytorch_metric_learning.distances import LpDistance
from pytorch_metric_learning.reducers import DoNothingReducer
from torch import Tensor

PML = "pytorch-metric-learning 2.9.0"


def unreduced(make: Callable[..., Any], **options: Any) -> Any:
    """One of its losses, without its reducer."""
    return make(**options, reducer=DoNothingReducer())


def per_anchor(loss: Any) -> Callable[..., Tensor]:
    """Its losses of pairs, triplets or rows, each added to the row of its anchor."""

    def rows(embeddings: Tensor, labels: Tensor, chosen: Any = None) -> Tensor:
        total = torch.zeros(len(labels), dtype=embeddings.dtype)
        for part in loss(embeddings, labels, chosen).values():
            if isinstance(part["losses"], Tensor):
                anchors = part["indices"]
                anchors = anchors[0] if isinstance(anchors, tuple | list) else anchors
                total = total.index_add(0, anchors, part["losses"].flatten())
        return total

    return rows


def with_weights(loss: Any, name: str, weights: Tensor) -> Any:
    """The loss with its parameter replaced by a tensor that gets the gradient."""
    del loss._parameters[name]
    setattr(loss, name, weights)
    loss.cast_types = lambda *_: None
    return loss


def plain_distance(power: int = 1) -> Any:
    return LpDistance(normalize_embeddings=False, power=power)


def counts(labels: list[int]) -> tuple[list[int], list[int]]:
    """How many positives and negatives each row has."""
    same = [sum(each == x for each in labels) - 1 for x in labels]
    return same, [len(labels) - 1 - n for n in same]


def pairs_with_negatives(labels: list[int]) -> float:
    """All pairs of an anchor that has negatives and one of its positives."""
    return float(sum(p for p, n in zip(*counts(labels), strict=True) if n))


def anchors_with_both(labels: list[int]) -> float:
    return float(sum(bool(p and n) for p, n in zip(*counts(labels), strict=True)))


def nothing(labels: list[int], embeddings: Any, source: str) -> dict[str, Any]:
    """A case in which no anchor counts."""
    return {
        "from": f"by hand: {source}",
        "inputs": {"embeddings": embeddings, "labels": labels},
        "params": {},
        "values": [0.0] * len(labels),
        "denominator": 0.0,
        "gradients": {"embeddings": [[0.0] * len(row) for row in embeddings]},
    }
