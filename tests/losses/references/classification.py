"""cross_entropy, nll, focal, brier."""

from typing import Any

import jax
import torch
import torch.nn.functional as F
from mpmath import mp, mpf
from sklearn.metrics import brier_score_loss

from references._jax import jax_case
from references._mp import INF, log_softmax, row_case
from references._torch import labels, randoms, torch_case

Z = ("logits",)
ROWS = {"logits": randoms(41, 5, 4), "labels": labels(42, 4, 5)}
DENSE = {"logits": randoms(43, 2, 3, 2, 2), "labels": labels(44, 3, 2, 2, 2)}
WEIGHTS = [0.5, 1.0, 2.0, 0.25]
SOFT_TARGETS = [[0.5, 0.25, 0.125, 0.125], [0.0, 1.0, 0.0, 0.0], [0.25] * 4]
FAR = {
    "logits": [
        [50.0, -50.0, 0.0],
        [120.0, -120.0, 119.0],
        [1e4, -1e4, 0.0],
        [1e4, -1e4, 0.0],
        [0.0, 0.0, 0.0],
        [2.0**-12, 0.0, -(2.0**-12)],
        [1.0, -INF, 2.0],
        [30.0, 0.0, 0.0],
    ],
    "labels": [1, 1, 1, 0, 2, 0, 0, 0],
}
EXTREME = "mpmath 1.3.0, 50 digits: logits to 1e4, -inf masks"


def _times(a: Any, b: Any) -> Any:
    return mpf(0) if a == 0 else a * b


def _cross_entropy(
    params: Any,
    logits: Any,
    labels: Any = None,
    target_probabilities: Any = None,
    class_weights: Any = None,
) -> Any:
    if labels is not None and labels == params.get("ignore_index"):
        return mpf(0)
    a, log_p = mpf(params.get("label_smoothing", 0.0)), log_softmax(logits)
    t = (
        [mpf(x) for x in target_probabilities]
        if labels is None
        else [mpf(j == labels) for j in range(len(log_p))]
    )
    finite = sum(1 for x in log_p if x != -mp.inf)
    t = [(1 - a) * x + a / finite * (lp != -mp.inf) for x, lp in zip(t, log_p, strict=True)]
    w = class_weights or [mpf(1)] * len(t)
    return -sum(_times(wk * x, lp) for wk, x, lp in zip(w, t, log_p, strict=True))


def _weight(
    params: Any,
    logits: Any,
    labels: Any = None,
    target_probabilities: Any = None,
    class_weights: Any = None,
) -> Any:
    w = class_weights or [mpf(1)] * len(logits)
    if labels is None:
        return sum(wk * x for wk, x in zip(w, target_probabilities, strict=True))
    return mpf(0) if labels == params.get("ignore_index") else w[labels]


