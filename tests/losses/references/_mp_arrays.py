"""Reference values of losses of arrays, at 110 digits: numpy arrays whose numbers are mpmath's."""

from collections.abc import Callable
from typing import Any

import numpy as np
from mpmath import mp, mpf

from references._mp import finish

STEP = mpf(10) ** -18  # of central differences, relative: its error is near 1e-36

exp = np.frompyfunc(mp.exp, 1, 1)
log = np.frompyfunc(mp.log, 1, 1)
log1p = np.frompyfunc(mp.log1p, 1, 1)
sqrt = np.frompyfunc(mp.sqrt, 1, 1)
atan2 = np.frompyfunc(mp.atan2, 2, 1)
cosh = np.frompyfunc(mp.cosh, 1, 1)
sigmoid = np.frompyfunc(lambda x: 1 / (1 + mp.exp(-x)), 1, 1)


def array(x: Any) -> Any:
    """Nested lists as an array of mpf; of int64 where they are integers."""
    made = np.array(x)
    if made.dtype.kind in "iu" and made.size:
        return made
    return np.vectorize(mpf, otypes=[object])(np.array(x, dtype=object)) if made.size else made


def log_softmax(z: Any, axis: int = 1) -> Any:
    top = z.max(axis=axis, keepdims=True)
    return z - top - log(exp(z - top).sum(axis=axis, keepdims=True))


def array_case(
    source: str,
    formula: Callable[..., Any],
    inputs: dict[str, Any],
    params: dict[str, Any] | None = None,
    *,
    wrt: tuple[str, ...],
    kinks: dict[str, Any] | None = None,
    denominator: float | None = None,
    detached: Callable[..., Any] | None = None,
) -> dict[str, Any]:
    """`formula(params, **inputs)` gives the values, of arrays.

    `kinks` gives the gradients that a ruling, not calculus, decides. Where part of the formula
    counts as constant, `detached(params, **inputs)` gives it, and the formula takes it as
    `constant`.
    """
    params = params or {}
    with mp.workdps(110):
        return _case(source, formula, inputs, params, wrt, kinks, denominator, detached)


def _case(
    source: str,
    formula: Callable[..., Any],
    inputs: dict[str, Any],
    params: dict[str, Any],
    wrt: tuple[str, ...],
    kinks: dict[str, Any] | None,
    denominator: float | None,
    detached: Callable[..., Any] | None,
) -> dict[str, Any]:
    given = {name: array(x) for name, x in inputs.items()}
    if detached is not None:
        given["constant"] = detached(params, **given)

    def total(name: str, at: tuple[int, ...], step: Any) -> Any:
        moved = given[name].copy() if given[name].ndim else np.array(given[name], dtype=object)
        moved[at] = moved[at] + step
        return np.asarray(formula(params, **{**given, name: moved}), dtype=object).sum()

    gradients = {}
    for name in wrt:
        slope = np.empty(given[name].shape, dtype=object)
        for at in np.ndindex(given[name].shape):
            step = STEP * (abs(given[name][at]) or 1)
            slope[at] = (total(name, at, step) - total(name, at, -step)) / (2 * step)
        gradients[name] = slope.tolist()
    values = formula(params, **given)
    case = {
        "from": source,
        "inputs": finish(inputs),
        "params": params,
        "values": finish(values.tolist() if isinstance(values, np.ndarray) else values),
    }
    if denominator is not None:
        case["denominator"] = denominator
    case["gradients"] = finish(gradients | (kinks or {}))
    return case
