"""gradient_harmonized: the authors' way by mmdet, the paper's with mpmath."""

from typing import Any
from unittest.mock import patch

import torch
from mpmath import mp, mpf

from references._mmdet import mmdet_loss
from references._mp import finish, number, softplus
from references._torch import labels, randoms, torch_case

ghm = mmdet_loss("ghm_loss")
LOGITS = randoms(91, 4, 3)
TARGETS = [[float(x) for x in row] for row in labels(92, 2, 4, 3)]
MASK = [[1, 1, 0], [1, 1, 1], [0, 1, 1], [1, 1, 1]]


def _theirs(source: str, inputs: Any, params: Any) -> dict[str, Any]:
    """Two calls of their module: what the first leaves behind is the second's state."""
    made = ghm.GHMC(bins=params["bins"], momentum=params["momentum"], reduction="none").double()
    valid = torch.tensor(inputs.get("mask", [[1] * 3] * 4), dtype=torch.float64)
    with_state = dict(inputs)
    if params["momentum"]:
        made(torch.tensor(randoms(93, 4, 3)).double(), torch.ones(4, 3), torch.ones(4, 3))
        with_state["counts"] = made.acc_sum.tolist()

    def values(logits: Any, targets: Any, mask: Any = None, counts: Any = None) -> Any:
        with patch.object(torch.Tensor, "float", torch.Tensor.double):  # it computes in float32
            return made(logits, targets, valid)

    params = params | {"occupied": "nonempty"}
    case = torch_case(source, values, with_state, params, wrt=("logits",))
    if params["momentum"]:
        case["state"] = {"counts": made.acc_sum.tolist()}
    else:
        norms = (torch.tensor(LOGITS).double().sigmoid() - torch.tensor(TARGETS).double()).abs()
        held = torch.histc(norms[valid > 0], params["bins"], 0, 1)
        case["state"] = {"counts": held.tolist()}
    return case | {"denominator": float(valid.sum())}


def _paper(source: str, inputs: Any, params: Any) -> dict[str, Any]:
    bins, alpha = params["bins"], mpf(params.get("momentum", 0.0))
    pairs = [
        (number(z), mpf(y))
        for row, of in zip(inputs["logits"], inputs["targets"], strict=True)
        for z, y in zip(row, of, strict=True)
    ]
    place = [min(int(abs(_sigmoid(z) - y) * bins), bins - 1) for z, y in pairs]
    old = number(inputs.get("counts", [0.0] * bins))
    density = [alpha * s + (1 - alpha) * place.count(b) for b, s in enumerate(old)]
    weight = [len(pairs) / (bins * density[b]) for b in place]
    values = [
        w * (y * softplus(-z) + (1 - y) * softplus(z))
        for w, (z, y) in zip(weight, pairs, strict=True)
    ]
    slopes = [w * (_sigmoid(z) - y) for w, (z, y) in zip(weight, pairs, strict=True)]
    width = len(inputs["logits"][0])
    return {
        "from": source,
        "inputs": inputs,
        "params": params,
        "values": finish(_rows(values, width)),
        "denominator": float(len(pairs)),
        "gradients": {"logits": finish(_rows(slopes, width))},
        "state": {"counts": finish(density)},
    }


def _sigmoid(z: Any) -> Any:
    return 1 / (1 + mp.exp(-z))


def _rows(flat: list[Any], width: int) -> list[list[Any]]:
    return [flat[i : i + width] for i in range(0, len(flat), width)]


def gradient_harmonized() -> list[dict[str, Any]]:
    inputs = {"logits": LOGITS, "targets": TARGETS}
    far = {
        "logits": [[1e4, -1e4, 120.0, -50.0], [0.25, -0.5, 50.0, -120.0]],
        "targets": [[1.0, 1.0, 0.0, 0.0], [1.0, 0.0, 0.625, 0.125]],
    }
    return [
        _theirs("smooth: mmdet 3.3.0 GHMC", inputs, {"bins": 10, "momentum": 0.0}),
        _theirs(
            "smooth: mmdet 3.3.0 GHMC, second call with momentum, some ignored",
            inputs | {"mask": MASK},
            {"bins": 7, "momentum": 0.75},
        ),
        _paper("smooth: mpmath 1.3.0, 50 digits: every bin counts", inputs, {"bins": 5}),
        _paper(
            "mpmath 1.3.0, 50 digits: a state, logits to 1e4, targets between 0 and 1",
            far | {"counts": [3.0, 0.5, 2.0, 8.0]},
            {"bins": 4, "momentum": 0.75},
        ),
    ]


CASES = {"gradient_harmonized": gradient_harmonized}
