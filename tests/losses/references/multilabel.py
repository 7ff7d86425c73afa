"""multilabel_margin, multilabel_soft_margin, zlpr, two_way."""

from typing import Any

import torch
import torch.nn.functional as F
from mpmath import mp, mpf

from references._mp import row_case, softplus
from references._torch import module_alone, randoms, torch_case
from references._whole import whole_case

timm_zlpr = module_alone("timm", "loss/zlpr_loss.py")
timm_two_way = module_alone("timm", "loss/two_way_loss.py")

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


def _checked(case: dict[str, Any], theirs: torch.nn.Module, factor: float) -> dict[str, Any]:
    """Against timm, which computes in float32 and gives one number: its sum is `factor` of it."""
    logits = torch.tensor(case["inputs"]["logits"], requires_grad=True)
    value = theirs(logits, torch.tensor(case["inputs"]["targets"])) * factor
    (gradient,) = torch.autograd.grad(value, logits)
    total = torch.tensor(case["values"]).sum()
    torch.testing.assert_close(value, total, rtol=1e-5, atol=1e-6)
    wanted = torch.tensor(case["gradients"]["logits"])
    torch.testing.assert_close(gradient, wanted, rtol=1e-4, atol=1e-6)
    return case


def zlpr() -> list[dict[str, Any]]:
    def f(params: Any, logits: Any, targets: Any) -> Any:
        pairs = list(zip(logits, targets, strict=True))
        below = mp.log1p(sum((mp.exp(-z) for z, t in pairs if t), mpf(0)))
        return below + mp.log1p(sum((mp.exp(z) for z, t in pairs if not t), mpf(0)))

    near = row_case(f"smooth: {DIGITS}; checked with timm 1.0.31 in float32", f, NEAR, wrt=Z)
    sides = row_case(
        f"{DIGITS}: no label, and no other class; checked with timm 1.0.31", f, SIDES, wrt=Z
    )
    return [
        _checked(near, timm_zlpr.ZlprLoss(), 3.0),
        _checked(sides, timm_zlpr.ZlprLoss(), 2.0),
        row_case(EXTREME, f, FAR, wrt=Z),
    ]


def _two_way(params: Any, logits: Any, targets: Any) -> Any:
    warm = mpf(params.get("positive_temperature", 4.0))
    cool = mpf(params.get("negative_temperature", 1.0))

    def mean(lines: list[Any]) -> Any:
        found = []
        for line in lines:
            positive = [z for z, t in line if t]
            negative = [z for z, t in line if not t]
            if positive and negative:
                low = warm * mp.log(sum(mp.exp(-z / warm) for z in positive))
                found.append(softplus(low + cool * mp.log(sum(mp.exp(z / cool) for z in negative))))
            elif positive:
                found.append(mpf(0))
        return sum(found, mpf(0)) / max(len(found), 1)

    rows = [list(zip(*each, strict=True)) for each in zip(logits, targets, strict=True)]
    return mean(rows) + mean([list(each) for each in zip(*rows, strict=True)])


def two_way() -> list[dict[str, Any]]:
    name = "checked with timm 1.0.31 in float32"
    near = whole_case(f"smooth: {DIGITS}; {name}", _two_way, NEAR, wrt=Z)
    heat = {"positive_temperature": 0.5, "negative_temperature": 2.0}
    other = whole_case(f"smooth: {DIGITS}, temperatures; {name}", _two_way, NEAR, heat, wrt=Z)
    sides = whole_case(f"{DIGITS}: no label, and no other class; {name}", _two_way, SIDES, wrt=Z)
    none = {"logits": [[1.0, 2.0]], "targets": [[0, 0]]}
    return [
        _checked(near, timm_two_way.TwoWayLoss(), 1.0),
        _checked(other, timm_two_way.TwoWayLoss(0.5, 2.0), 1.0),
        _checked(sides, timm_two_way.TwoWayLoss(), 1.0),
        whole_case(EXTREME, _two_way, FAR, wrt=Z),
        whole_case("by hand: no label anywhere", _two_way, none, wrt=Z),
    ]


CASES = {
    "multilabel_margin": multilabel_margin,
    "multilabel_soft_margin": multilabel_soft_margin,
    "zlpr": zlpr,
    "two_way": two_way,
}
