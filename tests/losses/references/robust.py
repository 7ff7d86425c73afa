"""generalized_cross_entropy."""

import os
from typing import Any

import jax
from mpmath import mp, mpf

from references._jax import jax_case
from references._mp import INF, log_softmax, row_case
from references.classification import DENSE, EXTREME, FAR, ROWS, WEIGHTS

os.environ["KERAS_BACKEND"] = "jax"
import keras

Z = ("logits",)


def generalized_cross_entropy() -> list[dict[str, Any]]:
    def f(params: Any, logits: Any, labels: Any, class_weights: Any = None) -> Any:
        if labels == params.get("ignore_index"):
            return mpf(0)
        log_p, q = log_softmax(logits)[labels], mpf(params.get("q", 0.7))
        scale = mpf(1) if class_weights is None else class_weights[labels]
        return scale * (-mp.expm1(q * log_p) / q if q else -log_p)

    def weight(params: Any, logits: Any, labels: Any, class_weights: Any = None) -> Any:
        if labels == params.get("ignore_index"):
            return mpf(0)
        return mpf(1) if class_weights is None else class_weights[labels]

    def case(source: str, inputs: Any, q: float = 0.7, **more: Any) -> dict[str, Any]:
        shared = more.pop("shared", None)
        return row_case(source, f, inputs, {"q": q, **more}, wrt=Z, shared=shared, weight=weight)

    def of(q: float) -> Any:
        def theirs(logits: Any, labels: Any) -> Any:
            p = jax.nn.softmax(logits)
            return keras.losses.categorical_generalized_cross_entropy(labels, p, q)

        return theirs

    digits = "mpmath 1.3.0, 50 digits"
    name = "smooth: keras 3.15.1 CategoricalGeneralizedCrossEntropy on jax's softmax"
    ignored = {"logits": [[1.0, 2.0, 3.0], [-INF] * 3, [0.0, 1.0, -INF]], "labels": [2, -100, 0]}
    return [
        jax_case(name, of(0.5), ROWS, {"q": 0.5}, wrt=Z, denominator=5.0),
        jax_case(name, of(0.7), ROWS, wrt=Z, denominator=5.0),
        case(f"smooth: {digits}: q 1", ROWS, 1.0),
        case(f"smooth: {digits}: q 0", ROWS, 0.0),
        case(f"smooth: {digits}: q 1e-12", ROWS, 1e-12),
        case(f"smooth: {digits}: class weights", ROWS, shared={"class_weights": WEIGHTS}),
        _dense(),
        case(EXTREME, FAR),
        case(EXTREME, FAR, 1.0),
        case(EXTREME, FAR, 1e-3, shared={"class_weights": [1e-4, 0.0, 1e4]}),
        case(EXTREME, FAR, 1e-60),
        case(f"{digits}: an ignored row of -inf", ignored, ignore_index=-100),
        {
            "from": "by hand: a label on an impossible class costs 1 / q and has no gradient",
            "inputs": {"logits": [[0.0, "-Infinity"]], "labels": [1]},
            "params": {"q": 0.5},
            "values": [2.0],
            "denominator": 1.0,
            "gradients": {"logits": [[0.0, 0.0]]},
        },
    ]


def _dense() -> dict[str, Any]:
    def paper(logits: Any, labels: Any) -> Any:
        p = jax.nn.softmax(logits, axis=1)
        p = jax.numpy.take_along_axis(p, labels[:, None], axis=1)[:, 0]
        return (1 - p**0.7) / 0.7

    source = "smooth: jax 0.10.2, formula of the paper on softmax, dense"
    return jax_case(source, paper, DENSE, wrt=Z, denominator=8.0)


CASES = {"generalized_cross_entropy": generalized_cross_entropy}
