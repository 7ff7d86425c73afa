"""Penalties on groups of weights, matrices, and distances from a start: torch, and mpmath."""

from collections.abc import Callable
from typing import Any

import numpy as np
import torch
from mpmath import mp, mpf
from torch import Tensor

from references._mp import finish
from references._mp_arrays import STEP, array
from references._torch import randoms

TORCH = "torch 2.13.0"
PAPER = "paper only: mpmath 1.3.0"
PLAIN: dict[str, Any] = {"a": randoms(601, 3, 2), "layer1.weight": randoms(602, 2, 2, 2)}
MIXED: dict[str, Any] = {"a": randoms(603, 3, 2), "b": randoms(604, 3), "c": 1.5}
ZEROS: dict[str, Any] = {"a": [[0.0, 0.0], [3.0, -4.0]], "b": [0.0, -2.0], "c": []}


def by_mpmath(
    source: str, formula: Callable[..., Any], weights: dict[str, Any], params: dict[str, Any],
    **more: dict[str, Any],
) -> dict[str, Any]:  # fmt: skip
    """`formula(params, weights, **more)` of dicts of arrays. A kink's subgradient is its mean."""
    with mp.workdps(110):
        given = {name: array(x) for name, x in weights.items()}
        rest = {key: {name: array(x) for name, x in group.items()} for key, group in more.items()}

        def value(changed: dict[str, Any]) -> Any:
            return mpf(formula(params, changed, **rest))

        gradients = {}
        for name, x in given.items():
            slope = np.zeros(x.shape, dtype=object)
            for at in np.ndindex(x.shape):
                step = STEP * (abs(x[at]) or 1)
                moved = []
                for sign in (1, -1):
                    there = np.array(x, dtype=object)
                    there[at] = x[at] + sign * step
                    moved.append(value({**given, name: there}))
                slope[at] = (moved[0] - moved[1]) / (2 * step)
            gradients[name] = slope.tolist()
        return {
            "from": source,
            "inputs": {"weights": weights, **more},
            "params": params,
            "values": finish(value(given)),
            "gradients": {"weights": finish(gradients)},
        }


def by_torch(
    source: str, function: Callable[[Tensor], Tensor], weights: dict[str, Any],
    params: dict[str, Any], still: tuple[str, ...] = (),
) -> dict[str, Any]:  # fmt: skip
    """The sum of `function(matrix)`. `still` are the weights that a ruling gives no gradient."""
    leaves = {key: torch.tensor(x, dtype=torch.float64) for key, x in weights.items()}
    for leaf in leaves.values():
        leaf.requires_grad_()
    matrices = [x.reshape(len(x) if x.ndim else 1, -1) for x in leaves.values()]
    value = torch.stack([function(x) for x in matrices]).sum()
    found = dict(zip(leaves, torch.autograd.grad(value, list(leaves.values())), strict=True))
    return {
        "from": source,
        "inputs": {"weights": weights},
        "params": params,
        "values": value.item(),
        "gradients": {
            "weights": {
                key: (torch.zeros_like(x) if key in still else x).tolist()
                for key, x in found.items()
            }
        },
    }


def lengths(params: Any, weights: dict[str, Any]) -> Any:
    total = mpf(0)
    for x in weights.values():
        groups = params.get("groups", "rows")
        if groups == "tensor" or x.ndim == 0:
            parts = [x]
        elif groups == "columns" and x.ndim > 1:
            parts = [x[:, i] for i in range(x.shape[1])]
        else:
            parts = list(x)
        for part in parts:
            part = np.asarray(part, dtype=object)
            scale = mp.sqrt(part.size) if params.get("scale_by_size", True) else 1
            total += scale * mp.sqrt(mp.fsum(v * v for v in part.flat))
    return total


def absolute(weights: dict[str, Any]) -> Any:
    return mp.fsum(abs(v) for x in weights.values() for v in x.flat)


def _group(params: Any, weights: Any) -> Any:
    return mpf(params["coefficient"]) * lengths(params, weights)


def _sparse_group(params: Any, weights: Any) -> Any:
    alpha = mpf(params.get("alpha", 0.5))
    mixed = alpha * absolute(weights) + (1 - alpha) * lengths(params, weights)
    return mpf(params["coefficient"]) * mixed


def _elementwise(of: Callable[[Any, Any], Any]) -> Callable[..., Any]:
    return lambda params, weights: mp.fsum(
        of(params, abs(v)) for x in weights.values() for v in x.flat
    )


