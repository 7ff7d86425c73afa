"""Poly-1, quality, distribution and varifocal losses, and the asymmetric loss of one label."""

from typing import Any

import optax
import torch
from mpmath import mp, mpf

from references._jax import jax_case
from references._mmdet_files import mmdet_file
from references._mp import INF, log_softmax, row_case, softplus
from references._torch import labels, module_alone, randoms, torch_case

gfocal, varifocal_of = mmdet_file("gfocal_loss"), mmdet_file("varifocal_loss")
timm_poly = module_alone("timm", "loss/poly_loss.py")
timm_asymmetric = module_alone("timm", "loss/asymmetric_loss.py")
Z = ("logits",)
DIGITS = "mpmath 1.3.0, 50 digits"
EXTREME = f"{DIGITS}: logits to 1e4"
ROWS = {"logits": randoms(321, 4, 3), "labels": labels(322, 3, 4)}
FAR = {
    "logits": [[50.0, -50.0, 0.0], [1e4, -1e4, 0.0], [0.0, 0.0, 0.0], [1.0, -INF, 2.0]],
    "labels": [1, 1, 2, 0],
}
FLAT = {
    "logits": [0.0, 5.0, 50.0, -50.0, 120.0, -120.0, 1e4, -1e4] * 2,
    "targets": [1.0] * 8 + [0.0] * 8,
}
QUALITY = {
    "logits": randoms(323, 3, 2),
    "targets": [[0.75, 0.0], [0.0, 0.5], [0.25, 0.0]],
}
BINARY = {"logits": randoms(324, 5), "targets": [1.0, 0.0, 1.0, 0.0, 1.0]}
IMPOSSIBLE = {
    "from": "by hand: a label on an impossible class is infinite; gradient p - t",
    "inputs": {"logits": [[0.0, "-Infinity"]], "labels": [1]},
    "values": ["Infinity"],
    "denominator": 1.0,
    "gradients": {"logits": [[1.0, -1.0]]},
}
IGNORED = {"logits": [[1.0, 2.0, 3.0], [-INF] * 3, [0.0, 1.0, -INF]], "labels": [2, -100, 0]}


def agree(case: dict[str, Any], module: Any, targets: str, **options: Any) -> dict[str, Any]:
    """A case, checked with a timm loss, which computes in float32."""
    logits = torch.tensor(case["inputs"]["logits"], requires_grad=True)
    values = module(reduction="none", **options)(logits, torch.tensor(case["inputs"][targets]))
    (gradient,) = torch.autograd.grad(values.sum(), logits)
    for theirs, ours in ((values, case["values"]), (gradient, case["gradients"]["logits"])):
        torch.testing.assert_close(theirs, torch.tensor(ours), rtol=1e-4, atol=1e-6)
    return case


def counts(params: Any, logits: Any, labels: Any = None, target_probabilities: Any = None) -> Any:
    return mpf(labels is None or labels != params.get("ignore_index"))


def poly_cross_entropy() -> list[dict[str, Any]]:
    def f(params: Any, logits: Any, labels: Any = None, target_probabilities: Any = None) -> Any:
        if labels is not None and labels == params.get("ignore_index"):
            return mpf(0)
        log_p, eps = log_softmax(logits), mpf(params.get("epsilon", 2.0))
        t = target_probabilities or [mpf(j == labels) for j in range(len(log_p))]
        terms = zip(t, log_p, strict=True)
        return sum(mpf(x) * (-lp - eps * mp.expm1(lp)) for x, lp in terms if x)

    def case(source: str, inputs: Any, params: Any = None) -> dict[str, Any]:
        return row_case(source, f, inputs, params, wrt=Z, weight=counts)

    soft = {"logits": randoms(325, 2, 3), "target_probabilities": [[0.5, 0.25, 0.25], [0, 1.0, 0]]}
    return [
        jax_case(
            "smooth: optax 0.2.8 poly_loss_cross_entropy",
            lambda logits, target_probabilities: optax.losses.poly_loss_cross_entropy(
                logits, target_probabilities, epsilon=2.0
            ),
            soft,
            wrt=Z,
            denominator=2.0,
        ),
        agree(
            case(f"smooth: {DIGITS}; checked with timm 1.0.31 in float32", ROWS, {"epsilon": -1.0}),
            timm_poly.PolyCrossEntropy,
            "labels",
            epsilon=-1.0,
        ),
        case(EXTREME, FAR),
        case(f"{DIGITS}: an ignored row of -inf", IGNORED, {"ignore_index": -100}),
        IMPOSSIBLE | {"params": {"epsilon": 0.0}},
    ]


