"""contrastive, contrastive_distance."""

from typing import Any

from mpmath import mp, mpf

from references._mp import row_case
from references._torch import labels, randoms

SIX = labels(31, 2, 6)


def _loss(d: Any, label: int, margin: Any) -> Any:
    return d**2 / 2 if label else max(mpf(0), mpf(margin) - d) ** 2 / 2


def contrastive() -> list[dict[str, Any]]:
    def f(params: Any, left: Any, right: Any, labels: Any) -> Any:
        if params.get("metric") == "cosine":
            dot = sum(a * b for a, b in zip(left, right, strict=True))
            length = mp.sqrt(sum(a * a for a in left)) * mp.sqrt(sum(b * b for b in right))
            d = 1 - dot / length
        else:
            d = mp.sqrt(sum((a - b) ** 2 for a, b in zip(left, right, strict=True)))
        return _loss(d, labels, params.get("margin", 1.0))

    near = {
        "left": randoms(32, 6, 3, low=-0.5, high=0.5),
        "right": randoms(33, 6, 3, low=-0.5, high=0.5),
        "labels": [1, 0, 0, 1, 0, 0],
    }
    far = {
        "left": [[50.0, 0.0], [1e4, -1e4], [120.0, 120.0], [0.0, 2.0**-20]],
        "right": [[-50.0, 1.0], [-1e4, 1e4], [120.0, 119.5], [0.0, 0.0]],
        "labels": [1, 1, 0, 0],
    }
    wrt = ("left", "right")
    zero = [[0.0, 0.0], [0.0, 0.0]]
    return [
        row_case("smooth: mpmath 1.3.0, 50 digits", f, near, wrt=wrt),
        row_case("smooth: mpmath 1.3.0, 50 digits: margin 3", f, near, {"margin": 3.0}, wrt=wrt),
        row_case(
            "smooth: mpmath 1.3.0, 50 digits: cosine",
            f,
            near,
            {"metric": "cosine", "margin": 1.5},
            wrt=wrt,
        ),
        row_case("mpmath 1.3.0, 50 digits: embeddings to 1e4", f, far, wrt=wrt),
        {
            "from": "by hand: at distance 0 the value is 0 or m^2 / 2 and the gradient 0 by ruling",
            "inputs": {
                "left": [[1.0, 2.0], [1.0, 2.0]],
                "right": [[1.0, 2.0], [1.0, 2.0]],
                "labels": [1, 0],
            },
            "params": {"margin": 2.0},
            "values": [0.0, 2.0],
            "gradients": {"left": zero, "right": zero},
        },
        {
            "from": "by hand: exactly at the margin value and gradient are 0",
            "inputs": {"left": [[3.0, 0.0]], "right": [[0.0, 4.0]], "labels": [0]},
            "params": {"margin": 5.0},
            "values": [0.0],
            "gradients": {"left": [[0.0, 0.0]], "right": [[0.0, 0.0]]},
        },
        {
            "from": "by hand: the cosine of a zero vector is 0 and has no gradient, by ruling",
            "inputs": {
                "left": [[0.0, 0.0], [0.0, 0.0]],
                "right": [[0.0, 4.0], [0.0, 0.0]],
                "labels": [1, 0],
            },
            "params": {"metric": "cosine", "margin": 2.0},
            "values": [0.5, 0.5],
            "gradients": {"left": zero, "right": zero},
        },
    ]


def contrastive_distance() -> list[dict[str, Any]]:
    def f(params: Any, distances: Any, labels: Any) -> Any:
        return _loss(distances, labels, params.get("margin", 1.0))

    near = {"distances": randoms(34, 6, low=0.05, high=2.0), "labels": SIX}
    far = {"distances": [50.0, 120.0, 1e4] * 2 + [0.0, 0.0], "labels": [1, 1, 1, 0, 0, 0, 1, 0]}
    kink = {"distances": [2.0, 2.0], "labels": [0, 1]}
    return [
        row_case("smooth: mpmath 1.3.0, 50 digits", f, near, wrt=("distances",)),
        row_case("mpmath 1.3.0, 50 digits: distances to 1e4", f, far, wrt=("distances",)),
        row_case(
            "mpmath 1.3.0, 50 digits: exactly at the margin",
            f,
            kink,
            {"margin": 2.0},
            wrt=("distances",),
            kinks={"distances": [0.0, 2.0]},
        ),
    ]


CASES = {"contrastive": contrastive, "contrastive_distance": contrastive_distance}