def _mcp(params: Any, w: Any) -> Any:
    strength, gamma = mpf(params["coefficient"]), mpf(params.get("gamma", 3.0))
    if w > gamma * strength:
        return gamma * strength**2 / 2
    return strength * w - w * w / (2 * gamma)


def _scad(params: Any, w: Any) -> Any:
    strength, a = mpf(params["coefficient"]), mpf(params.get("a", 3.7))
    if w <= strength:
        return strength * w
    if w > a * strength:
        return (a + 1) * strength**2 / 2
    return (2 * a * strength * w - w * w - strength**2) / (2 * (a - 1))


def _hoyer(params: Any, weights: Any) -> Any:
    total = mpf(0)
    for x in weights.values():
        squares = mp.fsum(v * v for v in x.flat)
        if squares:
            count = mp.fsum(abs(v) for v in x.flat) ** 2 / squares
            total += mp.sqrt(count) if params.get("kind") == "ratio" else count
    return mpf(params["coefficient"]) * total


def _l2_sp(params: Any, weights: Any, start: Any) -> Any:
    squares = (np.ravel((x - start[name]) ** 2) for name, x in weights.items())
    return mpf(params.get("alpha", 0.1)) / 2 * mp.fsum(v for each in squares for v in each)


def _ewc(params: Any, weights: Any, start: Any, fisher: Any) -> Any:
    squares = (np.ravel(fisher[name] * (x - start[name]) ** 2) for name, x in weights.items())
    return mpf(params["coefficient"]) / 2 * mp.fsum(v for each in squares for v in each)


PROXIMAL_STEP = 0.75


def with_proximal(case: dict[str, Any], of: Callable[[str, Any], Any]) -> dict[str, Any]:
    """The case with its proximal point: `of(name, array)` for each weight, at 110 digits."""
    with mp.workdps(110):
        given = case["inputs"]["weights"]
        found = {name: np.asarray(of(name, array(x)), dtype=object) for name, x in given.items()}
        point = finish({name: x.tolist() for name, x in found.items()})
    return case | {"proximal_step": PROXIMAL_STEP, "proximal": {"weights": point}}


def _least(cost: Callable[[Any], Any], v: Any) -> Any:
    """The w nearest to the least of cost(|w|) + (w - v)^2 / 2 step: by a grid, then ternary."""
    v, sign = abs(v), (v > 0) - (v < 0)

    def total(w: Any) -> Any:
        return cost(w) + (w - v) ** 2 / (2 * PROXIMAL_STEP)

    points = [v * i / 512 for i in range(513)]
    best = min(range(513), key=lambda i: total(points[i]))
    low, high = points[max(0, best - 1)], points[min(512, best + 1)]
    for _ in range(400):
        a, b = (2 * low + high) / 3, (low + 2 * high) / 3
        low, high = (low, b) if total(a) <= total(b) else (a, high)
    found = min(mpf(0), v, (low + high) / 2, key=total)
    return sign * found


def by_search(case: dict[str, Any], cost: Callable[[Any, Any], Any]) -> dict[str, Any]:
    params = case["params"]
    each = np.frompyfunc(lambda v: _least(lambda w: cost(params, w), v), 1, 1)
    return with_proximal(case, lambda _, x: each(x) if x.size else x)


def _shortened(case: dict[str, Any]) -> dict[str, Any]:
    """Rows as groups: by Yuan and Lin, eq. 2.4, after soft thresholds where there is an alpha."""
    params = case["params"]
    by, alpha = mpf(params["coefficient"]) * PROXIMAL_STEP, mpf(params.get("alpha", 0.0))

    def soft(v: Any) -> Any:
        return max(abs(v) - by * alpha, mpf(0)) * ((v > 0) - (v < 0))

    def one(_: str, x: Any) -> Any:
        if not x.size:
            return x
        moved = np.asarray(np.frompyfunc(soft, 1, 1)(x), dtype=object)
        for part in moved.reshape(len(x) if x.ndim else 1, -1):  # a view
            length = mp.sqrt(mp.fsum(v * v for v in part))
            left = length - by * (1 - alpha) * mp.sqrt(part.size)
            part *= left / length if left > 0 else mpf(0)
        return moved

    return with_proximal(case, one)