def cross_entropy() -> list[dict[str, Any]]:
    def of(**options: Any) -> Any:
        def plain(
            logits: Any,
            labels: Any = None,
            target_probabilities: Any = None,
            class_weights: Any = None,
        ) -> Any:
            target = labels if labels is not None else target_probabilities
            return F.cross_entropy(logits, target, class_weights, reduction="none", **options)

        return plain

    weighted = ROWS | {"class_weights": WEIGHTS}
    total = sum(WEIGHTS[y] for y in ROWS["labels"])
    soft = {"logits": randoms(45, 3, 4), "target_probabilities": SOFT_TARGETS}
    name = "torch 2.13.0 F.cross_entropy"
    smooth = {"label_smoothing": 0.25}
    ignored = {"logits": [[1.0, 2.0, 3.0], [-INF] * 3, [0.0, 1.0, -INF]], "labels": [2, -100, 0]}
    nothing = {"logits": [[1.0, 2.0, 3.0], [-INF] * 3], "labels": [1, 1]}
    impossible = {
        "logits": [[0.0, 1.0, -INF], [0.0, 1.0, -INF]],
        "target_probabilities": [[0.5, 0.5, 0.0], [0.5, 0.25, 0.25]],
    }

    def mp_case(source: str, inputs: Any, params: Any = None, **kwargs: Any) -> dict[str, Any]:
        return row_case(source, _cross_entropy, inputs, params, wrt=Z, weight=_weight, **kwargs)

    return [
        torch_case(f"smooth: {name}", of(), ROWS, wrt=Z, denominator=5.0),
        torch_case(f"smooth: {name}, dense", of(), DENSE, wrt=Z, denominator=8.0),
        torch_case(f"smooth: {name}, class weights", of(), weighted, wrt=Z, denominator=total),
        torch_case(
            f"smooth: {name}, class weights and smoothing",
            of(label_smoothing=0.25),
            weighted,
            smooth,
            wrt=Z,
            denominator=total,
        ),
        torch_case(
            f"smooth: {name}, ignore_index 2",
            of(ignore_index=2),
            DENSE,
            {"ignore_index": 2},
            wrt=Z,
            denominator=float((torch.tensor(DENSE["labels"]) != 2).sum()),
        ),
        torch_case(f"smooth: {name}, soft targets", of(), soft, wrt=Z, denominator=3.0),
        mp_case(
            "smooth: mpmath 1.3.0, 50 digits: soft targets, class weights, smoothing",
            soft,
            smooth,
            shared={"class_weights": WEIGHTS},
        ),
        mp_case(EXTREME, FAR),
        mp_case(EXTREME + ", smoothing over the possible classes", FAR, smooth),
        mp_case(EXTREME + ", class weights", FAR, shared={"class_weights": [1e-4, 0.0, 1e4]}),
        mp_case("mpmath 1.3.0, 50 digits: an ignored row of -inf", ignored, {"ignore_index": -100}),
        {
            "from": "by hand: nothing counts",
            "inputs": {"logits": [[1.0, 2.0, 3.0], ["-Infinity"] * 3], "labels": nothing["labels"]},
            "params": {"ignore_index": 1, "label_smoothing": 0.5},
            "values": [0.0, 0.0],
            "denominator": 0.0,
            "gradients": {"logits": [[0.0] * 3] * 2},
        },
        mp_case("mpmath 1.3.0, 50 digits: smoothing 1", FAR, {"label_smoothing": 1.0}),
        {
            **mp_case(
                "mpmath 1.3.0, 50 digits: a possible target on an impossible class is infinite; "
                "gradient p - t by hand",
                impossible,
            ),
            "gradients": {
                "logits": [
                    [float(1 / (1 + mp.e)) - 0.5, 0.5 - float(1 / (1 + mp.e)), 0.0],
                    [float(1 / (1 + mp.e)) - 0.5, float(mp.e / (1 + mp.e)) - 0.25, -0.25],
                ]
            },
        },
        {
            "from": "by hand: a label on an impossible class is infinite; gradient p - t",
            "inputs": {"logits": [[0.0, "-Infinity"]], "labels": [1]},
            "params": {},
            "values": ["Infinity"],
            "denominator": 1.0,
            "gradients": {"logits": [[1.0, -1.0]]},
        },
        mp_case(
            "mpmath 1.3.0, 50 digits: unnormalized targets",
            {
                "logits": randoms(46, 2, 3),
                "target_probabilities": [[1.0, 1.0, 0.5], [0.0, 0.0, 0.25]],
            },
            {"unnormalized_targets": True},
        )
        | {"denominator": 2.0},
    ]


def nll() -> list[dict[str, Any]]:
    def of(**options: Any) -> Any:
        def plain(log_probabilities: Any, labels: Any, class_weights: Any = None) -> Any:
            return F.nll_loss(log_probabilities, labels, class_weights, reduction="none", **options)

        return plain

    logs = {"log_probabilities": randoms(47, 5, 4, low=-4.0, high=0.0), "labels": ROWS["labels"]}
    dense = {
        "log_probabilities": randoms(48, 2, 3, 2, 2, low=-4.0, high=0.0),
        "labels": DENSE["labels"],
    }
    weighted = logs | {"class_weights": WEIGHTS}
    name, wrt = "torch 2.13.0 F.nll_loss", ("log_probabilities",)
    return [
        torch_case(f"smooth: {name}", of(), logs, wrt=wrt, denominator=5.0),
        torch_case(
            f"smooth: {name}, class weights",
            of(),
            weighted,
            wrt=wrt,
            denominator=sum(WEIGHTS[y] for y in logs["labels"]),
        ),
        torch_case(
            f"smooth: {name}, dense, ignore_index 2",
            of(ignore_index=2),
            dense,
            {"ignore_index": 2},
            wrt=wrt,
            denominator=float((torch.tensor(dense["labels"]) != 2).sum()),
        ),
        {
            "from": "by hand: probability 0, probability 1, 1e-4343, ignored",
            "inputs": {
                "log_probabilities": [
                    ["-Infinity", 0.0],
                    ["-Infinity", 0.0],
                    [-1e4, 0.0],
                    ["-Infinity", "-Infinity"],
                ],
                "labels": [0, 1, 0, -1],
            },
            "params": {"ignore_index": -1},
            "values": ["Infinity", 0.0, 1e4, 0.0],
            "denominator": 3.0,
            "gradients": {"log_probabilities": [[-1.0, 0.0], [0.0, -1.0], [-1.0, 0.0], [0.0, 0.0]]},
        },
    ]


