"""class_balanced, ldam, logit_adjustment, balanced_softmax, vector_scaling, cost_sensitive."""

from typing import Any

import torch
import torch.nn.functional as F
from balanced_loss import Loss as BalancedLoss
from mpmath import mp, mpf

from references._labelled import (
    DIGITS,
    FAR,
    IGNORED,
    MASKED,
    NEAR,
    PIXELS,
    Z,
    by_hand,
    item_case,
)
from references._mp import log_softmax, number, softplus
from references._torch import torch_case

COUNTS = [64.0, 16.0, 1.0]
WEIGHTS = [0.25, 1.0, 2.0]
COUNTED, WEIGHTED = {"class_counts": COUNTS}, {"class_counts": COUNTS, "class_weights": WEIGHTS}
MASKS = f"{DIGITS}: an impossible class, an ignored row of -inf"


def _prior_case(source: str, inputs: Any, tau: float, params: Any) -> dict[str, Any]:
    """torch's cross-entropy of adjusted logits."""

    def theirs(logits: Any, labels: Any, class_counts: Any) -> Any:
        prior = (class_counts / class_counts.sum()).log().view(1, -1, *[1] * (logits.ndim - 2))
        return F.cross_entropy(logits + tau * prior, labels, reduction="none")

    count = float(torch.tensor(inputs["labels"]).numel())
    return torch_case(source, theirs, inputs | COUNTED, params, wrt=Z, denominator=count)


def _adjusted(params: Any, logits: Any, labels: Any, class_counts: Any, **_: Any) -> Any:
    tau = mpf(params.get("tau", 1.0))
    shift = [tau * mp.log(n) if n else -mp.inf for n in number(class_counts)]
    return -log_softmax([z + s for z, s in zip(logits, shift, strict=True)])[labels]


def _adjusted_cases(**tau: float) -> list[dict[str, Any]]:
    near, dense = "smooth: torch 2.13.0 F.cross_entropy of adjusted logits", "by pixels"
    none = {"class_counts": [4.0, 0.0, 1.0]}
    return [
        _prior_case(near, NEAR, tau.get("tau", 1.0), tau),
        _prior_case(f"{near}, {dense}", PIXELS, tau.get("tau", 1.0), tau),
        item_case(f"{DIGITS}: logits to 1e4", _adjusted, FAR, tau, **COUNTED),
        item_case(MASKS, _adjusted, MASKED, tau | {"ignore_index": -100}, **COUNTED),
        item_case(
            f"{DIGITS}: a class without items",
            _adjusted,
            {"logits": NEAR["logits"][:2], "labels": [0, 2]},
            tau,
            **none,
        ),
        by_hand(
            "a label without items costs infinity; no class possible is no gradient",
            {"logits": [[0.0, 9.0, 0.0], ["-Infinity", 1.0, "-Infinity"]], "labels": [1, 1]}
            | {"class_counts": [2.0, 0.0, 2.0]},
            tau,
            ["Infinity", "Infinity"],
            2.0,
            logits=[[0.5, -1.0, 0.5], [0.0, 0.0, 0.0]],
        ),
    ]


def logit_adjustment() -> list[dict[str, Any]]:
    return [
        *_adjusted_cases(tau=0.5),
        item_case(
            "smooth: mpmath 1.3.0, 50 digits: tau 0", _adjusted, NEAR, {"tau": 0.0}, **COUNTED
        ),
    ]


def balanced_softmax() -> list[dict[str, Any]]:
    return _adjusted_cases()


