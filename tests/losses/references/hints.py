"""learned_confidence, hill."""

from typing import Any

from mpmath import mp, mpf

from references._mp import log_softmax, row_case, softplus
from references._torch import labels, randoms

NAME = "paper only: mpmath 1.3.0, 50 digits"


def learned_confidence() -> list[dict[str, Any]]:
    def f(params: Any, logits: Any, confidence_logits: Any, labels: Any) -> Any:
        c = mp.exp(-softplus(-confidence_logits))
        mixed = c * mp.exp(log_softmax(logits)[labels]) + mp.exp(-softplus(confidence_logits))
        price = mpf(params.get("coefficient", 0.1)) * softplus(-confidence_logits)
        return price - mp.log(mixed)

    wrt = ("logits", "confidence_logits")
    near = {
        "logits": randoms(391, 4, 3),
        "confidence_logits": randoms(392, 4),
        "labels": labels(393, 3, 4),
    }
    wide = {
        "logits": [[50.0, -50.0], [1e4, -1e4], [0.5, 0.0], [0.5, 0.0]],
        "confidence_logits": [50.0, 120.0, 1e4, -1e4],
        "labels": [1, 1, 1, 0],
    }
    return [
        row_case(f"smooth: {NAME}", f, near, wrt=wrt),
        row_case(f"smooth: {NAME}: no price", f, near, {"coefficient": 0.0}, wrt=wrt),
        row_case(f"{NAME}: logits to 1e4", f, wide, wrt=wrt),
    ]


def hill() -> list[dict[str, Any]]:
    def f(params: Any, logits: Any, targets: Any) -> Any:
        y, behind = mpf(targets), logits - mpf(params.get("margin", 1.0))
        gamma = mpf(params.get("gamma", 2.0))
        positive = mp.exp(-gamma * softplus(behind)) * softplus(-behind)
        p = mp.exp(-softplus(-logits))
        return y * positive + (1 - y) * (mpf(params.get("bound", 1.5)) - p) * p * p

    wrt = ("logits",)
    near = {"logits": randoms(394, 5), "targets": [1.0, 0.0, 0.25, 0.0, 1.0]}
    wide = {
        "logits": [0.0, 50.0, -50.0, 120.0, 1e4, -1e4] * 2,
        "targets": [1.0] * 6 + [0.0] * 6,
    }
    plain = {"bound": 1.0, "margin": 0.0, "gamma": 0.5}
    return [
        row_case(f"smooth: {NAME}", f, near, wrt=wrt),
        row_case(f"smooth: {NAME}", f, near, plain, wrt=wrt),
        row_case(f"{NAME}: logits to 1e4", f, wide, wrt=wrt),
    ]


CASES = {"learned_confidence": learned_confidence, "hill": hill}
