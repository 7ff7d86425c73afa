"""Losses of regions: MONAI, segmentation-models-pytorch, and mpmath by the papers' formulas."""

from typing import Any

import numpy as np
import torch
from monai.losses import DiceLoss, GeneralizedDiceLoss, TverskyLoss
from mpmath import mp, mpf
from segmentation_models_pytorch.losses import MCCLoss
from torch import Tensor

from references._mp_arrays import array, array_case, exp, log_softmax, sigmoid
from references._torch import randoms, torch_case

MONAI = "MONAI 1.6.1"
PAPER = "paper only: mpmath 1.3.0"
WRT = ("logits",)
IMAGES = {"logits": randoms(301, 2, 3, 4), "labels": [[0, 1, 2, 1], [2, 2, 1, 0]]}
# The second image has no class 1, and class 2 nowhere but in an ignored pixel.
GAPS = {"logits": randoms(302, 2, 3, 4), "labels": [[0, 1, 2, -1], [0, 0, -1, 0]]}
MULTILABEL = {
    "logits": randoms(303, 2, 2, 3),
    "targets": [[[1.0, 0.0, 1.0], [0.0, 1.0, 1.0]], [[0.0, 1.0, 0.0], [1.0, 0.0, 1.0]]],
}
SURE = {
    "logits": [[[1e4, -1e4, 50.0], [-1e4, 1e4, -50.0]], [[1e4, 1e4, 1e4], [-1e4, -1e4, -1e4]]],
    "labels": [[0, 1, 1], [0, 0, 0]],
}
PROBABILITIES = {
    "probabilities": [[[0.25, 1.0, 0.0], [0.5, 0.0, 0.75]], [[0.0, 0.0, 0.0], [0.125, 0.25, 1.0]]],
    "targets": [[[0.0, 1.0, 0.0], [0.5, 0.25, 1.0]], [[0.0, 0.0, 0.0], [0.0, 1.0, 1.0]]],
}
SMOOTH = 1e-5


def foreign(
    module: Any, inputs: Any, params: Any, source: str, *, denominator: float = 2.0
) -> dict[str, Any]:
    """A MONAI loss that was made with reduction none: the mean over classes is the image's."""

    def values(logits: Tensor, labels: Any = None, targets: Any = None) -> Tensor:
        found: Tensor = module(logits, labels.unsqueeze(1) if targets is None else targets)
        return found.flatten(1).mean(1)

    return torch_case(source, values, inputs, params, wrt=WRT, denominator=denominator)


def masks(params: Any, logits: Any, probabilities: Any, labels: Any, targets: Any) -> Any:
    """p, t and what counts: (rows, classes, pixels)."""
    if probabilities is None:
        soft = params.get("activation") != "sigmoid"
        probabilities = exp(log_softmax(logits)) if soft else sigmoid(logits)
    counts = array(np.ones(probabilities.shape).tolist())
    if targets is None:
        classes = np.arange(probabilities.shape[1])[None, :, None]
        targets = array((labels[:, None] == classes).astype(float).tolist())
        ignored = labels[:, None] == params.get("ignore_index", -100)
        counts = array(np.broadcast_to(1.0 - ignored, probabilities.shape).tolist())
    first = 0 if params.get("include_background", True) else 1
    return probabilities[:, first:], targets[:, first:], counts[:, first:]


def sums(
    params: Any, logits: Any = None, probabilities: Any = None, labels: Any = None,
    targets: Any = None,
) -> dict[str, Any]:  # fmt: skip
    p, t, counts = masks(params, logits, probabilities, labels, targets)

    def total(x: Any) -> Any:
        return (counts * x).sum(axis=2)

    return {
        "tp": total(p * t), "fp": total(p * (1 - t)), "fn": total((1 - p) * t),
        "tn": total((1 - p) * (1 - t)), "p": total(p), "t": total(t), "p2": total(p * p),
        "t2": total(t * t), "on": total((p - t) ** 2 * t), "off": total((p - t) ** 2 * (1 - t)),
        "size": total(1 + 0 * t),
    }  # fmt: skip


def over(part: Any, whole: Any, nothing: int = 0) -> Any:
    return np.frompyfunc(lambda a, b: a / b if b else mpf(nothing), 2, 1)(part, whole)


def mean(costs: Any, present: Any, empty: str = "formula") -> Any:
    if empty in ("zero", "one"):
        costs = np.where(present, costs, mpf(empty == "one"))
    counts = present if empty == "skip" else np.ones_like(present)
    return over(np.where(counts, costs, mpf(0)).sum(axis=1), counts.sum(axis=1))


