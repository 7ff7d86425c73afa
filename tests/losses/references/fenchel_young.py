"""sparsemax, entmax, fenchel_young, structured_hinge."""

from typing import Any

import jax.numpy as jnp
import optax
import torch
from entmax import entmax_bisect_loss, sparsemax_loss
from mpmath import mp, mpf

from references._jax import jax_case
from references._mp import row_case, softplus
from references._torch import labels, randoms, torch_case

Z = ("logits",)
DIGITS = "mpmath 1.3.0, 50 digits"
ROWS = {"logits": randoms(351, 4, 4, low=-1.0, high=1.0), "labels": labels(352, 4, 4)}
SOFT = {
    "logits": randoms(353, 3, 3, low=-1.0, high=1.0),
    "target_probabilities": [[0.5, 0.25, 0.25], [0.0, 1.0, 0.0], [0.5, 0.0, 0.5]],
}
WIDE = {
    "logits": [[50.0, -50.0, 0.0], [120.0, 119.5, -120.0], [1e4, -1e4, 0.0], [0.0, 0.0, 0.0]],
    "labels": [1, 1, 1, 2],
}


def argmax_of(z: list[Any], alpha: Any) -> list[Any]:
    """The entmax distribution: its threshold halved at 50 digits."""
    excess = alpha - 1
    if not excess:
        top = max(z)
        weights = [mp.exp(x - top) for x in z]
        return [w / sum(weights) for w in weights]

    def shares(at: Any) -> list[Any]:
        return [max(mpf(0), excess * x - at) ** (1 / excess) for x in z]

    low, high = excess * max(z) - 1, excess * max(z)
    for _ in range(200):
        middle = (low + high) / 2
        low, high = (middle, high) if sum(shares(middle)) >= 1 else (low, middle)
    return shares(low)


def entropy(p: list[Any], alpha: Any) -> Any:
    if alpha == 1:
        return -sum(x * mp.log(x) for x in p if x)
    return sum(x - x**alpha for x in p if x) / (alpha * (alpha - 1))


def tsallis_case(source: str, inputs: Any, params: Any, alpha: float) -> dict[str, Any]:
    """The gradient is p - t: the theorem of Danskin, as the maximum is unique."""
    values, gradients = [], []
    key = "labels" if "labels" in inputs else "target_probabilities"
    for z, given in zip(inputs["logits"], inputs[key], strict=True):
        t = [mpf(k == given) for k in range(len(z))] if key == "labels" else [mpf(x) for x in given]
        p = argmax_of([mpf(x) for x in z], mpf(alpha))
        off = [a - b for a, b in zip(p, t, strict=True)]
        linear = sum(x * mpf(y) for x, y in zip(off, z, strict=True))
        value = linear + entropy(p, mpf(alpha)) - entropy(t, mpf(alpha))
        values.append(float(value) if value > mpf(10) ** -40 else 0.0)
        gradients.append([float(x) for x in off])
    return {
        "from": source,
        "inputs": inputs,
        "params": params,
        "values": values,
        "gradients": {"logits": gradients},
    }


def sparsemax() -> list[dict[str, Any]]:
    case = jax_case(
        "smooth: optax 0.2.8 multiclass_sparsemax_loss; checked with entmax 1.3",
        lambda logits, labels: optax.losses.multiclass_sparsemax_loss(logits, labels),
        ROWS,
        wrt=Z,
    )
    theirs = torch_case(
        "entmax 1.3 sparsemax_loss",
        lambda logits, labels: sparsemax_loss(logits, labels),
        ROWS,
        wrt=Z,
    )
    for ours, other in (
        (case["values"], theirs["values"]),
        (case["gradients"]["logits"], theirs["gradients"]["logits"]),
    ):
        torch.testing.assert_close(torch.tensor(ours), torch.tensor(other))
    return [
        case,
        tsallis_case(f"smooth: {DIGITS}: soft targets", SOFT, {}, 2.0),
        tsallis_case(f"{DIGITS}: logits to 1e4, and all equal", WIDE, {}, 2.0),
        {
            "from": "by hand: at a lead of 1 the value is 0, and so is the gradient",
            "inputs": {"logits": [[1.0, 0.0], [0.0, 1.5]], "labels": [0, 1]},
            "params": {},
            "values": [0.0, 0.0],
            "gradients": {"logits": [[0.0, 0.0], [0.0, 0.0]]},
        },
    ]


def entmax() -> list[dict[str, Any]]:
    def theirs(alpha: float) -> Any:
        return lambda logits, labels: entmax_bisect_loss(logits, labels, alpha, 60)

    name, close = "entmax 1.3 entmax_bisect_loss", 1.0 + 2.0**-20
    return [
        torch_case(f"smooth: {name}", theirs(1.5), ROWS, wrt=Z),
        torch_case(f"smooth: {name}", theirs(1.25), ROWS, {"alpha": 1.25}, wrt=Z),
        tsallis_case(f"smooth: {DIGITS}: soft targets", SOFT, {"alpha": 3.0}, 3.0),
        tsallis_case(f"{DIGITS}: logits to 1e4, and all equal", WIDE, {}, 1.5),
        tsallis_case(f"smooth: {DIGITS}: alpha 1", SOFT, {"alpha": 1.0}, 1.0),
        tsallis_case(f"smooth: {DIGITS}: alpha near 1", ROWS, {"alpha": close}, close),
    ]


