"""entropy, confidence_penalty, label_smoothing."""

from typing import Any

import jax
import optax
import torch.nn.functional as F
from mpmath import mp, mpf
from torch.distributions import Categorical

from references._jax import jax_case
from references._mp import INF, log_softmax, row_case
from references._torch import labels, randoms, torch_case

DIGITS = "mpmath 1.3.0, 50 digits"
PAPER = f"paper only: {DIGITS}"
EXTREME = f"{DIGITS}: far apart and impossible classes"
Z = ("logits",)
FAR_Z = [[50.0, -50.0, 0.0], [120.0, 0.0, 119.0], [1e4, -1e4, 0.0], [1.0, -INF, 2.0], [3.0] * 3]


def entropy() -> list[dict[str, Any]]:
    def f(params: Any, logits: Any) -> Any:
        log_p = log_softmax([x / mpf(params.get("temperature", 1)) for x in logits])
        return -sum((mp.exp(x) * x for x in log_p if x != -mp.inf), mpf(0))

    def theirs(logits: Any) -> Any:
        return Categorical(logits=logits).entropy()

    def dense(logits: Any) -> Any:
        p = jax.nn.softmax(logits, 1)
        return jax.scipy.special.entr(p).sum(1)

    rows = {"logits": randoms(71, 3, 3)}
    return [
        torch_case("smooth: torch 2.13.0 distributions Categorical.entropy", theirs, rows, wrt=Z),
        jax_case("smooth: jax 0.10.2 entr of softmax, dense", dense,
                 {"logits": randoms(73, 2, 3, 2)}, wrt=Z),
        row_case(f"smooth: {DIGITS}: temperature", f, rows, {"temperature": 2.5}, wrt=Z),
        row_case(EXTREME, f, {"logits": FAR_Z}, wrt=Z),
    ]  # fmt: skip


LABELLED = {"logits": randoms(75, 4, 3), "labels": labels(76, 3, 4)}
FAR_LABELLED = {"logits": FAR_Z, "labels": [1, 2, 0, 0, 2]}
WEIGHTS = [0.5, 2.0, 0.25]


def _weight(params: Any, logits: Any, labels: Any, class_weights: Any = None) -> Any:
    if labels == params.get("ignore_index"):
        return mpf(0)
    return mpf(1) if class_weights is None else mpf(class_weights[labels])


def confidence_penalty() -> list[dict[str, Any]]:
    def f(params: Any, logits: Any, labels: Any, class_weights: Any = None) -> Any:
        weight = _weight(params, logits, labels, class_weights)
        if not weight:
            return mpf(0)
        log_p = log_softmax(logits)
        held = -sum((mp.exp(x) * x for x in log_p if x != -mp.inf), mpf(0))
        least, beta = params.get("threshold"), mpf(params.get("beta", 0.1))
        cost = -beta * held if least is None else beta * max(mpf(least) - held, mpf(0))
        return weight * (cost - log_p[labels])

    def theirs(logits: Any, labels: Any) -> Any:
        given = F.cross_entropy(logits, labels, reduction="none")
        return given - 0.5 * Categorical(logits=logits).entropy()

    def case(source: str, inputs: Any, params: Any, **more: Any) -> dict[str, Any]:
        return row_case(source, f, inputs, params, wrt=Z, weight=_weight, **more)

    ignored = {"logits": [[1.0, 2.0, 0.0], [-INF] * 3], "labels": [1, -1]}
    return [
        torch_case(
            "smooth: torch 2.13.0 F.cross_entropy less half of Categorical.entropy", theirs,
            LABELLED, {"beta": 0.5}, wrt=Z, denominator=4.0,
        ),
        case(f"smooth: {DIGITS}: threshold", LABELLED, {"threshold": 0.75, "beta": 2.0}),
        case(f"smooth: {DIGITS}: class weights", LABELLED, {}, shared={"class_weights": WEIGHTS}),
        case(EXTREME, FAR_LABELLED, {}),
        case(f"{DIGITS}: an ignored row of -inf", ignored, {"ignore_index": -1}),
    ]  # fmt: skip


def label_smoothing() -> list[dict[str, Any]]:
    def f(params: Any, logits: Any, labels: Any, class_weights: Any = None) -> Any:
        weight = _weight(params, logits, labels, class_weights)
        if not weight:
            return mpf(0)
        log_p, share = log_softmax(logits), mpf(params.get("smoothing", 0.1))
        own = params.get("spread", "all") == "all"
        over = [k for k, x in enumerate(log_p) if x != -mp.inf and (own or k != labels)]
        kept = 1 - share if over else mpf(1)
        spread = sum((log_p[k] for k in over), mpf(0)) * share / max(len(over), 1)
        return -weight * (kept * log_p[labels] + spread)

    def theirs(logits: Any, labels: Any) -> Any:
        return F.cross_entropy(logits, labels, reduction="none", label_smoothing=0.25)

    def smoothed(logits: Any, labels: Any) -> Any:
        target = optax.smooth_labels(jax.nn.one_hot(labels, 3), 0.5)
        return optax.safe_softmax_cross_entropy(logits, target)

    def case(source: str, inputs: Any, params: Any, **more: Any) -> dict[str, Any]:
        return row_case(source, f, inputs, params, wrt=Z, weight=_weight, **more)

    others = {"spread": "others", "smoothing": 0.25}
    lone = {"logits": [[1.0, -INF], [0.5, 0.25]], "labels": [0, 1]}
    ignored = {"logits": [[1.0, 2.0, 0.0], [-INF] * 3], "labels": [1, -1]}
    return [
        torch_case(
            "smooth: torch 2.13.0 F.cross_entropy", theirs, LABELLED, {"smoothing": 0.25},
            wrt=Z, denominator=4.0,
        ),
        jax_case(
            "smooth: optax 0.2.8 smooth_labels", smoothed, LABELLED, {"smoothing": 0.5}, wrt=Z,
            denominator=4.0,
        ),
        case(f"smooth: {PAPER}: over the others", LABELLED, others),
        case(f"smooth: {DIGITS}: class weights", LABELLED, {}, shared={"class_weights": WEIGHTS}),
        case(EXTREME, FAR_LABELLED, others),
        case(f"{DIGITS}: no other class is possible", lone, others),
        case(f"{DIGITS}: an ignored row of -inf", ignored, {"ignore_index": -1}),
    ]  # fmt: skip


CASES = {
    "entropy": entropy,
    "confidence_penalty": confidence_penalty,
    "label_smoothing": label_smoothing,
}
