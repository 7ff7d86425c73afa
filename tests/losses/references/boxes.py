"""Losses of boxes: torchvision, and mpmath by the papers' formulas."""

from typing import Any

import numpy as np
import torch
from mpmath import mp, mpf
from torch import Tensor

from references._mp_arrays import array_case, atan2, exp, sqrt
from references._torch import torch_case
from references._torchvision import (
    complete_box_iou_loss,
    distance_box_iou_loss,
    generalized_box_iou_loss,
)

TORCHVISION = "torchvision 0.28.0 (eps 0)"
PAPER = "paper only: mpmath 1.3.0"
WRT = ("boxes",)
# Apart, overlapping, one inside the other; no edges in common.
BOXES = {
    "boxes": [[1.0, 2.0, 5.0, 4.5], [0.0, 0.0, 2.0, 3.0], [1.0, 1.0, 2.0, 3.5]],
    "target_boxes": [[2.0, 1.0, 6.5, 4.0], [4.0, 5.0, 5.5, 9.0], [0.5, 0.25, 3.0, 4.0]],
}
CENTRED = {
    "boxes": [[3.0, 2.0, 2.0, 3.0], [0.5, 0.25, 1.0, 3.0]],
    "target_boxes": [[2.5, 2.25, 3.0, 1.5], [4.0, 5.0, 5.5, 2.0]],
}
HUGE = {
    "boxes": [[-1e20, 1e19, 3e20, 2e20], [1e-30, 2e-30, 5e-30, 3e-30]],
    "target_boxes": [[1e20, 0.0, 4e20, 1.5e20], [2e-30, 1e-30, 7e-30, 4.5e-30]],
}
# Equal boxes; a point on a point; a point apart from a box.
DEGENERATE = {
    "boxes": [[1.0, 2.0, 5.0, 4.0], [1.0, 1.0, 1.0, 1.0], [3.0, 3.0, 3.0, 3.0]],
    "target_boxes": [[1.0, 2.0, 5.0, 4.0], [1.0, 1.0, 1.0, 1.0], [0.0, 0.0, 1.0, 2.0]],
}


def by_torchvision(function: Any, inputs: Any, params: Any, source: str) -> dict[str, Any]:
    def values(boxes: Tensor, target_boxes: Tensor) -> Tensor:
        if params.get("box_format") == "cxcywh":
            boxes, target_boxes = (_corners_of(x) for x in (boxes, target_boxes))
        found: Tensor = function(boxes, target_boxes, eps=0.0)
        return found

    return torch_case(source, values, inputs, params, wrt=WRT)


def _corners_of(x: Tensor) -> Tensor:
    return torch.cat((x[:, :2] - x[:, 2:] / 2, x[:, :2] + x[:, 2:] / 2), dim=1)


def measured(params: Any, boxes: Any, target_boxes: Any) -> dict[str, Any]:
    """The quantities of the papers, (rows,) each."""
    if params.get("box_format") == "cxcywh":
        boxes, target_boxes = (
            np.concatenate((x[:, :2] - x[:, 2:] / 2, x[:, :2] + x[:, 2:] / 2), axis=1)
            for x in (boxes, target_boxes)
        )
    (a, b, c, d), (e, f, g, h) = boxes.T, target_boxes.T
    zero = mpf(0)
    shared = np.maximum(np.minimum(c, g) - np.maximum(a, e), zero) * np.maximum(
        np.minimum(d, h) - np.maximum(b, f), zero
    )
    union = (c - a) * (d - b) + (g - e) * (h - f) - shared
    return {
        "iou": over(shared, union), "union": union,
        "w": c - a, "h": d - b, "tw": g - e, "th": h - f,
        "dx": (e + g - a - c) / 2, "dy": (f + h - b - d) / 2,
        "W": np.maximum(c, g) - np.minimum(a, e), "H": np.maximum(d, h) - np.minimum(b, f),
    }  # fmt: skip


def over(part: Any, whole: Any) -> Any:
    return np.frompyfunc(lambda a, b: a / b if b else mpf(0), 2, 1)(part, whole)


def centres(m: dict[str, Any]) -> Any:
    return over(m["dx"] ** 2 + m["dy"] ** 2, m["W"] ** 2 + m["H"] ** 2)


def empty(m: dict[str, Any]) -> Any:
    return over(m["W"] * m["H"] - m["union"], m["W"] * m["H"])


def aspect(m: dict[str, Any]) -> Any:
    return 4 / mp.pi**2 * (atan2(m["tw"], m["th"]) - atan2(m["w"], m["h"])) ** 2