def focal() -> list[dict[str, Any]]:
    def f(params: Any, logits: Any, labels: Any, alpha: Any = None) -> Any:
        if labels == params.get("ignore_index"):
            return mpf(0)
        log_p = log_softmax(logits)[labels]
        scale = mpf(1) if alpha is None else alpha[labels]
        return -scale * (-mp.expm1(log_p)) ** mpf(params.get("gamma", 2.0)) * log_p

    def weight(params: Any, logits: Any, labels: Any, alpha: Any = None) -> Any:
        return mpf(labels != params.get("ignore_index"))

    def case(source: str, inputs: Any, params: Any = None, **kwargs: Any) -> dict[str, Any]:
        return row_case(source, f, inputs, params, wrt=Z, weight=weight, **kwargs)

    def dense(logits: Any, labels: Any) -> Any:
        log_p = jax.nn.log_softmax(logits, axis=1)
        log_p = jax.numpy.take_along_axis(log_p, labels[:, None], axis=1)[:, 0]
        return -((1 - jax.numpy.exp(log_p)) ** 2) * log_p

    digits = "mpmath 1.3.0, 50 digits"
    far = FAR | {"logits": FAR["logits"][:-1], "labels": FAR["labels"][:-1]}
    ignored = {"logits": [[1.0, 2.0, 3.0], [-INF] * 3, [0.0, 1.0, -INF]], "labels": [2, -100, 0]}
    probability = float(1 / (1 + mp.e))
    return [
        case(f"smooth: {digits}", ROWS),
        case(f"smooth: {digits}", ROWS, {"gamma": 0.5}),
        case(f"smooth: {digits}: gamma 0", ROWS, {"gamma": 0.0}),
        case(f"smooth: {digits}: alpha", ROWS, {"gamma": 5.0}, shared={"alpha": WEIGHTS}),
        jax_case(
            "smooth: jax 0.10.2, formula of the paper on log_softmax, dense",
            dense,
            DENSE,
            wrt=Z,
            denominator=8.0,
        ),
        case(EXTREME, far, {"gamma": 2.0}),
        case(EXTREME, far, {"gamma": 1.0}),
        case(f"{digits}: an ignored row of -inf", ignored, {"ignore_index": -100}),
        {
            "from": "by hand: a label on an impossible class is infinite; gradient p - t",
            "inputs": {"logits": [[0.0, "-Infinity"]], "labels": [1]},
            "params": {},
            "values": ["Infinity"],
            "denominator": 1.0,
            "gradients": {"logits": [[1.0, -1.0]]},
        },
        {
            "from": "by hand: a sure row, p = 1 to the last bit, gamma below 1",
            "inputs": {"logits": [[900.0, 0.0]], "labels": [0]},
            "params": {"gamma": 0.5},
            "values": [0.0],
            "denominator": 1.0,
            "gradients": {"logits": [[0.0, 0.0]]},
        },
        {
            "from": "by hand: the factor (1 - p)^2 is held constant, p = 1 / (1 + e)",
            "inputs": {"logits": [[0.0, 1.0]], "labels": [0]},
            "params": {"modulation_gradient": "detached"},
            "values": [float(-((1 - 1 / (1 + mp.e)) ** 2) * mp.log(1 / (1 + mp.e)))],
            "denominator": 1.0,
            "gradients": {
                "logits": [
                    [
                        (1 - probability) ** 2 * (probability - 1),
                        (1 - probability) ** 2 * (1 - probability),
                    ]
                ]
            },
        },
    ]


def brier() -> list[dict[str, Any]]:
    def f(
        params: Any,
        logits: Any = None,
        probabilities: Any = None,
        labels: Any = None,
        target_probabilities: Any = None,
    ) -> Any:
        p = probabilities if logits is None else [mp.exp(x) for x in log_softmax(logits)]
        t = target_probabilities or [mpf(j == labels) for j in range(len(p))]
        return sum((a - b) ** 2 for a, b in zip(p, t, strict=True)) / (
            2 if params.get("scale_by_half") else 1
        )

    def dense(logits: Any, labels: Any) -> Any:
        target = F.one_hot(labels, 3).movedim(-1, 1)
        return (F.softmax(logits, 1) - target).pow(2).sum(1)

    digits = "mpmath 1.3.0, 50 digits"
    given = {"probabilities": SOFT_TARGETS, "labels": [0, 2, 1]}
    soft = {"logits": randoms(49, 3, 4), "target_probabilities": SOFT_TARGETS}
    of_probabilities = row_case(
        f"smooth: {digits}; mean checked with scikit-learn 1.9.1", f, given, wrt=("probabilities",)
    )
    theirs = brier_score_loss(given["labels"], SOFT_TARGETS, labels=[0, 1, 2, 3])
    assert abs(theirs - sum(of_probabilities["values"]) / 3) < 1e-12
    return [
        row_case(f"smooth: {digits}", f, ROWS, wrt=Z),
        row_case(f"smooth: {digits}: halved", f, ROWS, {"scale_by_half": True}, wrt=Z),
        row_case(f"smooth: {digits}: soft targets", f, soft, wrt=Z),
        of_probabilities,
        torch_case("smooth: torch 2.13.0 F.softmax and F.one_hot, dense", dense, DENSE, wrt=Z),
        row_case(EXTREME, f, FAR, wrt=Z),
    ]


CASES = {"cross_entropy": cross_entropy, "nll": nll, "focal": focal, "brier": brier}