def fenchel_young() -> list[dict[str, Any]]:
    def cube_entropy(params: Any, logits: Any, target_probabilities: Any) -> Any:
        total = mpf(0)
        for z, t in zip(logits, target_probabilities, strict=True):
            t = mpf(t)
            chances = sum(x * mp.log(x) for x in (t, 1 - t) if x)
            total += t * softplus(-z) + (1 - t) * softplus(z) + chances
        return total

    def cube_squared(params: Any, logits: Any, target_probabilities: Any) -> Any:
        total = mpf(0)
        for z, t in zip(logits, target_probabilities, strict=True):
            p = min(max(z, mpf(0)), mpf(1))
            total += p * z - p * p / 2 + mpf(t) ** 2 / 2 - z * mpf(t)
        return total

    def zero(params: Any, logits: Any, target_probabilities: Any) -> Any:
        pairs = zip(logits, target_probabilities, strict=True)
        return max(logits) - sum(z * mpf(t) for z, t in pairs)

    theirs = optax.losses.make_fenchel_young_loss(
        max_fun=lambda z: jnp.log(jnp.sum(jnp.exp(z), axis=-1))
    )
    one_hot = {
        "logits": SOFT["logits"],
        "target_probabilities": [[0.0, 1.0, 0.0], [1.0, 0.0, 0.0], [0.0, 0.0, 1.0]],
    }
    sets = {
        "logits": randoms(354, 2, 3),
        "target_probabilities": [[1.0, 0.0, 1.0], [0.5, 0.25, 1.0]],
    }
    any_sum = {"unnormalized_targets": True}
    far = {
        "logits": [[50.0, -120.0, 0.5], [1e4, -1e4, 0.25]],
        "target_probabilities": [[0.0, 1.0, 0.0], [1.0, 1.0, 0.5]],
    }
    return [
        jax_case(
            "smooth: optax 0.2.8 make_fenchel_young_loss of log-sum-exp",
            lambda logits, target_probabilities: theirs(logits, target_probabilities),
            one_hot,
            wrt=Z,
        ),
        tsallis_case(f"smooth: {DIGITS}: tsallis", SOFT, {"regularizer": "tsallis"}, 1.5),
        tsallis_case(f"smooth: {DIGITS}: gini", SOFT, {"regularizer": "gini"}, 2.0),
        row_case(
            f"smooth: {DIGITS}: cube_entropy",
            cube_entropy,
            sets,
            {"regularizer": "cube_entropy"} | any_sum,
            wrt=Z,
        ),
        row_case(
            f"{DIGITS}: cube_squared, logits to 1e4",
            cube_squared,
            far,
            {"regularizer": "cube_squared"} | any_sum,
            wrt=Z,
        ),
        row_case(
            f"{DIGITS}: zero, logits to 1e4", zero, far, {"regularizer": "zero"} | any_sum, wrt=Z
        ),
        {
            "from": "by hand: shannon of equal logits and of targets that sum to 2: log 2 - 2 z",
            "inputs": {"logits": [[3.0, 3.0]], "target_probabilities": [[1.0, 1.0]]},
            "params": {"regularizer": "shannon"} | any_sum,
            "values": [float(mp.log(2)) - 3.0],
            "gradients": {"logits": [[-0.5, -0.5]]},
        },
    ]


def structured_hinge() -> list[dict[str, Any]]:
    def f(params: Any, scores: Any, labels: Any, costs: Any = None) -> Any:
        found = mpf(0)
        for j, s in enumerate(scores):
            price, ahead = mpf(1) if costs is None else mpf(costs[j]), s - scores[labels]
            slack = params.get("rescaling") == "slack"
            if j != labels:
                found = max(found, price * (1 + ahead) if slack else price + ahead)
        return found

    near = {"scores": randoms(355, 3, 3), "labels": [0, 2, 1]}
    priced = near | {"costs": randoms(356, 3, 3, low=0.125, high=3.0)}
    wide = {
        "scores": [[50.0, -50.0, 0.0], [1e4, -1e4, 120.0]],
        "labels": [1, 1],
        "costs": [[2.0, 1e4, 0.5], [1.0, 0.0, 1e4]],
    }
    name, wrt = f"paper only: {DIGITS}", ("scores",)
    return [
        jax_case(
            "smooth: optax 0.2.8 multiclass_hinge_loss, where every cost is 1",
            lambda scores, labels: optax.losses.multiclass_hinge_loss(scores, labels),
            near,
            wrt=wrt,
        ),
        row_case(f"smooth: {name}: costs", f, priced, wrt=wrt),
        row_case(f"smooth: {name}: slack", f, priced, {"rescaling": "slack"}, wrt=wrt),
        row_case(f"{name}: scores to 1e4", f, wide, wrt=wrt),
        {
            "from": "by hand: the first of tied candidates takes the gradient; 0 at the kink",
            "inputs": {"scores": [[0.0, 1.0, 1.0], [2.0, 1.0, 0.0]], "labels": [0, 0]},
            "params": {},
            "values": [2.0, 0.0],
            "gradients": {"scores": [[-1.0, 1.0, 0.0], [0.0, 0.0, 0.0]]},
        },
    ]


CASES = {
    "sparsemax": sparsemax,
    "entmax": entmax,
    "fenchel_young": fenchel_young,
    "structured_hinge": structured_hinge,
}