def poly_binary_cross_entropy() -> list[dict[str, Any]]:
    def f(params: Any, logits: Any, targets: Any) -> Any:
        gamma, eps = mpf(params.get("gamma", 0.0)), mpf(params.get("epsilon", 2.0))
        alpha = params.get("alpha")
        a, b = (mpf(1), mpf(1)) if alpha is None else (mpf(alpha), 1 - mpf(alpha))

        def side(away: Any) -> Any:
            missed = mp.exp(-softplus(-away))
            return softplus(away) * missed**gamma + eps * missed ** (gamma + 1)

        return a * mpf(targets) * side(-logits) + b * (1 - mpf(targets)) * side(logits)

    near = row_case(f"smooth: {DIGITS}; checked with timm 1.0.31 in float32", f, BINARY, wrt=Z)
    focal = {"epsilon": -1.0, "gamma": 2.0, "alpha": 0.25}
    with_focus = row_case(
        f"smooth: {DIGITS}, focal; checked with timm 1.0.31 in float32", f, BINARY, focal, wrt=Z
    )
    return [
        agree(near, timm_poly.PolyBinaryCrossEntropy, "targets"),
        agree(with_focus, timm_poly.PolyBinaryCrossEntropy, "targets", **focal),
        row_case(f"smooth: {DIGITS}: soft targets", f, _flat(QUALITY), focal, wrt=Z),
        row_case(EXTREME, f, FLAT, {"gamma": 0.5}, wrt=Z),
    ]


def _flat(inputs: dict[str, Any]) -> dict[str, Any]:
    return {key: [each for row in x for each in row] for key, x in inputs.items()}


def _items(params: Any, logits: Any, targets: Any) -> Any:
    return mpf(targets > 0 or params.get("denominator") != "positives")


def quality_focal() -> list[dict[str, Any]]:
    def f(params: Any, logits: Any, targets: Any) -> Any:
        y, beta = mpf(targets), mpf(params.get("beta", 2.0))
        off = y * mp.exp(-softplus(logits)) - (1 - y) * mp.exp(-softplus(-logits))
        return abs(off) ** beta * (y * softplus(-logits) + (1 - y) * softplus(logits))

    def theirs(logits: Any, targets: Any) -> Any:
        flat = gfocal.quality_focal_loss_tensor_target(
            logits.reshape(-1, 1), targets.reshape(-1, 1), beta=1.5, reduction="none"
        )
        return flat.view(logits.shape)

    return [
        torch_case(
            "smooth: mmdet 3.3.0 quality_focal_loss_tensor_target",
            theirs,
            QUALITY,
            {"beta": 1.5},
            wrt=Z,
            denominator=6.0,
        ),
        row_case(
            f"smooth: {DIGITS}: by positives",
            f,
            _flat(QUALITY),
            {"denominator": "positives"},
            wrt=Z,
            weight=_items,
        ),
        row_case(EXTREME, f, FLAT, {"beta": 0.5}, wrt=Z, weight=_items),
        {
            "from": "by hand: the probability is the quality, and the gradient 0, by ruling",
            "inputs": {"logits": [0.0], "targets": [0.5]},
            "params": {"beta": 0.5},
            "values": [0.0],
            "denominator": 1.0,
            "gradients": {"logits": [0.0]},
        },
    ]


