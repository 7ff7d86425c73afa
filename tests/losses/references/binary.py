"""binary_cross_entropy_with_logits, binary_cross_entropy, sigmoid_focal, asymmetric, gan."""

from typing import Any

import jax
import optax
import torch
import torch.nn.functional as F
from mpmath import mp, mpf

from references._jax import jax_case
from references._mp import row_case, softplus
from references._torch import labels, module_alone, randoms, torch_case

timm = module_alone("timm", "loss/asymmetric_loss.py")
EXTREMES = [0.0, 5.0, -5.0, 20.0, -20.0, 50.0, -50.0, 120.0, -120.0, 1e4, -1e4]
FAR = {"logits": EXTREMES * 2, "targets": [1.0] * 11 + [0.0] * 11}
SOFT = {"logits": randoms(11, 4, 3), "targets": randoms(12, 4, 3, low=0.02, high=1.0)}
HARD = {"logits": randoms(13, 7), "targets": [float(x) for x in labels(14, 2, 7)]}
EXTREME = "mpmath 1.3.0, 50 digits: logits to 1e4"


def binary_cross_entropy_with_logits() -> list[dict[str, Any]]:
    def f(params: Any, logits: Any, targets: Any, pos_weight: Any = None) -> Any:
        c = mpf(1) if pos_weight is None else pos_weight
        return c * targets * softplus(-logits) + (1 - targets) * softplus(logits)

    def plain(logits: Any, targets: Any, pos_weight: Any = None) -> Any:
        return F.binary_cross_entropy_with_logits(
            logits, targets, pos_weight=pos_weight, reduction="none"
        )

    weighted = SOFT | {"pos_weight": [0.5, 1.0, 4.0]}
    scalar = row_case(
        "mpmath 1.3.0, 50 digits: one weight for one question",
        f,
        FAR,
        wrt=("logits",),
        shared={"pos_weight": 3.0},
    )
    return [
        torch_case(
            "smooth: torch 2.13.0 F.binary_cross_entropy_with_logits", plain, SOFT, wrt=("logits",)
        ),
        torch_case(
            "smooth: torch 2.13.0 F.binary_cross_entropy_with_logits, pos_weight",
            plain,
            weighted,
            wrt=("logits",),
        ),
        jax_case(
            "optax 0.2.8 sigmoid_binary_cross_entropy",
            lambda logits, targets: optax.sigmoid_binary_cross_entropy(logits, targets),
            HARD,
            wrt=("logits",),
        ),
        row_case(EXTREME, f, FAR, wrt=("logits",)),
        scalar,
    ]


def binary_cross_entropy() -> list[dict[str, Any]]:
    def f(params: Any, probabilities: Any, targets: Any) -> Any:
        y, p = mpf(targets), probabilities
        positive = -y * (mp.log(p) if p else -mp.inf) if y else mpf(0)
        return positive - ((1 - y) * (mp.log1p(-p) if p != 1 else -mp.inf) if y != 1 else mpf(0))

    def clamped(params: Any, probabilities: Any, targets: Any) -> Any:
        eps = mpf(params["eps"])
        return f(params, min(max(probabilities, eps), 1 - eps), targets)

    def moved(p: float, y: float, eps: float) -> Any:
        q = min(max(mpf(p), mpf(eps)), 1 - mpf(eps))
        return float((q - y) / (q * (1 - q)))

    inside = {
        "probabilities": randoms(15, 4, 3, low=0.1, high=0.95),
        "targets": randoms(16, 4, 3, low=0.02, high=1.0),
    }
    edges = {"probabilities": [0.0, 1.0, 0.0, 1.0, 2.0**-20], "targets": [0.0, 1.0, 1.0, 0.0, 1.0]}
    inner = {"probabilities": [0.25, 0.5, 2.0**-30, 1 - 2.0**-20], "targets": [1.0, 0.0, 0.0, 1.0]}
    eps = 2.0**-10
    pairs = list(zip(edges["probabilities"], edges["targets"], strict=True))
    return [
        torch_case(
            "smooth: torch 2.13.0 F.binary_cross_entropy",
            lambda probabilities, targets: F.binary_cross_entropy(
                probabilities, targets, reduction="none"
            ),
            inside,
            wrt=("probabilities",),
        ),
        row_case("mpmath 1.3.0, 50 digits", f, inner, wrt=("probabilities",)),
        {
            "from": "by hand: 0 log 0 = 0; a sure wrong answer costs infinity",
            "inputs": {"probabilities": [0.0, 1.0, 0.0, 1.0], "targets": [0.0, 1.0, 1.0, 0.0]},
            "params": {"eps": 0.0},
            "values": [0.0, 0.0, "Infinity", "Infinity"],
            "gradients": {"probabilities": [1.0, -1.0, "-Infinity", "Infinity"]},
        },
        row_case(
            "mpmath 1.3.0, 50 digits: the formula at the moved point",
            clamped,
            edges,
            {"eps": eps},
            wrt=(),
            kinks={"probabilities": [moved(p, y, eps) for p, y in pairs]},
        ),
    ]