def grouped(formula: Any, **params: float) -> list[dict[str, Any]]:
    quarter = {"coefficient": 0.25, **params}
    return [
        _shortened(by_mpmath(f"smooth: {PAPER}", formula, PLAIN, quarter)),
        by_mpmath(f"{PAPER}, columns, sizes aside", formula, MIXED,
                  {**quarter, "groups": "columns", "scale_by_size": False}),
        by_mpmath(f"{PAPER}, a tensor each", formula, PLAIN, {**quarter, "groups": "tensor"}),
        _shortened(by_mpmath(f"{PAPER}, zeros and nothing", formula, ZEROS, quarter)),
    ]  # fmt: skip


def group_lasso() -> list[dict[str, Any]]:
    return grouped(_group)


def sparse_group_lasso() -> list[dict[str, Any]]:
    only = {"coefficient": 0.5, "alpha": 1.0}
    return [
        *grouped(_sparse_group, alpha=0.25),
        by_mpmath(f"{PAPER}, alpha 1", _sparse_group, MIXED, only),
    ]


def mcp() -> list[dict[str, Any]]:
    far = {"a": [1e4, -1e4, 0.25, -0.5, 0.0], "b": [[0.125]]}
    of = _elementwise(_mcp)
    return [
        by_search(by_mpmath(f"smooth: {PAPER}", of, PLAIN, {"coefficient": 0.75}), _mcp),
        by_search(
            by_mpmath(f"{PAPER}, 0 and far", of, far, {"coefficient": 0.25, "gamma": 1.5}), _mcp
        ),
        by_search(by_mpmath(f"{PAPER}, zeros and nothing", of, ZEROS, {"coefficient": 1.0}), _mcp),
    ]


def scad() -> list[dict[str, Any]]:
    far = {"a": [1e4, -1e4, 0.25, -0.5, 0.0], "b": [[0.125]]}
    of = _elementwise(_scad)
    return [
        by_search(by_mpmath(f"smooth: {PAPER}", of, PLAIN, {"coefficient": 0.75}), _scad),
        by_search(by_mpmath(f"{PAPER}, 0 and far", of, far, {"coefficient": 0.2, "a": 2.5}), _scad),
        by_search(by_mpmath(f"{PAPER}, zeros and nothing", of, ZEROS, {"coefficient": 1.0}), _scad),
    ]


def hoyer() -> list[dict[str, Any]]:
    some = {"a": [[0.0, 2.0], [3.0, -4.0]], "b": [], "c": [1e15, -3e15]}
    return [
        by_mpmath(f"smooth: {PAPER}", _hoyer, PLAIN, {"coefficient": 0.25}),
        by_mpmath(f"smooth: {PAPER}, ratio", _hoyer, MIXED, {"coefficient": 1.0, "kind": "ratio"}),
        by_mpmath(f"{PAPER}, a zero, nothing, 1e15", _hoyer, some, {"coefficient": 1.0}),
    ]


def nearer_start(case: dict[str, Any]) -> dict[str, Any]:
    """Where the slope F (w - w0) + (w - v) / step is 0."""
    params, inputs = case["params"], case["inputs"]

    def one(name: str, v: Any) -> Any:
        fisher = array(inputs["fisher"][name]) if "fisher" in inputs else mpf(1)
        pull = fisher * mpf(params.get("coefficient", params.get("alpha", 0.1)))
        slope = pull + 1 / mpf(PROXIMAL_STEP)
        return (pull * array(inputs["start"][name]) + v / mpf(PROXIMAL_STEP)) / slope

    return with_proximal(case, one)


def l2_sp() -> list[dict[str, Any]]:
    begun = {"a": randoms(605, 3, 2), "b": randoms(606, 3), "c": 0.25}
    return [
        nearer_start(by_mpmath(f"smooth: {PAPER}", _l2_sp, MIXED, {}, start=begun)),
        by_mpmath(f"{PAPER}, at the start", _l2_sp, MIXED, {"alpha": 2.0}, start=MIXED),
        by_mpmath(f"{PAPER}, nothing", _l2_sp, {"c": []}, {"alpha": 2.0}, start={"c": []}),
    ]


def ewc() -> list[dict[str, Any]]:
    begun = {"a": randoms(605, 3, 2), "b": randoms(606, 3), "c": 0.25}
    fisher = {"a": randoms(607, 3, 2, low=0.0), "b": [0.25, 1e4, 2.0], "c": 0.5}
    at = {"coefficient": 2.0}
    return [
        nearer_start(
            by_mpmath(
                f"smooth: {PAPER}", _ewc, MIXED, {"coefficient": 1.0}, start=begun, fisher=fisher
            )
        ),
        by_mpmath(f"{PAPER}, at the start", _ewc, MIXED, at, start=MIXED, fisher=fisher),
        by_mpmath(f"{PAPER}, nothing", _ewc, {"c": []}, at, start={"c": []}, fisher={"c": []}),
    ]


