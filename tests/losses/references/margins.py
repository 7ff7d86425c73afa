"""hinge, squared_hinge, multiclass_hinge, multi_margin."""

import os
from typing import Any

import optax
import torch
import torch.nn.functional as F
from mpmath import mpf
from sklearn.metrics import hinge_loss

from references._jax import jax_case
from references._mp import row_case
from references._torch import labels, randoms, torch_case

os.environ["KERAS_BACKEND"] = "jax"
import keras

SIGNS = [2 * x - 1 for x in labels(21, 2, 8)]
SCORES = {"scores": randoms(22, 8), "labels": SIGNS}
FAR = {
    "scores": [0.0, 50.0, -50.0, 120.0, -120.0, 1e4, -1e4] * 2,
    "labels": [1] * 7 + [-1] * 7,
}
CLASSES = {"logits": randoms(23, 5, 4), "labels": labels(24, 4, 5)}
DENSE = {"logits": randoms(25, 2, 3, 4), "labels": labels(26, 3, 2, 4)}
WIDE = {
    "logits": [[50.0, -50.0, 0.0], [120.0, 1e4, -120.0], [-1e4, 1e4, 0.0], [1e4, -1e4, 1.0]],
    "labels": [1, 0, 0, 0],
}


def binary_hinge(params: Any, scores: Any, labels: Any) -> Any:
    return max(mpf(0), mpf(params.get("margin", 1.0)) - labels * scores)


def hinge() -> list[dict[str, Any]]:
    near = row_case(
        "smooth: mpmath 1.3.0, 50 digits; mean checked with scikit-learn 1.9.1 hinge_loss",
        binary_hinge,
        SCORES,
        wrt=("scores",),
    )
    assert abs(hinge_loss(SIGNS, SCORES["scores"]) - sum(near["values"]) / 8) < 1e-12
    kink = row_case(
        "by hand: subgradient 0 at the margin, by ruling",
        binary_hinge,
        {"scores": [2.0, -2.0], "labels": [1, -1]},
        {"margin": 2.0},
        wrt=("scores",),
        kinks={"scores": [0.0, 0.0]},
    )
    optax_hinge = jax_case(
        "optax 0.2.8 hinge_loss",
        lambda scores, labels: optax.losses.hinge_loss(scores, labels),
        SCORES,
        wrt=("scores",),
    )
    far = row_case(
        "mpmath 1.3.0, 50 digits: scores to 1e4",
        binary_hinge,
        FAR,
        {"margin": 0.5},
        wrt=("scores",),
    )
    return [near, optax_hinge, far, kink]


def squared_hinge() -> list[dict[str, Any]]:
    def f(params: Any, scores: Any, labels: Any) -> Any:
        return binary_hinge(params, scores, labels) ** 2

    near = row_case(
        "smooth: mpmath 1.3.0, 50 digits; mean checked with keras 3.15.1 SquaredHinge",
        f,
        SCORES,
        wrt=("scores",),
    )
    theirs = float(keras.losses.SquaredHinge()(SIGNS, SCORES["scores"]))
    assert abs(theirs - sum(near["values"]) / 8) < 1e-5
    return [
        near,
        row_case(
            "mpmath 1.3.0, 50 digits: scores to 1e4", f, FAR, {"margin": 0.5}, wrt=("scores",)
        ),
        row_case(
            "mpmath 1.3.0, 50 digits: at the margin",
            f,
            {"scores": [2.0], "labels": [1]},
            {"margin": 2.0},
            wrt=("scores",),
            kinks={"scores": [0.0]},
        ),
    ]


def multiclass_hinge() -> list[dict[str, Any]]:
    def f(params: Any, logits: Any, labels: Any) -> Any:
        wrong = max(z for j, z in enumerate(logits) if j != labels)
        return max(mpf(0), mpf(params.get("margin", 1.0)) + wrong - logits[labels])

    near = jax_case(
        "smooth: optax 0.2.8 multiclass_hinge_loss",
        lambda logits, labels: optax.losses.multiclass_hinge_loss(logits, labels),
        CLASSES,
        wrt=("logits",),
    )
    theirs = hinge_loss(CLASSES["labels"], CLASSES["logits"], labels=[0, 1, 2, 3])
    assert abs(theirs - sum(near["values"]) / 5) < 1e-12
    flat = jax_case(
        "smooth: optax 0.2.8 multiclass_hinge_loss, dense",
        lambda logits, labels: optax.losses.multiclass_hinge_loss(
            logits.transpose(0, 2, 1), labels
        ),
        DENSE,
        wrt=("logits",),
    )
    return [
        near,
        flat,
        row_case(
            "mpmath 1.3.0, 50 digits: scores to 1e4", f, WIDE, {"margin": 0.5}, wrt=("logits",)
        ),
        {
            "from": "by hand: the first of tied wrong classes takes the gradient; 0 at the kink",
            "inputs": {"logits": [[0.0, 1.0, 1.0], [2.0, 1.0, 0.0]], "labels": [0, 0]},
            "params": {},
            "values": [2.0, 0.0],
            "gradients": {"logits": [[-1.0, 1.0, 0.0], [0.0, 0.0, 0.0]]},
        },
        {
            "from": "by hand: with one class there is no wrong one",
            "inputs": {"logits": [[3.0], [-1.0]], "labels": [0, 0]},
            "params": {},
            "values": [0.0, 0.0],
            "gradients": {"logits": [[0.0], [0.0]]},
        },
    ]


def multi_margin() -> list[dict[str, Any]]:
    def of(p: int, margin: float = 1.0, weight: Any = None, factor: float = 1.0) -> Any:
        def plain(logits: Any, labels: Any, class_weights: Any = None) -> Any:
            z = logits.movedim(1, -1).reshape(-1, logits.shape[1])
            value = F.multi_margin_loss(
                z, labels.reshape(-1), p=p, margin=margin, weight=class_weights, reduction="none"
            )
            return factor * value.reshape(labels.shape)

        return plain

    weighted = CLASSES | {"class_weights": [0.5, 1.0, 2.0, 0.0]}
    name = "torch 2.13.0 F.multi_margin_loss"
    return [
        torch_case(f"smooth: {name}", of(1), CLASSES, wrt=("logits",)),
        torch_case(
            f"smooth: {name}, p 2", of(2, 0.5), CLASSES, {"p": 2, "margin": 0.5}, wrt=("logits",)
        ),
        torch_case(f"smooth: {name}, class weights", of(1), weighted, wrt=("logits",)),
        torch_case(
            f"smooth: {name}, times the classes",
            of(1, factor=4.0),
            CLASSES,
            {"divide_by_classes": False},
            wrt=("logits",),
        ),
        torch_case(f"smooth: {name}, dense", of(2), DENSE, {"p": 2}, wrt=("logits",)),
        torch_case(f"{name}, scores to 1e4", of(1), WIDE, wrt=("logits",)),
        torch_case(f"{name}, scores to 1e4, p 2", of(2), WIDE, {"p": 2}, wrt=("logits",)),
        {
            "from": "by hand: subgradient 0 at the kink, by ruling",
            "inputs": {"logits": [[2.0, 1.0, 0.5]], "labels": [0]},
            "params": {},
            "values": [0.0],
            "gradients": {"logits": [[0.0, 0.0, 0.0]]},
        },
    ]


CASES = {
    "hinge": hinge,
    "squared_hinge": squared_hinge,
    "multiclass_hinge": multiclass_hinge,
    "multi_margin": multi_margin,
}
torch.set_num_threads(1)