def _iou(params: Any, **x: Any) -> Any:
    iou = measured(params, **x)["iou"]
    if params.get("kind") == "log":
        return np.frompyfunc(lambda v: -mp.log(v) if v else mp.inf, 1, 1)(iou)
    return 1 - iou ** (2 if params.get("kind") == "squared" else 1)


def _giou(params: Any, **x: Any) -> Any:
    m = measured(params, **x)
    return 1 - m["iou"] + empty(m)


def _diou(params: Any, **x: Any) -> Any:
    m = measured(params, **x)
    return 1 - m["iou"] + centres(m)


def _alpha(params: Any, **x: Any) -> Any:
    m = measured(params, **x)
    return over(aspect(m), 1 - m["iou"] + aspect(m))


def _ciou(params: Any, constant: Any = None, **x: Any) -> Any:
    m = measured(params, **x)
    alpha = _alpha(params, **x) if constant is None else constant
    return 1 - m["iou"] + centres(m) + alpha * aspect(m)


def _eiou(params: Any, **x: Any) -> Any:
    m = measured(params, **x)
    sides = over((m["w"] - m["tw"]) ** 2, m["W"] ** 2) + over((m["h"] - m["th"]) ** 2, m["H"] ** 2)
    return 1 - m["iou"] + centres(m) + sides


def _siou(params: Any, **x: Any) -> Any:
    """By the angle itself: Lambda = 1 - 2 sin^2(arcsin(c_h / sigma) - pi / 4)."""
    m = measured(params, **x)
    sigma = sqrt(m["dx"] ** 2 + m["dy"] ** 2)
    asin = np.frompyfunc(mp.asin, 1, 1)
    sin = np.frompyfunc(mp.sin, 1, 1)
    angle = 1 - 2 * sin(asin(over(abs(m["dy"]), sigma)) - mp.pi / 4) ** 2
    gamma = 2 - angle
    distance = sum(1 - exp(-gamma * over(m[a], m[b]) ** 2) for a, b in (("dx", "W"), ("dy", "H")))
    shape = sum(
        (1 - exp(-over(abs(m[a] - m[b]), np.maximum(m[a], m[b])))) ** params.get("theta", 4)
        for a, b in (("w", "tw"), ("h", "th"))
    )
    return 1 - m["iou"] + (distance + shape) / 2


def _diagonal(params: Any, **x: Any) -> Any:
    m = measured(params, **x)
    return m["W"] ** 2 + m["H"] ** 2


def _wise(params: Any, constant: Any = None, **x: Any) -> Any:
    m = measured(params, **x)
    diagonal = _diagonal(params, **x) if constant is None else constant
    return exp(over(m["dx"] ** 2 + m["dy"] ** 2, diagonal)) * (1 - m["iou"])


def _alpha_iou(params: Any, **x: Any) -> Any:
    m, alpha = measured(params, **x), mpf(params.get("alpha", 3.0))
    of = {"none": None, "giou": empty, "diou": centres}[params.get("penalty", "none")]
    return 1 - m["iou"] ** alpha + (of(m) ** alpha if of else 0)


def _bounded(params: Any, **x: Any) -> Any:
    m, beta, zero = measured(params, **x), mpf(params.get("beta", 0.2)), mpf(0)
    costs = []
    for away, side in (("dx", "tw"), ("dy", "th")):
        apart = 2 * abs(m[away])
        bound = np.maximum(over(m[side] - apart, m[side] + apart), zero)
        costs.append(np.where(m[side] + apart == 0, zero, 1 - bound))
    for a, b in (("w", "tw"), ("h", "th")):
        bound = over(np.minimum(m[a], m[b]), np.maximum(m[a], m[b]))
        costs.append(np.where(np.maximum(m[a], m[b]) == 0, zero, 1 - bound))
    return sum(np.where(c < beta, c**2 / (2 * beta), c - beta / 2) for c in costs)


def _wasserstein(params: Any, **x: Any) -> Any:
    m = measured(params, **x)
    square = m["dx"] ** 2 + m["dy"] ** 2 + ((m["w"] - m["tw"]) ** 2 + (m["h"] - m["th"]) ** 2) / 4
    return 1 - exp(-sqrt(square) / mpf(params.get("constant", 12.8)))


def usual(formula: Any, still: tuple[int, ...], **smooth: Any) -> list[dict[str, Any]]:
    """Smooth, centred, huge, and degenerate cases of a formula that `smooth` makes smooth.

    `still` are the rows of the degenerate case that no gradient moves.
    """
    centred = {"box_format": "cxcywh", **smooth}
    return [
        array_case(f"smooth: {PAPER}", formula, BOXES, smooth, wrt=WRT),
        array_case(f"{PAPER}, centre and size", formula, CENTRED, centred, wrt=WRT),
        array_case(f"{PAPER}, sides of 1e20 and of 1e-30", formula, HUGE, smooth, wrt=WRT)
        if formula is not _wasserstein
        else far(),
        degenerate(formula, still, smooth),
    ]