def overlap(part: Any, whole: Any, power: float = 1.0) -> Any:
    """A loss of 1 - (part + s) / (whole + s'), to a power."""

    def formula(params: Any, **inputs: Any) -> Any:
        s, smooth = sums(params, **inputs), params.get("smooth_numerator", SMOOTH)
        index = over(
            part(s, params) + mpf(smooth),
            whole(s, params) + mpf(params.get("smooth_denominator", SMOOTH)), 1,
        )  # fmt: skip
        costs = 1 - index
        if params.get("gamma", power) != 1:
            g = mpf(params.get("gamma", power))
            costs = np.frompyfunc(lambda c: c**g if c > 0 else mpf(0), 1, 1)(costs)
        return mean(costs, s["t"] > 0, params.get("empty", "formula"))

    return formula


def _twice(s: Any, params: Any) -> Any:
    return 2 * s["tp"]


def _dice_whole(s: Any, params: Any) -> Any:
    return s["p2"] + s["t2"] if params.get("squared") else s["p"] + s["t"]


def _found(s: Any, params: Any) -> Any:
    return s["tp"]


def _union(s: Any, params: Any) -> Any:
    return s["p"] + s["t"] - s["tp"]


def _tversky_whole(s: Any, params: Any) -> Any:
    made_up, missed = params.get("fp_weight", 0.5), params.get("fn_weight", 0.5)
    return s["tp"] + mpf(made_up) * s["fp"] + mpf(missed) * s["fn"]


def _focal_whole(s: Any, params: Any) -> Any:
    return _tversky_whole(s, {"fp_weight": 0.3, "fn_weight": 0.7, **params})


DICE = overlap(_twice, _dice_whole)
JACCARD = overlap(_found, _union)
TVERSKY = overlap(_found, _tversky_whole)
FOCAL = overlap(_found, _focal_whole, 0.75)


def _log_cosh(params: Any, **inputs: Any) -> Any:
    return np.frompyfunc(lambda x: mp.log(mp.cosh(x)), 1, 1)(DICE(params, **inputs))


def _correlation(params: Any, **inputs: Any) -> Any:
    s = sums(params, **inputs)
    root = np.frompyfunc(mp.sqrt, 1, 1)
    scale = root(
        (s["tp"] + s["fp"]) * (s["tp"] + s["fn"]) * (s["tn"] + s["fp"]) * (s["tn"] + s["fn"])
    )
    costs = 1 - over(s["tp"] * s["tn"] - s["fp"] * s["fn"], scale)
    return mean(np.where(s["size"] == 0, mpf(0), costs), s["t"] > 0)


def _sensitivity(params: Any, **inputs: Any) -> Any:
    s, share = sums(params, **inputs), mpf(params.get("sensitivity_share", 0.05))
    costs = share * over(s["on"], s["t"]) + (1 - share) * over(s["off"], s["size"] - s["t"])
    return mean(costs, s["t"] > 0)


def _generalized(params: Any, **inputs: Any) -> Any:
    s = sums(params, **inputs)
    power = {"square": 2, "simple": 1, "uniform": 0}[params.get("class_weighting", "square")]
    weight = over(mpf(1), s["t"] ** power) * (s["t"] > 0)
    heaviest = weight.max(axis=1, keepdims=True)
    weight = np.where(s["t"] > 0, weight, np.where(heaviest > 0, heaviest, mpf(1)))
    smooth = mpf(SMOOTH)
    part, whole = 2 * (weight * s["tp"]).sum(1), (weight * (s["p"] + s["t"])).sum(1)
    return 1 - over(part + smooth, whole + smooth, 1)


def others(formula: Any, **params: Any) -> list[dict[str, Any]]:
    """Ignored pixels, classes that are not there, sure logits."""
    ignoring = {"ignore_index": -1, **params}
    return [
        array_case(
            f"{PAPER}, ignored and lacking", formula, GAPS, ignoring, wrt=WRT, denominator=2.0
        ),
        array_case(f"{PAPER}, logits of 1e4", formula, SURE, params, wrt=WRT, denominator=2.0),
    ]


def probable(formula: Any, **params: Any) -> dict[str, Any]:
    return array_case(
        f"{PAPER}, probabilities of soft masks", formula, PROBABILITIES, params,
        wrt=("probabilities",), denominator=2.0,
    )  # fmt: skip


def smooth(formula: Any, **params: Any) -> dict[str, Any]:
    return array_case(f"smooth: {PAPER}", formula, IMAGES, params, wrt=WRT, denominator=2.0)


def nothing(formula: Any) -> dict[str, Any]:
    """All ignored, and what the mean leaves out."""
    inputs = {"logits": randoms(304, 2, 2, 2), "labels": [[-1, -1], [0, 1]]}
    source = f"{PAPER}, an image all ignored"
    return array_case(source, formula, inputs, {"ignore_index": -1}, wrt=WRT, denominator=1.0)


