"""gradient_harmonized, its regression: the authors' way by mmdet, the paper's with mpmath."""

from typing import Any
from unittest.mock import patch

import torch
from mpmath import mp, mpf

from references._mmdet_files import mmdet_file
from references._mp import finish, number, softplus
from references._torch import labels, randoms, torch_case

ghm = mmdet_file("ghm_loss")
LOGITS = randoms(91, 4, 3)
TARGETS = [[float(x) for x in row] for row in labels(92, 2, 4, 3)]
DIGITS = "mpmath 1.3.0, 50 digits"
SECOND = "second call with momentum, some ignored"
MOVED = {"bins": 4, "momentum": 0.75}
MASK = [[1, 1, 0], [1, 1, 1], [0, 1, 1], [1, 1, 1]]


def _theirs(source: str, made: Any, inputs: Any, params: Any, norms: Any) -> dict[str, Any]:
    """Two calls of their module: what the first leaves behind is the second's state."""
    made, wrt = made.double(), next(iter(inputs))
    valid = torch.tensor(inputs.get("mask", [[1] * 3] * 4), dtype=torch.float64)
    with_state = dict(inputs)

    def values(mask: Any = None, counts: Any = None, **both: Any) -> Any:
        with patch.object(torch.Tensor, "float", torch.Tensor.double):  # it computes in float32
            return made(*both.values(), valid, reduction_override="none")

    if params["momentum"]:
        earlier = torch.tensor(randoms(93, 4, 3)).double()
        made(earlier, torch.ones(4, 3).double(), torch.ones(4, 3).double())
        with_state["counts"] = made.acc_sum.tolist()
    case = torch_case(source, values, with_state, params | {"occupied": "nonempty"}, wrt=(wrt,))
    if params["momentum"]:
        counts = made.acc_sum
    else:
        given = [torch.tensor(x).double() for x in list(inputs.values())[:2]]
        counts = torch.histc(norms(*given)[valid > 0], params["bins"], 0, 1)
    return case | {"denominator": float(valid.sum()), "state": {"counts": counts.tolist()}}


def _paper(
    source: str, norm: Any, value: Any, inputs: dict[str, Any], params: Any
) -> dict[str, Any]:
    """`norm` and `value` of a pair of numbers; the gradient is that of the value, weight apart."""
    bins, alpha = params["bins"], mpf(params.get("momentum", 0.0))
    left, right = list(inputs)[:2]
    pairs = [
        (number(z), mpf(y))
        for row, of in zip(inputs[left], inputs[right], strict=True)
        for z, y in zip(row, of, strict=True)
    ]
    place = [min(int(norm(z, y) * bins), bins - 1) for z, y in pairs]
    old = number(inputs.get("counts", [0.0] * bins))
    density = [alpha * s + (1 - alpha) * place.count(b) for b, s in enumerate(old)]
    weight = [len(pairs) / (bins * density[b]) for b in place]
    values = [w * value(z, y) for w, (z, y) in zip(weight, pairs, strict=True)]
    slopes = [
        w * mp.diff(lambda t, y=y: value(t, y), z) for w, (z, y) in zip(weight, pairs, strict=True)
    ]
    width = len(inputs[left][0])
    return {
        "from": source,
        "inputs": inputs,
        "params": params,
        "values": finish(_rows(values, width)),
        "denominator": float(len(pairs)),
        "gradients": {left: finish(_rows(slopes, width))},
        "state": {"counts": finish(density)},
    }


def _sigmoid(z: Any) -> Any:
    return 1 / (1 + mp.exp(-z))


def _rows(flat: list[Any], width: int) -> list[list[Any]]:
    return [flat[i : i + width] for i in range(0, len(flat), width)]


def gradient_harmonized() -> list[dict[str, Any]]:
    def norm(z: Any, y: Any) -> Any:
        return abs(_sigmoid(z) - y)

    def value(z: Any, y: Any) -> Any:
        return y * softplus(-z) + (1 - y) * softplus(z)

    def theirs(source: str, inputs: Any, bins: int, momentum: float) -> dict[str, Any]:
        made = ghm.GHMC(bins=bins, momentum=momentum)
        params = {"bins": bins, "momentum": momentum}
        return _theirs(source, made, inputs, params, lambda z, y: (z.sigmoid() - y).abs())

    inputs = {"logits": LOGITS, "targets": TARGETS}
    far = {
        "logits": [[1e4, -1e4, 120.0, -50.0], [0.25, -0.5, 50.0, -120.0]],
        "targets": [[1.0, 1.0, 0.0, 0.0], [1.0, 0.0, 0.625, 0.125]],
        "counts": [3.0, 0.5, 2.0, 8.0],
    }
    return [
        theirs("smooth: mmdet 3.3.0 GHMC", inputs, 10, 0.0),
        theirs(f"smooth: mmdet 3.3.0 GHMC, {SECOND}", inputs | {"mask": MASK}, 7, 0.75),
        _paper(f"smooth: {DIGITS}: every bin counts", norm, value, inputs, {"bins": 5}),
        _paper(f"{DIGITS}: a state, logits to 1e4, soft targets", norm, value, far, MOVED),
    ]


def gradient_harmonized_regression() -> list[dict[str, Any]]:
    mu = mpf("0.125")

    def norm(x: Any, y: Any) -> Any:
        return abs(x - y) / mp.sqrt((x - y) ** 2 + mu * mu)

    def value(x: Any, y: Any) -> Any:
        return mp.sqrt((x - y) ** 2 + mu * mu) - mu

    def theirs(source: str, inputs: Any, bins: int, momentum: float) -> dict[str, Any]:
        made = ghm.GHMR(mu=0.5, bins=bins, momentum=momentum)
        params = {"bins": bins, "momentum": momentum, "mu": 0.5}
        return _theirs(
            source, made, inputs, params, lambda x, y: (x - y).abs() / torch.hypot(x - y, half)
        )

    half = torch.tensor(0.5, dtype=torch.float64)
    inputs = {"prediction": LOGITS, "target": randoms(94, 4, 3)}
    far = {
        "prediction": [[1e4, -1e4, 0.5], [2.0**-30, 0.0, -0.03125]],
        "target": [[0.0, 1e4, 0.25], [0.0, 0.0, 0.0]],
        "counts": [3.0, 0.5, 2.0, 8.0],
    }
    near = {"mu": 0.125}
    return [
        theirs("smooth: mmdet 3.3.0 GHMR", inputs, 10, 0.0),
        theirs(f"smooth: mmdet 3.3.0 GHMR, {SECOND}", inputs | {"mask": MASK}, 7, 0.75),
        _paper(f"smooth: {DIGITS}: every bin", norm, value, inputs, {"bins": 5} | near),
        _paper(f"{DIGITS}: a state, 0 to 1e4 apart", norm, value, far, MOVED | near),
    ]


CASES = {
    "gradient_harmonized": gradient_harmonized,
    "gradient_harmonized_regression": gradient_harmonized_regression,
}