def vector_scaling() -> list[dict[str, Any]]:
    def f(
        params: Any, logits: Any, labels: Any, class_counts: Any, class_weights: Any = None
    ) -> Any:
        n, w = number(class_counts), number(class_weights or [1.0] * 3)
        gamma, tau = mpf(params.get("gamma", 0.3)), mpf(params.get("tau", 1.0))
        scale = [(x / max(n)) ** gamma for x in n]
        shift = [tau * mp.log(x / sum(n)) for x in n]
        moved = [z * d + i for z, d, i in zip(logits, scale, shift, strict=True)]
        return -w[labels] * log_softmax(moved)[labels]

    def theirs(logits: Any, labels: Any, class_counts: Any, class_weights: Any = None) -> Any:
        scale = (class_counts / class_counts.max()) ** 0.3
        shift = (class_counts / class_counts.sum()).log()
        return F.cross_entropy(logits * scale + shift, labels, class_weights, reduction="none")

    name = "smooth: torch 2.13.0 F.cross_entropy of scaled and shifted logits"
    total = sum(WEIGHTS[y] for y in NEAR["labels"])
    return [
        torch_case(name, theirs, NEAR | COUNTED, wrt=Z, denominator=4.0),
        torch_case(f"{name}, weights", theirs, NEAR | WEIGHTED, wrt=Z, denominator=total),
        item_case(f"{DIGITS}: logits to 1e4", f, FAR, {"gamma": 0.5, "tau": 0.0}, **WEIGHTED),
        item_case(MASKS, f, MASKED, {"ignore_index": -100}, **COUNTED),
        by_hand(
            "scaled by 0 a class without items still may be impossible",
            {"logits": [[0.0, 9.0, "-Infinity"]], "labels": [1], "class_counts": [2.0, 0.0, 0.0]},
            {"tau": 0.0},
            [float(mp.log(2))],
            1.0,
            logits=[[0.5, 0.0, 0.0]],
        ),
    ]


def ldam() -> list[dict[str, Any]]:
    def f(
        params: Any, logits: Any, labels: Any, class_counts: Any, class_weights: Any = None
    ) -> Any:
        n, w = number(class_counts), number(class_weights or [1.0] * 3)
        power = mpf(params.get("exponent", 0.25))
        margin = mpf(params.get("max_margin", 0.5)) * (min(n) / n[labels]) ** power
        moved = [z - margin * (k == labels) for k, z in enumerate(logits)]
        scale = mpf(params.get("scale", 30.0))
        return -w[labels] * log_softmax([scale * z for z in moved])[labels]

    def theirs(logits: Any, labels: Any, class_counts: Any, class_weights: Any = None) -> Any:
        margins = class_counts**-0.25
        margins = margins * (0.5 / margins.max())
        lowered = logits - F.one_hot(labels, 3) * margins[labels][:, None]
        return F.cross_entropy(4.0 * lowered, labels, class_weights, reduction="none")

    def of_pixels(logits: Any, labels: Any, class_counts: Any) -> Any:
        flat = theirs(logits.movedim(1, -1).reshape(-1, 3), labels.reshape(-1), class_counts)
        return flat.reshape(labels.shape)

    name = "smooth: torch 2.13.0 F.cross_entropy of logits less margins"
    total = sum(WEIGHTS[y] for y in NEAR["labels"])
    scale = {"scale": 4.0}
    return [
        torch_case(name, theirs, NEAR | COUNTED, scale, wrt=Z, denominator=4.0),
        torch_case(f"{name}, weights", theirs, NEAR | WEIGHTED, scale, wrt=Z, denominator=total),
        item_case(f"{DIGITS}: logits to 1e4", f, FAR, {"exponent": 0.5}, **WEIGHTED),
        item_case(MASKS, f, MASKED, scale | {"ignore_index": -100}, **COUNTED),
        torch_case(
            f"{name}, by pixels", of_pixels, PIXELS | COUNTED, scale, wrt=Z, denominator=4.0
        ),
    ]


