"""l1_penalty, l2_penalty, elastic_net: closed forms, written out with mpmath."""

from typing import Any

from mpmath import mpf

from references._mp import finish
from references._torch import randoms

STEP = 0.75  # of the proximal operator
GROUPS: list[Any] = [
    (
        "smooth: by hand with mpmath 1.3.0",
        {"a": randoms(71, 3, 2), "layer1.weight": randoms(72, 4)},
    ),
    ("by hand with mpmath 1.3.0, zeros and far apart", [0.0, -0.0, 1e4, -1e4, 1e-3, 2.0**-40]),
    ("by hand with mpmath 1.3.0, one number", 1.5),
    ("by hand with mpmath 1.3.0, nothing", []),
]


def _map(x: Any, of: Any) -> Any:
    if isinstance(x, dict):
        return {key: _map(each, of) for key, each in x.items()}
    return [_map(each, of) for each in x] if isinstance(x, list) else of(mpf(x))


def _flat(x: Any) -> list[Any]:
    if isinstance(x, dict):
        x = list(x.values())
    return [each for part in x for each in _flat(part)] if isinstance(x, list) else [x]


def _sign(w: Any) -> Any:
    return mpf((w > 0) - (w < 0))


def _minimiser(slope: Any, v: Any) -> Any:
    """Where slope(w) + (w - v) / STEP, which grows, changes its sign: found by halving."""
    if slope(mpf(0)) - v / STEP == 0:
        return mpf(0)
    low, high = -abs(v) - 1, abs(v) + 1
    for _ in range(220):
        middle = (low + high) / 2
        if slope(middle) + (middle - v) / STEP > 0:
            high = middle
        else:
            low = middle
    found = (low + high) / 2
    return mpf(0) if abs(found) < mpf(10) ** -45 else found


def _cases(params: dict[str, Any], value: Any, slope: Any) -> list[dict[str, Any]]:
    return [
        {
            "from": source,
            "inputs": {"weights": weights},
            "params": params,
            "values": finish(sum(_flat(_map(weights, value)), mpf(0))),
            "gradients": {"weights": finish(_map(weights, slope))},
            "proximal_step": STEP,
            "proximal": {"weights": finish(_map(weights, lambda v: _minimiser(slope, v)))},
        }
        for source, weights in GROUPS
    ]


def l1_penalty() -> list[dict[str, Any]]:
    c = mpf(0.25)
    return _cases({"coefficient": 0.25}, lambda w: c * abs(w), lambda w: c * _sign(w))


def l2_penalty() -> list[dict[str, Any]]:
    c = mpf(0.25)
    return [
        *_cases({"coefficient": 0.25}, lambda w: c * w * w, lambda w: 2 * c * w),
        *_cases({"coefficient": 0.25, "half": True}, lambda w: c * w * w / 2, lambda w: c * w),
    ]


def elastic_net() -> list[dict[str, Any]]:
    a, b = mpf(0.25), mpf(0.5)
    return [
        *_cases(
            {"l1": 0.25, "l2": 0.5},
            lambda w: a * abs(w) + b * w * w,
            lambda w: a * _sign(w) + 2 * b * w,
        ),
        *_cases({"l1": 0.0, "l2": 0.5}, lambda w: b * w * w, lambda w: 2 * b * w),
    ]


CASES = {"l1_penalty": l1_penalty, "l2_penalty": l2_penalty, "elastic_net": elastic_net}
