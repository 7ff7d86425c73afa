"""info_nce, siglip: losses of a whole batch of embeddings."""

from typing import Any

import jax.numpy as jnp
import optax
import torch
import torch.nn.functional as F
from mpmath import mp, mpf

from references._jax import jax_case
from references._mp import batch_case, log_softmax, softplus
from references._torch import module_alone, randoms, torch_case

open_clip = module_alone("open_clip", "loss.py")
DIGITS = "mpmath 1.3.0, 50 digits"
LEFT, RIGHT = randoms(81, 4, 3), randoms(82, 4, 3)
FAR = [[1e4, -1e4, 0.0], [2.0**-60, 2.0**-61, -(2.0**-60)], [0.0, 3.0, 4.0]]
FAR_PARTNERS = [[-1e4, 1e4, 1.0], [1e4, 0.0, -(2.0**-20)], [2.0**-40, 2.0**-40, 2.0**-41]]


def _direction(x: list[Any]) -> list[Any]:
    length = mp.sqrt(sum(each * each for each in x))
    return [each / length for each in x] if length else x


def _similarity(params: Any, left: Any, right: Any) -> list[list[Any]]:
    if params.get("normalize", True):
        left, right = ([_direction(row) for row in side] for side in (left, right))
    return [[sum(a * b for a, b in zip(x, y, strict=True)) for y in right] for x in left]


def _unit(x: Any) -> Any:
    return x / jnp.linalg.norm(x, axis=1, keepdims=True)


def info_nce() -> list[dict[str, Any]]:
    def f(
        params: Any, queries: Any, keys: Any, negatives: Any = None, logit_scale: Any = None
    ) -> list[Any]:
        scale = 1 / mpf(params.get("temperature", 0.07)) if logit_scale is None else logit_scale
        others = [[]] * len(queries)
        if negatives is not None:
            others = _similarity(params, queries, negatives)
        own = _similarity(params, queries, keys)
        values = []
        for i, row in enumerate(own):
            value = -log_softmax([scale * s for s in row + others[i]])[i]
            if params.get("symmetric"):
                back = -log_softmax([scale * each[i] for each in own])[i]
                value = (value + back) / 2
            values.append(value)
        return values

    def case(source: str, inputs: Any, kinks: Any = None, **params: Any) -> dict[str, Any]:
        return batch_case(source, f, inputs, params, wrt=tuple(inputs), kinks=kinks)

    def theirs(queries: Any, keys: Any, negatives: Any = None, logit_scale: Any = 1 / 0.07) -> Any:
        among = keys if negatives is None else jnp.concatenate((keys, negatives))
        logits = logit_scale * _unit(queries) @ _unit(among).T
        return optax.softmax_cross_entropy_with_integer_labels(logits, jnp.arange(len(queries)))

    pairs = {"queries": LEFT, "keys": RIGHT}
    more = pairs | {"negatives": randoms(83, 3, 3), "logit_scale": 2.5}
    name = "smooth: optax 0.2.8 softmax_cross_entropy_with_integer_labels on similarities"
    far = {"queries": FAR, "keys": FAR_PARTNERS}
    large = {"queries": [[1e4, 0.0], [0.0, 1e4]], "keys": [[0.0, 1e4], [-1e4, 0.0]]}
    zero = {"queries": [[0.0, 0.0], [3.0, 0.0]], "keys": [[2.0, 0.0], [0.0, 5.0]]}
    slope = float(-mp.e / (1 + mp.e) / 3)
    return [
        jax_case(name, theirs, pairs, wrt=("queries", "keys")),
        jax_case(f"{name}, negatives and a learned scale", theirs, more, wrt=tuple(more)),
        _clip(),
        case(
            f"smooth: {DIGITS}: not normalised, negatives, symmetric",
            {"queries": LEFT[:3], "keys": RIGHT[:3], "negatives": randoms(84, 2, 3)},
            normalize=False,
            symmetric=True,
            temperature=0.5,
        ),
        case(f"{DIGITS}: lengths from 1e-18 to 1e4", far),
        case(f"{DIGITS}: lengths from 1e-18 to 1e4, symmetric", far, symmetric=True),
        case(f"{DIGITS}: similarities to 1e8", large, normalize=False, temperature=1.0),
        case(
            f"{DIGITS}: a zero vector has similarity 0 and no gradient, by ruling",
            zero,
            {"queries": [[0.0, 0.0], [0.0, slope]]},
            temperature=1.0,
        ),
        {
            "from": "by hand: a row alone has nothing to be told from",
            "inputs": {"queries": [[1.0, 2.0]], "keys": [[-1.0, 0.5]]},
            "params": {},
            "values": [0.0],
            "gradients": {"queries": [[0.0, 0.0]], "keys": [[0.0, 0.0]]},
        },
    ]


