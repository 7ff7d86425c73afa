"""seesaw, equalization_v2, early_learning_regularization: losses of labels that keep a state."""

import sys
from types import ModuleType
from typing import Any

import torch
from mpmath import mp, mpf

from references._labelled import DIGITS, FAR, IGNORED, NEAR, Z, item_case
from references._mmdet_files import mmdet_file
from references._mp import INF, finish, log_softmax, number, softplus
from references._torch import torch_case

_logging = ModuleType("mmengine.logging")
_logging.print_log = lambda *_, **__: None  # type: ignore[attr-defined] # a stand-in
sys.modules.setdefault("mmengine", ModuleType("mmengine"))
sys.modules.setdefault("mmengine.logging", _logging)
seesaw_loss, eqlv2_loss = mmdet_file("seesaw_loss"), mmdet_file("eqlv2_loss")
IGNORING = {"ignore_index": -100}


def _counts(inputs: Any, old: list[float]) -> list[float]:
    return [n + inputs["labels"].count(k) for k, n in enumerate(old)]


def seesaw() -> list[dict[str, Any]]:
    counts = [64.0, 16.0, 1.0]

    def f(params: Any, logits: Any, labels: Any, seen: Any) -> Any:
        p, q = mpf(params.get("mitigation", 0.8)), mpf(params.get("compensation", 2.0))
        n, log_p = [max(x, mpf(1)) for x in number(seen)], log_softmax(logits)
        own = max(log_p[labels], mp.log(mpf(0.01)))
        factors = [
            p * min(mpf(0), mp.log(x / n[labels])) + q * max(mpf(0), lp - own)
            for x, lp in zip(n, log_p, strict=True)
        ]
        factors[labels] = mpf(0)
        return factors, -log_softmax([z + s for z, s in zip(logits, factors, strict=True)])[labels]

    def case(source: str, inputs: Any, params: Any, old: list[float]) -> dict[str, Any]:
        """Factors are constants to the gradient: held where they are while it is taken."""
        seen = _counts(inputs, old)
        held = [
            f(params, number(z), y, seen)[0] if y >= 0 else []
            for z, y in zip(inputs["logits"], inputs["labels"], strict=True)
        ]

        def value(params: Any, logits: Any, labels: Any, factors: Any) -> Any:
            moved = [z + s for z, s in zip(logits, factors, strict=True)]
            return -log_softmax(moved)[labels]

        made = item_case(source, value, inputs | {"factors": held}, params)
        made["inputs"] = finish(inputs) | {"cumulative_counts": old}
        return made | {"state": {"cumulative_counts": seen}}

    def theirs(logits: Any, labels: Any, cumulative_counts: Any) -> Any:
        seen = cumulative_counts + torch.bincount(labels, minlength=3)
        return seesaw_loss.seesaw_ce_loss(
            logits, labels, None, seen, 3, p=0.8, q=q, eps=0.01, reduction="none"
        )

    near = NEAR | {"cumulative_counts": counts}
    state = {"state": {"cumulative_counts": _counts(NEAR, counts)}}
    name = "mmdet 3.3.0 seesaw_ce_loss"
    made = []
    for q, source in ((2.0, name), (0.0, f"smooth: {name}, no compensation")):
        made.append(torch_case(source, theirs, near, {"compensation": q}, wrt=Z, denominator=4.0))
    masked = {"logits": [[1.0, -INF, 2.0], [1.0, 2.0, 3.0], [-INF] * 3], "labels": [0, 2, -100]}
    first = case(f"{DIGITS}: a first call", NEAR, {}, [0.0] * 3)
    del first["inputs"]["cumulative_counts"]
    return [
        *(each | state for each in made),
        first,
        case(f"{DIGITS}: logits to 1e4", FAR, {"mitigation": 2.0}, counts),
        case(f"{DIGITS}: masks, an ignored row of -inf", masked, IGNORING, counts),
    ]