def class_balanced() -> list[dict[str, Any]]:
    def weights(params: Any, n: Any) -> Any:
        beta = mpf(params.get("beta", 0.999))
        w = [(1 - beta) / (1 - beta**x) for x in n]
        if params.get("normalization") == "none":
            return w
        return [x * len(w) / sum(w) for x in w]

    def f(params: Any, logits: Any, labels: Any, class_counts: Any) -> Any:
        base, gamma = params.get("base", "cross_entropy"), mpf(params.get("gamma", 2.0))
        gamma = gamma if "focal" in base else mpf(0)
        w = weights(params, number(class_counts))[labels]
        if base in ("cross_entropy", "focal"):
            log_p = log_softmax(logits)[labels]
            return -w * (-mp.expm1(log_p)) ** gamma * log_p
        signed = [z if k == labels else -z for k, z in enumerate(logits)]
        return w * sum(mp.exp(-gamma * softplus(s)) * softplus(-s) for s in signed)

    def theirs(kind: str) -> Any:
        """balanced-loss computes in float32 and adds up: what ours must come to."""
        loss = BalancedLoss(kind, beta=0.99, samples_per_class=[64, 16, 1], class_balanced=True)
        return loss(torch.tensor(NEAR["logits"]), torch.tensor(NEAR["labels"])).item()

    def checked(kind: str, base: str, divisor: float) -> dict[str, Any]:
        source = f"smooth: {DIGITS}; checked with balanced-loss 0.1.1 in float32"
        case = item_case(source, f, NEAR, {"beta": 0.99, "base": base}, **COUNTED)
        assert abs(sum(case["values"]) / divisor - theirs(kind)) < 1e-5, (base, theirs(kind))
        return case

    far = f"{DIGITS}: logits to 1e4"
    return [
        # Its cross_entropy of one-hot targets divides by the rows, as torch's does of soft targets.
        checked("cross_entropy", "cross_entropy", 4.0),
        checked("binary_cross_entropy", "binary_cross_entropy", 12.0),
        checked("focal_loss", "sigmoid_focal", 4.0),
        item_case(far, f, FAR, {"base": "focal", "beta": 0.0, "gamma": 1.0}, **COUNTED),
        item_case(far, f, FAR, {"base": "sigmoid_focal", "normalization": "none"}, **COUNTED),
        item_case(
            f"{DIGITS}: beta near 1, an ignored row",
            f,
            IGNORED,
            {"beta": 1 - 2.0**-40, "ignore_index": -100},
            **COUNTED,
        ),
    ]


def cost_sensitive() -> list[dict[str, Any]]:
    costs = {"costs": [[0.0, 1.0, 4.0], [0.5, 0.0, 0.25], [8.0, 2.0, 0.0]]}
    margin = {"kind": "softmax_margin"}

    def f(params: Any, logits: Any, labels: Any, costs: Any) -> Any:
        row, log_p = number(costs)[labels], log_softmax(logits)
        if params.get("kind") == "softmax_margin":
            moved = [z + c for z, c in zip(log_p, row, strict=True)]
            return moved[labels] - log_softmax(moved)[labels] - log_p[labels]
        return sum(c * mp.exp(x) for c, x in zip(row, log_p, strict=True))

    def theirs(logits: Any, labels: Any, costs: Any) -> Any:
        return (torch.softmax(logits, 1) * costs[labels]).sum(1)

    return [
        torch_case(
            "smooth: torch 2.13.0, costs by softmax", theirs, NEAR | costs, wrt=Z, denominator=4.0
        ),
        item_case(f"smooth: {DIGITS}", f, NEAR, margin, **costs),
        item_case(f"{DIGITS}: logits to 1e4", f, FAR, {}, **costs),
        item_case(f"{DIGITS}: logits to 1e4", f, FAR, margin, **costs),
        item_case(MASKS, f, MASKED, {"ignore_index": -100}, **costs),
        item_case(MASKS, f, MASKED, margin | {"ignore_index": -100}, **costs),
    ]


CASES = {
    "logit_adjustment": logit_adjustment,
    "balanced_softmax": balanced_softmax,
    "vector_scaling": vector_scaling,
    "ldam": ldam,
    "class_balanced": class_balanced,
    "cost_sensitive": cost_sensitive,
}