def _clip() -> dict[str, Any]:
    """Rows by torch; their mean and its gradients are those of open_clip's loss."""

    def rows(queries: Any, keys: Any, logit_scale: Any) -> Any:
        logits = logit_scale * F.normalize(queries) @ F.normalize(keys).T
        own = torch.arange(len(logits))
        both = (F.cross_entropy(x, own, reduction="none") for x in (logits, logits.T))
        return sum(both) / 2

    inputs = {"queries": LEFT, "keys": RIGHT, "logit_scale": 5.0}
    case = torch_case(
        "smooth: torch 2.13.0 F.cross_entropy both ways; checked with open_clip 3.3.0 ClipLoss",
        rows,
        inputs,
        {"symmetric": True},
        wrt=tuple(inputs),
    )
    _agrees(case, open_clip.ClipLoss())
    return case


def _agrees(case: dict[str, Any], theirs: Any) -> None:
    """The mean of the rows, and its gradients, are theirs."""
    leaves = [torch.tensor(x).double().requires_grad_() for x in case["inputs"].values()]
    left, right, *scalars = leaves
    mean = theirs(F.normalize(left), F.normalize(right), *scalars)
    rows = len(case["values"])
    torch.testing.assert_close(mean.item() * rows, sum(case["values"]), rtol=1e-12, atol=0)
    found = torch.autograd.grad(mean * rows, leaves)
    for name, gradient in zip(case["inputs"], found, strict=True):
        want = torch.tensor(case["gradients"][name]).double()
        torch.testing.assert_close(gradient, want, rtol=1e-6, atol=1e-7)


def siglip() -> list[dict[str, Any]]:
    def f(params: Any, left: Any, right: Any, logit_scale: Any, logit_bias: Any) -> list[Any]:
        logits = [
            [logit_scale * s + logit_bias for s in row] for row in _similarity(params, left, right)
        ]
        return [
            sum(softplus(-z if i == j else z) for j, z in enumerate(row))
            for i, row in enumerate(logits)
        ]

    def case(source: str, inputs: Any, kinks: Any = None, **params: Any) -> dict[str, Any]:
        return batch_case(source, f, inputs, params, wrt=tuple(inputs), kinks=kinks)

    def theirs(left: Any, right: Any, logit_scale: Any, logit_bias: Any) -> Any:
        logits = logit_scale * _unit(left) @ _unit(right).T + logit_bias
        return optax.sigmoid_binary_cross_entropy(logits, jnp.eye(len(left))).sum(1)

    pairs = {"left": LEFT, "right": RIGHT}
    start, later = (
        {"logit_scale": 10.0, "logit_bias": -10.0},
        {"logit_scale": 3.0, "logit_bias": -1.0},
    )
    checked = "checked with open_clip 3.3.0 SigLipLoss"
    cases = []
    for scalars in (start, later):
        source = f"smooth: optax 0.2.8 sigmoid_binary_cross_entropy on similarities; {checked}"
        cases.append(jax_case(source, theirs, pairs | scalars, wrt=(*pairs, *scalars)))
        _agrees(cases[-1], open_clip.SigLipLoss())
    large = {"left": [[1e4, 0.0], [0.0, 1e4]], "right": [[0.0, 1e4], [-1e4, 0.0]]}
    zero = {"left": [[0.0, 0.0], [3.0, 0.0]], "right": [[2.0, 0.0], [0.0, 5.0]]}
    half = mpf(1) / 2
    # At scale 1 and bias 0 the row (3, 0) is told from (2, 0), and its partner has similarity 0.
    slopes = {"left": [[0.0, 0.0], [0.0, float(-half / 3)]]}
    far = {"left": FAR, "right": FAR_PARTNERS}
    return [
        *cases,
        case(f"smooth: {DIGITS}: not normalised", pairs | later, normalize=False),
        case(f"{DIGITS}: lengths from 1e-18 to 1e4", far | start),
        case(f"{DIGITS}: similarities to 1e8", large | start, normalize=False),
        case(
            f"{DIGITS}: a zero vector has similarity 0 and no gradient, by ruling",
            zero | {"logit_scale": 1.0, "logit_bias": 0.0},
            slopes,
        ),
    ]


CASES = {"info_nce": info_nce, "siglip": siglip}