def sigmoid_focal() -> list[dict[str, Any]]:
    def f(params: Any, logits: Any, targets: Any) -> Any:
        gamma = mpf(params.get("gamma", 2.0))
        alpha = params.get("alpha", 0.25)
        a, b = (mpf(1), mpf(1)) if alpha is None else (mpf(alpha), 1 - mpf(alpha))
        y, up, down = mpf(targets), softplus(-logits), softplus(logits)
        return a * y * mp.exp(-gamma * down) * up + b * (1 - y) * mp.exp(-gamma * up) * down

    def ones(params: Any, logits: Any, targets: Any) -> Any:
        return mpf(targets) if params.get("denominator") == "positives" else mpf(1)

    def of(alpha: float | None, gamma: float) -> Any:
        return lambda logits, targets: optax.sigmoid_focal_loss(
            logits, targets, alpha=alpha, gamma=gamma
        )

    def case(params: dict[str, Any]) -> dict[str, Any]:
        return row_case(EXTREME, f, FAR, params, wrt=("logits",), weight=ones)

    z, y = torch.tensor(HARD["logits"]).double(), torch.tensor(HARD["targets"]).double()
    p = torch.sigmoid(z) * y + torch.sigmoid(-z) * (1 - y)
    detached = (1 - p) ** 2 * (torch.sigmoid(z) - y) * (0.25 * y + 0.75 * (1 - y))
    hand = jax_case(
        "values: optax 0.2.8 sigmoid_focal_loss; gradients by hand: factor (p - y)",
        of(0.25, 2.0),
        HARD,
        {"modulation_gradient": "detached"},
        wrt=("logits",),
        denominator=7.0,
    )
    hand["gradients"] = {"logits": detached.tolist()}
    return [
        jax_case(
            "smooth: optax 0.2.8 sigmoid_focal_loss",
            of(0.25, 2.0),
            HARD,
            wrt=("logits",),
            denominator=7.0,
        ),
        jax_case(
            "smooth: optax 0.2.8 sigmoid_focal_loss",
            of(None, 0.5),
            HARD,
            {"alpha": None, "gamma": 0.5},
            wrt=("logits",),
            denominator=7.0,
        ),
        case({}),
        case({"alpha": None, "gamma": 0.0}),
        case({"alpha": 1.0, "gamma": 0.5}),
        case({"gamma": 5.0, "denominator": "positives"}),
        hand,
    ]


def _asymmetric(params: Any, logits: Any, targets: Any) -> Any:
    y, up, down = mpf(targets), softplus(-logits), softplus(logits)
    m, gamma = mpf(params.get("clip", 0.05)), mpf(params.get("gamma_negative", 4.0))
    positive = mp.exp(-mpf(params.get("gamma_positive", 1.0)) * down) * up
    left = mp.exp(-down) + m
    miss = -mp.log(min(left, mpf(1))) if m else down
    return y * positive + (1 - y) * max(mpf(0), mp.exp(-up) - m) ** gamma * miss


def _agrees_with_timm(case: dict[str, Any], **options: Any) -> dict[str, Any]:
    """timm computes in float32."""
    logits = torch.tensor(case["inputs"]["logits"], requires_grad=True)
    theirs = timm.AsymmetricLossMultiLabel(reduction="none", **options)
    values = theirs(logits, torch.tensor(case["inputs"]["targets"]))
    (gradient,) = torch.autograd.grad(values.sum(), logits)
    pairs = ((values, case["values"]), (gradient, case["gradients"]["logits"]))
    for theirs, ours in pairs:
        torch.testing.assert_close(theirs, torch.tensor(ours), rtol=1e-4, atol=1e-6)
    return case