def equalization_v2() -> list[dict[str, Any]]:
    old = {"positive_gradients": [8.0, 4.0, 0.5], "negative_gradients": [8.0, 8.0, 4.0]}

    def theirs(inputs: Any, source: str, sums: Any, objectness: bool = False) -> dict[str, Any]:
        """Their module in float64. It always has objectness, so without one class is made up."""
        width = 2 if objectness else 3
        loss = eqlv2_loss.EQLV2Loss(num_classes=width).double()
        if sums:
            loss.pos_grad = torch.tensor(sums["positive_gradients"][:width]).double()
            loss.neg_grad = torch.tensor(sums["negative_gradients"][:width]).double()
            loss.pos_neg = loss.pos_grad / (loss.neg_grad + 1e-10)
        else:
            loss.pos_neg = torch.full((width,), 100.0).double()

        def rows(logits: Any, labels: Any, **_: Any) -> Any:
            """One item at a time, from the same weights."""
            values = []
            before = (loss.pos_grad, loss.neg_grad, loss.pos_neg)
            for z, y in zip(logits, labels, strict=True):
                loss.pos_grad, loss.neg_grad, loss.pos_neg = (x.clone() for x in before)
                if not objectness:  # a class that is sure not to be there costs nothing
                    z = torch.cat([z, z.new_tensor([-1e9])])
                values.append(loss(z[None], y[None]))
            loss.pos_grad, loss.neg_grad, loss.pos_neg = (x.clone() for x in before)
            wide = logits.detach()
            if not objectness:
                wide = torch.cat([wide, torch.full((len(wide), 1), -1e9).double()], 1)
            loss(wide, labels)
            return torch.stack(values)

        params = {"objectness": objectness}
        made = torch_case(source, rows, inputs | sums, params, wrt=Z, denominator=4.0)
        rest = [0.0] * (3 - width)
        if objectness:
            rest = [0.0]
        answered = {
            "positive_gradients": loss.pos_grad.tolist() + rest,
            "negative_gradients": loss.neg_grad.tolist() + rest,
        }
        return made | {"state": answered}

    def f(params: Any, logits: Any, labels: Any, w: Any) -> Any:
        return sum(
            (1 + 4 * (1 - w[k])) * softplus(-z) if k == labels else w[k] * softplus(z)
            for k, z in enumerate(logits)
        )

    def far(source: str, inputs: Any, params: Any) -> dict[str, Any]:
        ratio = [mpf(p) / (mpf(n) + mpf(10) ** -10) for p, n in zip(*old.values(), strict=True)]
        w = [1 / (1 + mp.exp(-12 * (x - mpf(0.8)))) for x in ratio]
        made = item_case(source, f, inputs | {"w": [w] * len(inputs["labels"])}, params)
        sums = {key: [mpf(x) for x in each] for key, each in old.items()}
        for z, y in zip(inputs["logits"], inputs["labels"], strict=True):
            for k, x in enumerate(number(z)):
                if y == k:
                    sums["positive_gradients"][k] += (1 + 4 * (1 - w[k])) / (1 + mp.exp(x))
                elif y >= 0:
                    sums["negative_gradients"][k] += w[k] / (1 + mp.exp(-x))
        made["inputs"] = finish(inputs) | old
        return made | {"state": finish(sums)}

    name = "smooth: mmdet 3.3.0 EQLV2Loss, in float64"
    with_objects = {key: [*x[:2], 0.0] for key, x in old.items()}
    return [
        theirs(NEAR, name, old),
        theirs(NEAR, f"{name}, a first call", {}),
        theirs(NEAR, f"{name}, objectness", with_objects, objectness=True),
        far(f"{DIGITS}: logits to 1e4", FAR, {}),
        far(f"{DIGITS}: an ignored row", IGNORED, IGNORING),
    ]


def early_learning_regularization() -> list[dict[str, Any]]:
    old = [[0.75, 0.25, 0.0], [0.125, 0.75, 0.125], [0.0, 0.0, 1.0], [0.5, 0.25, 0.25]]

    def softmax(z: Any) -> Any:
        return [mp.exp(x) for x in log_softmax(z)]

    def case(source: str, inputs: Any, params: Any, before: Any) -> dict[str, Any]:
        beta = mpf(params.get("momentum", 0.7))
        new = []
        for z, y, t in zip(inputs["logits"], inputs["labels"], before, strict=True):
            if y == params.get("ignore_index"):
                new.append(number(t))
            else:
                p = softmax(number(z))
                new.append([beta * a + (1 - beta) * b for a, b in zip(number(t), p, strict=True)])

        def value(params: Any, logits: Any, labels: Any, target: Any) -> Any:
            together = sum(a * b for a, b in zip(target, softmax(logits), strict=True))
            apart = 1 - together + mpf(params.get("eps", 1e-4))
            return mpf(params.get("coefficient", 3.0)) * mp.log(apart) - log_softmax(logits)[labels]

        made = item_case(source, value, inputs | {"target": new}, params)
        made["inputs"] = finish(inputs) | {"running_probabilities": before}
        return made | {"state": {"running_probabilities": finish(new)}}

    def theirs(logits: Any, labels: Any, running_probabilities: Any) -> Any:
        p = torch.softmax(logits, 1)
        target = 0.5 * running_probabilities + 0.5 * p.detach()
        apart = torch.log(1 - (target * p).sum(1) + 1e-4)
        return 2 * apart + torch.nn.functional.cross_entropy(logits, labels, reduction="none")

    half = {"coefficient": 2.0, "momentum": 0.5}
    near = NEAR | {"running_probabilities": old}
    masked = {"logits": [[1.0, -INF, 2.0], [1.0, 2.0, 3.0], [-INF] * 3], "labels": [0, 2, -100]}
    first = case(f"paper only: {DIGITS}: a first call", NEAR, {}, [[0.0] * 3] * 4)
    del first["inputs"]["running_probabilities"]
    held = torch_case(
        "torch 2.13.0, formula of the paper", theirs, near, half, wrt=Z, denominator=4.0
    )
    new = case(DIGITS, NEAR, half, old)["state"]
    far = {key: x[:4] for key, x in FAR.items()}
    return [
        held | {"state": new},
        case(f"smooth: paper only: {DIGITS}: a mean that stays", NEAR, {"momentum": 1.0}, old),
        first,
        case(f"{DIGITS}: logits to 1e4", far, {}, old),
        case(f"{DIGITS}: masks, an ignored row of -inf", masked, IGNORING, old[:3]),
    ]


CASES = {
    "seesaw": seesaw,
    "equalization_v2": equalization_v2,
    "early_learning_regularization": early_learning_regularization,
}
