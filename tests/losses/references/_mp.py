"""Reference values of row losses at 50 digits, gradients by differentiating the formula there."""

from typing import Any

from mpmath import mp, mpf

mp.dps = 50
INF = float("inf")


def number(x: Any) -> Any:
    return [number(each) for each in x] if isinstance(x, list) else mpf(x) if x is not None else x


def finish(x: Any) -> Any:
    """To what JSON holds: float64, non-finite numbers as strings."""
    if isinstance(x, list):
        return [finish(each) for each in x]
    if isinstance(x, dict):
        return {name: finish(each) for name, each in x.items()}
    if isinstance(x, int):
        return x
    value = float(x)
    if value != value or value in (INF, -INF):
        return "NaN" if value != value else "Infinity" if value > 0 else "-Infinity"
    return 0.0 if value == 0 else value


def log_softmax(z: list[Any]) -> list[Any]:
    top = max(z)
    total = top + mp.log(sum(mp.exp(x - top) for x in z))
    return [x - total for x in z]


def softplus(x: Any) -> Any:
    return mp.log1p(mp.exp(-abs(x))) + max(x, mpf(0))


def row_case(
    source: str,
    formula: Any,
    inputs: dict[str, list[Any]],
    params: dict[str, Any] | None = None,
    *,
    wrt: tuple[str, ...],
    shared: dict[str, list[float]] | None = None,
    kinks: dict[str, list[Any]] | None = None,
    weight: Any = None,
) -> dict[str, Any]:
    """A case of a loss whose rows are independent.

    `formula(params, **row)` is the value of one row from mpf numbers; `weight` likewise its share
    of the denominator. `kinks` gives the gradients that a ruling, not calculus, decides.
    """
    params, shared = params or {}, shared or {}
    count = len(next(iter(inputs.values())))
    rows = [{name: x[i] for name, x in inputs.items()} for i in range(count)]
    constant = {name: number(x) for name, x in shared.items()}
    values, weights = [], []
    gradients: dict[str, list[Any]] = {name: [] for name in wrt}
    for row in rows:
        given = {name: number(x) if name in wrt else x for name, x in row.items()} | constant
        values.append(formula(params, **given))
        if weight is not None:
            weights.append(weight(params, **given))
        for name in wrt:
            gradients[name].append(_gradient(formula, params, given, name))
    case: dict[str, Any] = {
        "from": source,
        "inputs": {name: finish(x) for name, x in (inputs | shared).items()},
        "params": params,
        "values": finish(values),
    }
    if weight is not None:
        case["denominator"] = finish(sum(weights, mpf(0)))
    case["gradients"] = finish(gradients | (kinks or {}))
    return case


def batch_case(
    source: str,
    formula: Any,
    inputs: dict[str, Any],
    params: dict[str, Any] | None = None,
    *,
    wrt: tuple[str, ...],
    kinks: dict[str, Any] | None = None,
    denominator: float | None = None,
) -> dict[str, Any]:
    """A case of a loss whose rows depend on each other: `formula(params, **inputs)` is its rows."""
    params, given = params or {}, {name: number(x) for name, x in inputs.items()}

    def slope(name: str) -> Any:
        return _slopes(lambda x: sum(formula(params, **{**given, name: x})), given[name])

    case = {
        "from": source,
        "inputs": finish(inputs),
        "params": params,
        "values": finish(formula(params, **given)),
        "gradients": finish({name: slope(name) for name in wrt} | (kinks or {})),
    }
    return case if denominator is None else case | {"denominator": float(denominator)}


def _slopes(total: Any, at: Any) -> Any:
    if not isinstance(at, list):
        return mp.diff(total, at)

    def moved(i: int) -> Any:
        return lambda t: total([*at[:i], t, *at[i + 1 :]])

    return [_slopes(moved(i), each) for i, each in enumerate(at)]


def _gradient(formula: Any, params: dict[str, Any], row: dict[str, Any], name: str) -> Any:
    at = row[name]
    if not isinstance(at, list):
        return mp.diff(lambda t: formula(params, **{**row, name: t}), at)
    found = []
    for j, x in enumerate(at):
        if mp.isinf(x):  # a class that cannot be: its logit has no gradient
            found.append(mpf(0))
            continue

        def moved(t: Any, j: int = j) -> Any:
            return formula(params, **{**row, name: [*at[:j], t, *at[j + 1 :]]})

        found.append(mp.diff(moved, x))
    return found