def with_singular_values(case: dict[str, Any]) -> dict[str, Any]:
    """The point by mpmath's singular value decomposition."""
    by = mpf(case["params"]["coefficient"]) * PROXIMAL_STEP

    def one(_: str, x: Any) -> Any:
        u, s, v = mp.svd_r(mp.matrix(x.reshape(len(x), -1).tolist()))
        kept = mp.diag([max(each - by, mpf(0)) for each in s])
        return np.array((u * kept * v).tolist(), dtype=object).reshape(x.shape)

    return with_proximal(case, one)


def nuclear_norm() -> list[dict[str, Any]]:
    def values(x: Tensor) -> Tensor:
        return 0.25 * torch.linalg.matrix_norm(x, ord="nuc")

    of = {"coefficient": 0.25}
    # u v^T has one singular value |u| |v|, and the gradient u v^T / (|u| |v|), its shortest.
    u, v = [3.0, 4.0], [1.0, -2.0, 2.0]
    outer = [[a * b for b in v] for a in u]
    rank_one = {
        "from": "by hand: rank 1, and a matrix of zeros",
        "inputs": {"weights": {"a": outer, "b": [[0.0, 0.0]]}},
        "params": {"coefficient": 1.0},
        "values": 15.0,
        "gradients": {"weights": {"a": [[x / 15 for x in r] for r in outer], "b": [[0.0, 0.0]]}},
    }
    return [
        with_singular_values(by_torch(f"smooth: {TORCH}, matrix_norm nuc", values, PLAIN, of)),
        by_torch(f"{TORCH}, a vector and a number", values, MIXED, of),
        rank_one,
    ]


def spectral_norm() -> list[dict[str, Any]]:
    def values(x: Tensor) -> Tensor:
        return 0.25 * torch.linalg.matrix_norm(x, ord=2)

    def squared(x: Tensor) -> Tensor:
        return 0.5 * torch.linalg.matrix_norm(x, ord=2).square()

    return [
        by_torch(f"smooth: {TORCH}, matrix_norm 2", values, PLAIN, {"coefficient": 0.25}),
        by_torch(f"{TORCH}, squared", squared, MIXED, {"coefficient": 1.0, "squared": True}),
        {
            "from": "by hand: a matrix of zeros, and a tall one",
            "inputs": {"weights": {"a": [[0.0, 0.0]], "b": [[3.0], [4.0]], "c": []}},
            "params": {"coefficient": 1.0},
            "values": 5.0,
            "gradients": {"weights": {"a": [[0.0, 0.0]], "b": [[0.6], [0.8]], "c": []}},
        },
    ]


def orthogonal() -> list[dict[str, Any]]:
    def excess(x: Tensor) -> Tensor:
        return x @ x.T - torch.eye(len(x), dtype=x.dtype)

    def soft(x: Tensor) -> Tensor:
        return 0.25 * torch.linalg.matrix_norm(excess(x)).square()

    def double(x: Tensor) -> Tensor:
        return sum((torch.linalg.matrix_norm(excess(y)).square() for y in (x, x.T)), x.sum() * 0)

    def largest(x: Tensor) -> Tensor:
        return excess(x).abs().max()

    def spectral(x: Tensor) -> Tensor:
        return torch.linalg.matrix_norm(excess(x), ord=2)

    return [
        by_torch(f"smooth: {TORCH}", soft, PLAIN, {"coefficient": 0.25}),
        by_torch(f"smooth: {TORCH}, both sides", double, MIXED,
                 {"coefficient": 1.0, "kind": "double_soft"}),
        by_torch(f"{TORCH}, largest element", largest, {"a": [[1.0, 2.0], [0.5, -1.0]]},
                 {"coefficient": 1.0, "kind": "mutual_coherence"}),
        by_torch(f"{TORCH}, spectral", spectral, PLAIN, {"coefficient": 1.0, "kind": "spectral"}),
    ]  # fmt: skip


CASES = {
    "group_lasso": group_lasso,
    "sparse_group_lasso": sparse_group_lasso,
    "mcp": mcp,
    "scad": scad,
    "hoyer": hoyer,
    "l2_sp": l2_sp,
    "ewc": ewc,
    "nuclear_norm": nuclear_norm,
    "spectral_norm": spectral_norm,
    "orthogonal": orthogonal,
}
