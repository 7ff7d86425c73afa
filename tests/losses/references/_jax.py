"""Reference values by optax, in float64, gradients by jax."""

from collections.abc import Callable
from typing import Any

import jax
import jax.numpy as jnp

jax.config.update("jax_enable_x64", True)


def jax_case(
    source: str,
    function: Callable[..., Any],
    inputs: dict[str, Any],
    params: dict[str, Any] | None = None,
    *,
    wrt: tuple[str, ...],
    denominator: float | None = None,
) -> dict[str, Any]:
    """`function(**inputs)`, unreduced, on arrays made of the given lists."""
    arrays = {name: jnp.asarray(x) for name, x in inputs.items()}

    def total(leaves: dict[str, Any]) -> Any:
        return function(**{**arrays, **leaves}).sum()

    found = jax.grad(total)({name: arrays[name] for name in wrt})
    case = {
        "from": source,
        "inputs": inputs,
        "params": params or {},
        "values": function(**arrays).tolist(),
        "gradients": {name: found[name].tolist() for name in wrt},
    }
    if denominator is not None:
        case["denominator"] = denominator
    return case
