"""Cases of losses of logits and labels, whose items may be ignored: what their modules share."""

from typing import Any

from mpmath import mpf

from references._mp import INF, row_case
from references._torch import labels, randoms

Z = ("logits",)
DIGITS = "mpmath 1.3.0, 50 digits"
NEAR = {"logits": randoms(301, 4, 3), "labels": [0, 1, 2, 0]}
PIXELS = {"logits": randoms(302, 2, 3, 2), "labels": labels(303, 3, 2, 2)}
FAR = {
    "logits": [
        [50.0, -50.0, 0.0],
        [120.0, -120.0, 119.0],
        [1e4, -1e4, 0.0],
        [1e4, -1e4, 0.0],
        [0.0, 0.0, 0.0],
        [30.0, 0.0, 0.0],
    ],
    "labels": [1, 1, 1, 0, 2, 0],
}
MASKED = {
    "logits": [[1.0, -INF, 2.0], [1.0, 2.0, 3.0], [-INF, -INF, -INF], [0.0, 1.0, -INF]],
    "labels": [0, 2, -100, 0],
}
IGNORED = {"logits": [[1.0, 2.0, 3.0], [0.0, 1.0, -4.0]], "labels": [2, -100]}


def labelled(formula: Any) -> Any:
    """A formula of one item, with 0 where the item is ignored."""

    def f(params: Any, logits: Any, labels: Any, **more: Any) -> Any:
        if labels == params.get("ignore_index"):
            return mpf(0)
        return formula(params, logits, labels, **more)

    return f


def counted(params: Any, logits: Any, labels: Any, **more: Any) -> Any:
    """An item's share of the denominator: its class weight where the case has those."""
    if labels == params.get("ignore_index"):
        return mpf(0)
    return more["class_weights"][labels] if "class_weights" in more else mpf(1)


def item_case(
    source: str, formula: Any, inputs: Any, params: Any = None, weight: Any = counted, **more: Any
) -> dict[str, Any]:
    """A case by mpmath; shared inputs are keywords."""
    wrt = more.pop("wrt", Z)
    return row_case(
        source, labelled(formula), inputs, params, wrt=wrt, weight=weight, shared=more or None
    )


def by_hand(
    source: str, inputs: Any, params: Any, values: Any, denominator: float, **gradients: Any
) -> dict[str, Any]:
    """A case where a limit or a ruling says what is right."""
    return {
        "from": f"by hand: {source}",
        "inputs": inputs,
        "params": params,
        "values": values,
        "denominator": denominator,
        "gradients": gradients,
    }
