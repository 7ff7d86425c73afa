"""q_learning, c51, quantile_huber, impala."""

from types import SimpleNamespace
from typing import Any

import jax
import jax.numpy as jnp
import torch.nn.functional as F
from mpmath import mpf
from torch import Tensor

from references._foreign import function_alone
from references._jax import jax_case
from references._mp import log_softmax, row_case
from references._torch import labels, randoms, torch_case

DIGITS = "mpmath 1.3.0, 50 digits"
_UNCHECKED = SimpleNamespace(
    assert_rank=lambda *_: None, assert_type=lambda *_: None, assert_equal_shape=lambda *_: None
)
_NAMES = {"jax": jax, "jnp": jnp, "chex": _UNCHECKED}


def q_learning() -> list[dict[str, Any]]:
    def theirs(error: str, delta: float = 1.0) -> Any:
        def rows(**given: Tensor) -> Tensor:
            picks = given.get("next_online_action_values", given["next_action_values"])
            best = given["next_action_values"].gather(1, picks.argmax(1)[:, None])[:, 0]
            target = given["rewards"] + given["discounts"] * best
            value = given["action_values"].gather(1, given["actions"][:, None])[:, 0]
            if error == "squared":
                return F.mse_loss(value, target, reduction="none")
            return F.huber_loss(value, target, reduction="none", delta=delta)

        return rows

    near = {
        "action_values": randoms(820, 4, 3),
        "actions": labels(821, 3, 4),
        "rewards": randoms(822, 4),
        "discounts": [0.875, 0.5, 0.0, 1.0],
        "next_action_values": randoms(823, 4, 3),
    }
    double = near | {"next_online_action_values": randoms(824, 4, 3)}
    far = {
        "action_values": [[1e4, 0.0], [-1e4, 120.0]], "actions": [0, 1], "rewards": [-1e4, 0.0],
        "discounts": [1.0, 0.5], "next_action_values": [[50.0, 1e4], [1.0, 1.0]],
    }  # fmt: skip
    wrt, name = ("action_values",), "torch 2.13.0 F.huber_loss"
    return [
        torch_case(f"smooth: {name}", theirs("huber"), near, wrt=wrt),
        torch_case(
            f"smooth: {name}, double", theirs("huber", 2.0), double, {"delta": 2.0}, wrt=wrt
        ),
        torch_case(
            "smooth: torch 2.13.0 F.mse_loss",
            theirs("squared"),
            near,
            {"error": "squared"},
            wrt=wrt,
        ),
        torch_case(f"{name}, to 1e4", theirs("huber"), far, wrt=wrt),
    ]


def c51() -> list[dict[str, Any]]:
    project = function_alone("rlax", "_src/value_learning.py", "categorical_l2_project", _NAMES)

    def theirs(lowest: float, highest: float) -> Any:
        def rows(logits: Any, next_probabilities: Any, rewards: Any, discounts: Any) -> Any:
            atoms = jnp.linspace(lowest, highest, logits.shape[1])

            def one(z: Any, p: Any, r: Any, discount: Any) -> Any:
                target = project(r + discount * atoms, p, atoms)
                return -(target * jax.nn.log_softmax(z)).sum()

            return jax.vmap(one)(logits, next_probabilities, rewards, discounts)

        return rows

    near = {
        "logits": randoms(825, 3, 4),
        "next_probabilities": [
            [0.25, 0.25, 0.5, 0.0],
            [0.125, 0.375, 0.25, 0.25],
            [0.0, 0.0, 0.0, 1.0],
        ],
        "rewards": [0.5, -1.25, 2.0],
        "discounts": [0.75, 1.0, 0.0],
    }  # fmt: skip
    far = near | {
        "logits": [[1e4, 0.0, -1e4, 1.0], [120.0, -50.0, 0.0, 1e4], [0.0, 0.0, 0.0, 0.0]],
        "rewards": [-1e4, 1e4, 0.0],
    }
    wrt, name = ("logits",), "rlax 0.1.9 categorical_l2_project"
    narrow = {"lowest": -2.0, "highest": 1.0}

    def one_atom(params: Any, logits: Any, **_: Any) -> Any:
        return -log_softmax(logits)[0]

    single = {
        "logits": [[2.0]],
        "next_probabilities": [[1.0]],
        "rewards": [3.0],
        "discounts": [1.0],
    }
    return [
        jax_case(f"smooth: {name}", theirs(-10.0, 10.0), near, wrt=wrt),
        jax_case(f"smooth: {name}, narrow", theirs(-2.0, 1.0), near, narrow, wrt=wrt),
        jax_case(f"{name}, to 1e4", theirs(-10.0, 10.0), far, wrt=wrt),
        row_case(f"{DIGITS}: a single atom", one_atom, single, wrt=wrt),
    ]