def asymmetric() -> list[dict[str, Any]]:
    def one(params: Any, logits: Any, targets: Any) -> Any:
        return mpf(1)

    def flat(source: str, inputs: Any, **params: Any) -> dict[str, Any]:
        return row_case(source, _asymmetric, inputs, params, wrt=("logits",), weight=one)

    def detached(logits: Any, targets: Any) -> Any:
        p = jax.nn.sigmoid(logits)
        shifted = jax.numpy.maximum(p - 0.05, 0.0)
        up, down = (jax.lax.stop_gradient(x) for x in (1 - p, shifted**4))
        negative = down * jax.numpy.log1p(-shifted)
        return -targets * up * jax.nn.log_sigmoid(logits) - (1 - targets) * negative

    digits = "mpmath 1.3.0, 50 digits"
    soft = {"logits": SOFT["logits"][0], "targets": SOFT["targets"][0]}
    table = {"logits": randoms(17, 4, 3), "targets": [[1.0, 0.0, 0.0]] * 3 + [[0.0, 1.0, 1.0]]}
    rows = jax_case(
        "smooth: jax 0.10.2, formula of the paper, rows; checked with timm 1.0.31 in float32",
        lambda logits, targets: (
            -targets * (1 - jax.nn.sigmoid(logits)) * jax.nn.log_sigmoid(logits)
            - (1 - targets)
            * jax.numpy.maximum(jax.nn.sigmoid(logits) - 0.05, 0.0) ** 4
            * jax.numpy.log1p(-jax.numpy.maximum(jax.nn.sigmoid(logits) - 0.05, 0.0))
        ),
        table,
        {"denominator": "rows"},
        wrt=("logits",),
        denominator=4.0,
    )
    held = jax_case(
        "jax 0.10.2, powers held constant; checked with timm 1.0.31 in float32",
        detached,
        HARD,
        {"modulation_gradient": "detached"},
        wrt=("logits",),
        denominator=7.0,
    )
    return [
        _agrees_with_timm(flat(f"smooth: {digits}; checked with timm 1.0.31 in float32", HARD)),
        flat(f"smooth: {digits}: soft targets", soft),
        jax_case(
            "smooth: optax 0.2.8 sigmoid_focal_loss, equal powers and no clip",
            lambda logits, targets: optax.sigmoid_focal_loss(logits, targets, gamma=2.0),
            HARD,
            {"gamma_negative": 2.0, "gamma_positive": 2.0, "clip": 0.0},
            wrt=("logits",),
            denominator=7.0,
        ),
        _agrees_with_timm(rows),
        _agrees_with_timm(held, disable_torch_grad_focal_loss=True),
        flat(EXTREME, FAR),
        flat(EXTREME, FAR, clip=0.0),
        flat(EXTREME, FAR, clip=2.0**-20, gamma_negative=0.0, gamma_positive=0.0),
        flat(EXTREME, FAR, clip=0.5, gamma_negative=0.5, gamma_positive=0.5),
        {
            "from": "by hand: at p = clip nothing is paid and the subgradient is 0, by ruling",
            "inputs": {"logits": [0.0, -1.0], "targets": [0.0, 0.0]},
            "params": {"clip": 0.5, "gamma_negative": 0.0},
            "values": [0.0, 0.0],
            "denominator": 2.0,
            "gradients": {"logits": [0.0, 0.0]},
        },
    ]


def gan() -> list[dict[str, Any]]:
    def f(params: Any, scores: Any, is_real: Any) -> Any:
        kind, s = params.get("kind", "non_saturating"), scores
        if params.get("player") == "generator":
            if is_real:
                return mpf(0)
            return {
                "non_saturating": softplus(-s),
                "minimax": -softplus(s),
                "hinge": -s,
                "wasserstein": -s,
                "least_squares": (s - 1) ** 2 / 2,
            }[kind]
        if kind == "wasserstein":
            return -s if is_real else s
        if kind == "hinge":
            return max(mpf(0), 1 - s if is_real else 1 + s)
        if kind == "least_squares":
            return (s - 1) ** 2 / 2 if is_real else s**2 / 2
        return softplus(-s) if is_real else softplus(s)

    def weight(params: Any, scores: Any, is_real: Any) -> Any:
        return mpf(1 - is_real) if params.get("player") == "generator" else mpf(1)

    def case(source: str, at: list[float], **params: str) -> dict[str, Any]:
        inputs = {"scores": at * 2, "is_real": [1] * len(at) + [0] * len(at)}
        return row_case(source, f, inputs, dict(params), wrt=("scores",), weight=weight)

    cases = []
    for kind in ("non_saturating", "minimax", "hinge", "least_squares"):
        for player in ("discriminator", "generator"):
            near = [0.25, -0.5, 3.5, -4.25]
            cases.append(case("smooth: mpmath 1.3.0, 50 digits", near, kind=kind, player=player))
            source = "mpmath 1.3.0, 50 digits: scores to 1e4"
            cases.append(case(source, EXTREMES, kind=kind, player=player))
    for player in ("discriminator", "generator"):
        source = "mpmath 1.3.0, 50 digits: linear"
        cases.append(case(source, [0.25, -1e4], kind="wasserstein", player=player))
    kink = case("by hand: subgradient 0 at the hinge, by ruling", [1.0, -1.0], kind="hinge")
    kink["gradients"] = {"scores": [0.0, -1.0, 1.0, 0.0]}
    return [*cases, kink]


CASES = {
    "binary_cross_entropy_with_logits": binary_cross_entropy_with_logits,
    "binary_cross_entropy": binary_cross_entropy,
    "sigmoid_focal": sigmoid_focal,
    "asymmetric": asymmetric,
    "gan": gan,
}