def dice() -> list[dict[str, Any]]:
    plain = DiceLoss(softmax=True, to_onehot_y=True, reduction="none")
    squared = DiceLoss(
        sigmoid=True, squared_pred=True, reduction="none", smooth_nr=0.5, smooth_dr=1.0
    )
    fore = DiceLoss(softmax=True, to_onehot_y=True, include_background=False, reduction="none")
    multi = {"activation": "sigmoid", "squared": True, "smooth_numerator": 0.5,
             "smooth_denominator": 1.0}  # fmt: skip
    ignoring = {"ignore_index": -1, "smooth_numerator": 0.0, "smooth_denominator": 0.0}
    return [
        foreign(plain, IMAGES, {}, f"smooth: {MONAI}"),
        foreign(squared, MULTILABEL, multi, f"smooth: {MONAI}, squared"),
        foreign(fore, IMAGES, {"include_background": False}, f"{MONAI}, without background"),
        *others(DICE)[1:],
        probable(DICE),
        *(
            array_case(
                f"{PAPER}, empty {empty}", DICE, GAPS, {**ignoring, "empty": empty}, wrt=WRT,
                denominator=2.0,
            )
            for empty in ("formula", "zero", "one", "skip")
        ),
        nothing(DICE),
    ]  # fmt: skip


def jaccard() -> list[dict[str, Any]]:
    # MONAI adds its terms to twice the counts.
    module = DiceLoss(
        softmax=True, to_onehot_y=True, jaccard=True, reduction="none", smooth_nr=2e-5,
        smooth_dr=2e-5,
    )  # fmt: skip
    return [
        foreign(module, IMAGES, {}, f"smooth: {MONAI}"),
        *others(JACCARD),
        probable(JACCARD, smooth_numerator=0.0, smooth_denominator=0.0),
    ]


def tversky() -> list[dict[str, Any]]:
    module = TverskyLoss(softmax=True, to_onehot_y=True, alpha=0.25, beta=0.75, reduction="none")
    params = {"fp_weight": 0.25, "fn_weight": 0.75}
    return [
        foreign(module, IMAGES, params, f"smooth: {MONAI}"),
        *others(TVERSKY, fp_weight=0.25, fn_weight=0.75),
        probable(TVERSKY, fp_weight=0.25, fn_weight=0.0),
    ]


def focal_tversky() -> list[dict[str, Any]]:
    one = {"smooth_numerator": 1.0, "smooth_denominator": 1.0}
    return [smooth(FOCAL), *others(FOCAL, gamma=1.5), probable(FOCAL, gamma=2.0, **one)]


def log_cosh_dice() -> list[dict[str, Any]]:
    return [smooth(_log_cosh), *others(_log_cosh), probable(_log_cosh)]


def generalized_dice() -> list[dict[str, Any]]:
    module = GeneralizedDiceLoss(softmax=True, to_onehot_y=True, reduction="none")
    simple = GeneralizedDiceLoss(sigmoid=True, w_type="simple", reduction="none")
    multi = {"activation": "sigmoid", "class_weighting": "simple"}
    return [
        foreign(module, IMAGES, {}, f"smooth: {MONAI}"),
        foreign(simple, MULTILABEL, multi, f"smooth: {MONAI}, simple"),
        *others(_generalized),
        probable(_generalized),
    ]


def matthews() -> list[dict[str, Any]]:
    logits, targets = randoms(305, 1, 1, 6), [[[1.0, 0.0, 1.0, 1.0, 0.0, 0.0]]]

    def values(logits: Tensor, targets: Tensor) -> Tensor:
        found: Tensor = MCCLoss(eps=0.0)(torch.sigmoid(logits), targets)
        return found.reshape(1)

    return [
        torch_case(
            "smooth: segmentation-models-pytorch 0.6.0", values,
            {"logits": logits, "targets": targets}, {"activation": "sigmoid"}, wrt=WRT,
            denominator=1.0,
        ),
        smooth(_correlation),
        array_case(
            f"{PAPER}, probabilities of soft masks", _correlation,
            {k: x[:1] for k, x in PROBABILITIES.items()}, wrt=("probabilities",), denominator=1.0,
        ),
        array_case(f"{PAPER}, ignored", _correlation, {k: x[:1] for k, x in GAPS.items()},
                   {"ignore_index": -1}, wrt=WRT, denominator=1.0),
        array_case(f"{PAPER}, all or nothing", _correlation, {k: x[1:] for k, x in SURE.items()},
                   wrt=WRT, denominator=1.0, kinks={"logits": [[[0.0] * 3] * 2]}),
    ]  # fmt: skip


def sensitivity_specificity() -> list[dict[str, Any]]:
    return [
        smooth(_sensitivity),
        *others(_sensitivity, sensitivity_share=0.5),
        probable(_sensitivity),
    ]


CASES = {
    "dice": dice,
    "jaccard": jaccard,
    "tversky": tversky,
    "focal_tversky": focal_tversky,
    "log_cosh_dice": log_cosh_dice,
    "generalized_dice": generalized_dice,
    "matthews": matthews,
    "sensitivity_specificity": sensitivity_specificity,
}