def quantile_huber() -> list[dict[str, Any]]:
    huber = function_alone("rlax", "_src/clipping.py", "huber_loss", _NAMES)
    names = _NAMES | {"clipping": SimpleNamespace(huber_loss=huber)}
    loss = function_alone("rlax", "_src/value_learning.py", "quantile_regression_loss", names)

    def theirs(kappa: float = 1.0) -> Any:
        def rows(quantiles: Any, targets: Any, fractions: Any = None) -> Any:
            n = quantiles.shape[1]
            tau = jnp.broadcast_to((2 * jnp.arange(n) + 1.0) / (2 * n), quantiles.shape)
            tau = tau if fractions is None else fractions
            # Theirs leaves out the division by kappa.
            scale = 1.0 / kappa if kappa else 1.0
            return jax.vmap(lambda q, t, y: scale * loss(q, t, y, kappa))(quantiles, tau, targets)

        return rows

    def f(params: Any, quantiles: Any, targets: Any) -> Any:
        n, kappa = len(quantiles), mpf(params.get("kappa", 1))
        total = mpf(0)
        for i, theta in enumerate(quantiles):
            for y in targets:
                u = mpf(y) - theta
                size = u * u / (2 * kappa) if abs(u) <= kappa else abs(u) - kappa / 2
                total += abs(mpf(2 * i + 1) / (2 * n) - (1 if u < 0 else 0)) * size
        return total / len(targets)

    near = {"quantiles": randoms(826, 3, 4), "targets": randoms(827, 3, 3)}
    given = near | {"fractions": randoms(828, 3, 4, low=0.1, high=0.9)}
    far = {"quantiles": [[1e4, -1e4], [0.0, 120.0]], "targets": [[-1e4, 1e4], [0.0, 120.0]]}
    wrt, name = ("quantiles",), "rlax 0.1.9 quantile_regression_loss"
    return [
        jax_case(f"smooth: {name}", theirs(), near, wrt=wrt),
        jax_case(f"smooth: {name}, kappa 0", theirs(0.0), given, {"kappa": 0.0}, wrt=wrt),
        jax_case(f"{name}, fractions", theirs(0.5), given, {"kappa": 0.5}, wrt=wrt),
        row_case(f"{DIGITS}: to 1e4", f, far, wrt=wrt),
        {
            "from": "by hand: at the target the subgradient is 0, by ruling",
            "inputs": {"quantiles": [[1.0]], "targets": [[1.0]]},
            "params": {"kappa": 0.0},
            "values": [0.0],
            "gradients": {"quantiles": [[0.0]]},
        },
    ]


def impala() -> list[dict[str, Any]]:
    names = _NAMES | {"VTraceOutput": lambda **found: SimpleNamespace(**found), "vtrace": None}
    names["vtrace"] = function_alone("rlax", "_src/vtrace.py", "vtrace", names)
    both = function_alone("rlax", "_src/vtrace.py", "vtrace_td_error_and_advantage", names)

    def theirs(clip: float = 1.0, policy_clip: float = 1.0, weight: float = 0.5) -> Any:
        def rows(log_probabilities: Any, behaviour_log_probabilities: Any, values: Any,
                 rewards: Any, discounts: Any, bootstrap_values: Any,
                 target_values: Any = None) -> Any:  # fmt: skip
            def one(p: Any, mu: Any, v: Any, r: Any, discount: Any, last: Any, u: Any) -> Any:
                after = jnp.append(u[1:], last)
                rho = jax.lax.stop_gradient(jnp.exp(p - mu))
                got = both(u, after, r, discount, rho, 1.0, clip, policy_clip)
                target, advantage = jax.lax.stop_gradient((got.errors + u, got.pg_advantage))
                return weight * (target - v) ** 2 - advantage * p

            return jax.vmap(one)(
                log_probabilities, behaviour_log_probabilities, values, rewards, discounts,
                bootstrap_values, values if target_values is None else target_values,
            )  # fmt: skip

        return rows

    near = {
        "log_probabilities": randoms(829, 3, 4, low=-2, high=0),
        "behaviour_log_probabilities": randoms(830, 3, 4, low=-2, high=0),
        "values": randoms(831, 3, 4),
        "rewards": randoms(832, 3, 4),
        "discounts": [[0.875, 0.875, 0.0, 0.875], [1.0] * 4, [0.5, 0.5, 0.5, 0.5]],
        "bootstrap_values": randoms(833, 3),
    }
    far = {
        "log_probabilities": [[-1e4, -1.0]], "behaviour_log_probabilities": [[-1.0, -1e4]],
        "values": [[120.0, -1e4]], "rewards": [[1e4, 0.0]], "discounts": [[1.0, 0.5]],
        "bootstrap_values": [50.0],
    }  # fmt: skip
    wrt, name = ("log_probabilities", "values"), "rlax 0.1.9 vtrace_td_error_and_advantage"
    lagging = near | {
        "log_probabilities": randoms(834, 3, 4, low=-1, high=0),
        "behaviour_log_probabilities": randoms(835, 3, 4, low=-3, high=-1.25),
        "target_values": randoms(836, 3, 4),
    }
    params = {"clip_rho": 0.75, "clip_policy_rho": 1.5, "value_weight": 0.25}
    return [
        # Ratios and targets count as constants: the derivative is the value's where they are.
        jax_case(f"smooth: {name}, target values, ratios clipped", theirs(), lagging, wrt=wrt),
        jax_case(name, theirs(), near, wrt=wrt),
        jax_case(f"{name}, clipped", theirs(0.75, 1.5, 0.25), near, params, wrt=wrt),
        jax_case(f"{name}, to 1e4", theirs(), far, wrt=wrt),
    ]


CASES = {
    "q_learning": q_learning,
    "c51": c51,
    "quantile_huber": quantile_huber,
    "impala": impala,
}
