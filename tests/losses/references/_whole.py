"""Reference values of losses that give one value for the whole call."""

from typing import Any

from references._mp import batch_case


def whole_case(
    source: str,
    formula: Any,
    inputs: dict[str, Any],
    params: dict[str, Any] | None = None,
    *,
    wrt: tuple[str, ...],
    kinks: dict[str, Any] | None = None,
) -> dict[str, Any]:
    """`formula(params, **inputs)` is the value, of mpf numbers in nested lists."""
    case = batch_case(
        source, lambda p, **given: [formula(p, **given)], inputs, params, wrt=wrt, kinks=kinks
    )
    (value,) = case["values"]
    return case | {"values": value}
