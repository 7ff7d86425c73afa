"""multilabel_margin, multilabel_soft_margin, zlpr, two_way."""

from typing import Any

import torch
import torch.nn.functional as F
from mpmath import mpf

from references._mp import row_case, softplus
from references._torch import randoms, torch_case

Z = ("logits",)
NEAR = {"logits": randoms(311, 3, 4), "targets": [[1, 0, 0, 1], [0, 1, 0, 0], [1, 0, 1, 1]]}
SIDES = {"logits": randoms(312, 2, 3), "targets": [[0, 0, 0], [1, 1, 1]]}
FAR = {
    "logits": [[50.0, -50.0, 0.0], [120.0, 1e4, -120.0], [-1e4, 1e4, 0.0], [1e4, -1e4, 1.0]],
    "targets": [[0, 1, 0], [1, 0, 1], [1, 0, 0], [1, 0, 0]],
}
DIGITS = "mpmath 1.3.0, 50 digits"
EXTREME = f"{DIGITS}: logits to 1e4"


def _listed(targets: torch.Tensor) -> torch.Tensor:
    """As torch wants labels: their indices, and then -1."""
    rows = [[j for j, each in enumerate(row) if each] for row in targets.tolist()]
    return torch.tensor([row + [-1] * (targets.shape[1] - len(row)) for row in rows])


def multilabel_margin() -> list[dict[str, Any]]:
    def f(params: Any, logits: Any, targets: Any) -> Any:
        labelled = [z for z, t in zip(logits, targets, strict=True) if t]
        others = [z for z, t in zip(logits, targets, strict=True) if not t]
        m = mpf(params.get("margin", 1.0))
        total = sum((max(mpf(0), m + b - a) for a in labelled for b in others), mpf(0))
        return total / len(logits) if params.get("divide_by_classes", True) else total

    def plain(logits: Any, targets: Any) -> Any:
        return F.multilabel_margin_loss(logits, _listed(targets), reduction="none")

    name = "torch 2.13.0 F.multilabel_margin_loss"
    return [
        torch_case(f"smooth: {name}", plain, NEAR, wrt=Z),
        torch_case(f"{name}: no label, and no other class", plain, SIDES, wrt=Z),
        row_case(EXTREME, f, FAR, {"margin": 0.5, "divide_by_classes": False}, wrt=Z),
        {
            "from": "by hand: subgradient 0 at the kink, by ruling",
            "inputs": {"logits": [[2.0, 1.0, 0.0]], "targets": [[1, 0, 0]]},
            "params": {},
            "values": [0.0],
            "gradients": {"logits": [[0.0, 0.0, 0.0]]},
        },
    ]


def multilabel_soft_margin() -> list[dict[str, Any]]:
    def f(params: Any, logits: Any, targets: Any) -> Any:
        terms = [softplus(-z if t else z) for z, t in zip(logits, targets, strict=True)]
        return sum(terms) / len(terms)

    def plain(logits: Any, targets: Any, class_weights: Any = None) -> Any:
        return F.multilabel_soft_margin_loss(logits, targets, class_weights, reduction="none")

    name = "torch 2.13.0 F.multilabel_soft_margin_loss"
    weighted = NEAR | {"class_weights": [0.5, 1.0, 2.0, 0.0]}
    return [
        torch_case(f"smooth: {name}", plain, NEAR, wrt=Z),
        torch_case(f"smooth: {name}, class weights", plain, weighted, wrt=Z),
        row_case(EXTREME, f, FAR, wrt=Z),
    ]


CASES = {
    "multilabel_margin": multilabel_margin,
    "multilabel_soft_margin": multilabel_soft_margin,
}