def degenerate(formula: Any, still: tuple[int, ...], params: Any) -> dict[str, Any]:
    rows = 2 if formula is _ciou else 3  # the aspect of a point is a ruling
    inputs = {key: x[:rows] for key, x in DEGENERATE.items()}
    case = array_case(f"{PAPER}, equal boxes and points", formula, inputs, params, wrt=WRT)
    for row in still:
        case["gradients"]["boxes"][row] = [0.0] * 4
    return case


def far() -> dict[str, Any]:
    inputs = {"boxes": [[0.0, 0.0, 1e20, 1e20]], "target_boxes": [[0.0, 0.0, 1.0, 1.0]]}
    return array_case(f"{PAPER}, far apart", _wasserstein, inputs, wrt=WRT)


def beside_torchvision(formula: Any, function: Any, **params: Any) -> list[dict[str, Any]]:
    centred = {"box_format": "cxcywh", **params}
    return [
        by_torchvision(function, BOXES, params, f"smooth: {TORCHVISION}"),
        by_torchvision(function, CENTRED, centred, f"{TORCHVISION}, centre and size"),
        *usual(formula, (1,), **params)[2:],
    ]


def iou() -> list[dict[str, Any]]:
    near = {key: [x[0], x[2]] for key, x in BOXES.items()}
    apart = {key: [x[1]] for key, x in BOXES.items()}
    return [
        *usual(_iou, (1,)),
        array_case(f"smooth: {PAPER}, log", _iou, near, {"kind": "log"}, wrt=WRT),
        array_case(f"{PAPER}, squared", _iou, BOXES, {"kind": "squared"}, wrt=WRT),
        array_case(
            f"{PAPER}, log of nothing", _iou, apart, {"kind": "log"}, wrt=(),
            kinks={"boxes": [[0.0] * 4]},
        ),
    ]  # fmt: skip


def giou() -> list[dict[str, Any]]:
    return beside_torchvision(_giou, generalized_box_iou_loss)


def diou() -> list[dict[str, Any]]:
    return beside_torchvision(_diou, distance_box_iou_loss)


def ciou() -> list[dict[str, Any]]:
    # Part of torchvision's has an eps of 1e-7, which is nothing to an area of 1e9.
    large = {key: [[16384 * each for each in row] for row in x] for key, x in BOXES.items()}
    return [
        by_torchvision(complete_box_iou_loss, large, {}, TORCHVISION),
        *usual(_ciou, (1,), alpha_gradient="full"),
        array_case(f"{PAPER}, alpha constant", _ciou, BOXES, wrt=WRT, detached=_alpha),
    ]


def eiou() -> list[dict[str, Any]]:
    return usual(_eiou, (1,))


def siou() -> list[dict[str, Any]]:
    return [
        *usual(_siou, (0, 1)),
        array_case(f"{PAPER}, theta 2", _siou, BOXES, {"theta": 2.0}, wrt=WRT),
    ]


def wise_iou() -> list[dict[str, Any]]:
    source = f"{PAPER}, enclosing box constant"
    return [
        *usual(_wise, (1,), enclosing_gradient="full"),
        array_case(source, _wise, BOXES, wrt=WRT, detached=_diagonal),
    ]


def alpha_iou() -> list[dict[str, Any]]:
    return [
        *usual(_alpha_iou, (1,)),
        array_case(f"smooth: {PAPER}, GIoU", _alpha_iou, BOXES, {"penalty": "giou"}, wrt=WRT),
        array_case(f"{PAPER}, DIoU", _alpha_iou, BOXES, {"penalty": "diou", "alpha": 1.5}, wrt=WRT),
    ]


def bounded_iou() -> list[dict[str, Any]]:
    return [
        *usual(_bounded, (0, 1)),
        array_case(f"{PAPER}, beta 1", _bounded, BOXES, {"beta": 1.0}, wrt=WRT),
    ]


def normalized_wasserstein() -> list[dict[str, Any]]:
    return [
        *usual(_wasserstein, (0, 1)),
        array_case(f"{PAPER}, C 3", _wasserstein, BOXES, {"constant": 3.0}, wrt=WRT),
    ]


CASES = {
    "iou": iou,
    "giou": giou,
    "diou": diou,
    "ciou": ciou,
    "eiou": eiou,
    "siou": siou,
    "wise_iou": wise_iou,
    "alpha_iou": alpha_iou,
    "bounded_iou": bounded_iou,
    "normalized_wasserstein": normalized_wasserstein,
}