def varifocal() -> list[dict[str, Any]]:
    def f(params: Any, logits: Any, targets: Any) -> Any:
        q, up, down = mpf(targets), softplus(-logits), softplus(logits)
        if q:
            weight = q if params.get("weight_by_quality", True) else mpf(1)
            return weight * (q * up + (1 - q) * down)
        gamma = mpf(params.get("gamma", 2.0))
        return mpf(params.get("alpha", 0.75)) * mp.exp(-gamma * up) * down

    def theirs(**options: Any) -> Any:
        return lambda logits, targets: varifocal_of.varifocal_loss(
            logits, targets, reduction="none", **options
        )

    name = "mmdet 3.3.0 varifocal_loss"
    return [
        torch_case(f"smooth: {name}", theirs(), QUALITY, wrt=Z, denominator=6.0),
        torch_case(
            f"smooth: {name}, not by quality",
            theirs(iou_weighted=False, alpha=0.5, gamma=1.0),
            QUALITY,
            {"weight_by_quality": False, "alpha": 0.5, "gamma": 1.0, "denominator": "positives"},
            wrt=Z,
            denominator=3.0,
        ),
        row_case(EXTREME, f, FLAT, {"gamma": 0.5}, wrt=Z, weight=_items),
    ]


def distribution_focal() -> list[dict[str, Any]]:
    def f(params: Any, logits: Any, targets: Any) -> Any:
        log_p, y = log_softmax(logits), min(mpf(targets), mpf(len(logits) - 1))
        left = int(mp.floor(y))
        share = y - left
        return -(1 - share) * log_p[left] - (share * log_p[left + 1] if share else 0)

    far = {"logits": [[50.0, -50.0, 0.0], [1e4, -1e4, 0.0], [120.0, 0.0, 1.0]]}
    near = {"logits": randoms(326, 4, 4), "targets": [0.0, 0.25, 1.75, 2.5]}
    return [
        torch_case(
            "smooth: mmdet 3.3.0 distribution_focal_loss",
            lambda logits, targets: gfocal.distribution_focal_loss(
                logits, targets, reduction="none"
            ),
            near,
            wrt=Z,
        ),
        row_case(EXTREME, f, far | {"targets": [0.5, 1.25, 1.0]}, wrt=Z),
        row_case(
            f"{DIGITS}: at the last bin and beyond it",
            f,
            {"logits": [[1.0, 2.0, 0.5]] * 2, "targets": [2.0, 1e30]},
            wrt=Z,
        ),
    ]


def asymmetric_single_label() -> list[dict[str, Any]]:
    def f(params: Any, logits: Any, labels: Any) -> Any:
        if labels == params.get("ignore_index"):
            return mpf(0)
        log_p, a = log_softmax(logits), mpf(params.get("label_smoothing", 0.1))
        up, down = mpf(params.get("gamma_positive", 1.0)), mpf(params.get("gamma_negative", 4.0))
        possible = sum(1 for x in log_p if x != -mp.inf)
        value = -(1 - a + a / possible) * (-mp.expm1(log_p[labels])) ** up * log_p[labels]
        for k, each in enumerate(log_p):
            if k != labels and each != -mp.inf:
                value -= a / possible * mp.exp(down * each) * each
        return value

    def case(source: str, inputs: Any, params: Any = None) -> dict[str, Any]:
        return row_case(source, f, inputs, params, wrt=Z, weight=counts)

    near = case(f"smooth: {DIGITS}; checked with timm 1.0.31 in float32", ROWS)
    powers = {"gamma_positive": 0.5, "gamma_negative": 2.0, "label_smoothing": 0.0}
    plain = case(
        f"smooth: {DIGITS}; checked with timm 1.0.31 in float32, no smoothing", ROWS, powers
    )
    options = {"gamma_pos": 0.5, "gamma_neg": 2.0, "eps": 0.0}
    return [
        agree(near, timm_asymmetric.AsymmetricLossSingleLabel, "labels"),
        agree(plain, timm_asymmetric.AsymmetricLossSingleLabel, "labels", **options),
        case(EXTREME, FAR),
        case(f"{DIGITS}: an ignored row of -inf", IGNORED, {"ignore_index": -100}),
        IMPOSSIBLE | {"params": {"label_smoothing": 0.0}},
    ]


CASES = {
    "poly_cross_entropy": poly_cross_entropy,
    "poly_binary_cross_entropy": poly_binary_cross_entropy,
    "quality_focal": quality_focal,
    "varifocal": varifocal,
    "distribution_focal": distribution_focal,
    "asymmetric_single_label": asymmetric_single_label,
}
