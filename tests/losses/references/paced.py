"""self_paced, group_dro: with mpmath; no library on a registry has them."""

from typing import Any

from mpmath import mp, mpf

from references._mp import batch_case, finish, number, row_case

DIGITS = "mpmath 1.3.0, 50 digits"


def self_paced() -> list[dict[str, Any]]:
    def f(params: Any, losses: Any) -> Any:
        at = mpf(params.get("threshold", 1.0))
        if params.get("regularizer", "hard") == "hard":
            return min(losses, at)
        if losses <= 0:
            return losses
        easy = min(losses, at)  # the integral of 1 - x / at
        return easy - easy * easy / (2 * at)

    def case(source: str, losses: list[Any], kinks: Any = None, **params: Any) -> dict[str, Any]:
        of = None if kinks is None else {"losses": kinks}
        return row_case(source, f, {"losses": losses}, params, wrt=("losses",), kinks=of)

    smooth = [0.25, 0.75, 1.5, 2.5, -0.5, 4.0]
    far = [1e4, -1e4, 2.0**-30, 0.0, 2.0]
    hard, soft = [0.0, 1.0, 1.0, 1.0, 0.0], [0.0, 1.0, 1 - 2.0**-31, 1.0, 0.0]
    return [
        case(f"smooth: paper only: {DIGITS}: hard", smooth),
        case(f"smooth: paper only: {DIGITS}: linear", smooth, regularizer="linear", threshold=2.0),
        case(f"{DIGITS}: hard, far and at the threshold", far, hard, threshold=2.0),
        case(
            f"{DIGITS}: linear, far, at 0 and at the threshold",
            far,
            soft,
            threshold=2.0,
            regularizer="linear",
        ),
    ]


def group_dro() -> list[dict[str, Any]]:
    def weights(params: Any, inputs: Any) -> tuple[list[Any], list[int]]:
        count, labels = params["groups"], inputs["group_labels"]
        rows = [[i for i, g in enumerate(labels) if g == group] for group in range(count)]
        old = number(inputs.get("group_weights", [1 / count] * count))
        more = number(inputs.get("group_adjustments", [0.0] * count))
        losses = number(inputs["losses"])
        moved = [
            q * mp.exp(mpf(params["step_size"]) * (sum(losses[i] for i in own) / len(own) + a))
            if own
            else q
            for q, own, a in zip(old, rows, more, strict=True)
        ]
        return [q / sum(moved) for q in moved], [len(own) for own in rows]

    def case(source: str, inputs: Any, **params: Any) -> dict[str, Any]:
        q, sizes = weights(params, inputs)

        def f(_: Any, losses: Any, **rest: Any) -> list[Any]:
            return [
                len(losses) * q[g] * x / sizes[g]
                for g, x in zip(inputs["group_labels"], losses, strict=True)
            ]

        made = batch_case(source, f, inputs, params, wrt=("losses",))
        labels = {"group_labels": inputs["group_labels"]}  # integers
        made["inputs"] = {name: x for name, x in made["inputs"].items()} | labels
        return made | {"state": {"group_weights": finish(q)}}

    few = {"losses": [0.25, 1.5, 0.75, 2.0, 0.5], "group_labels": [0, 1, 0, 1, 2]}
    state = {"group_weights": [0.5, 0.125, 0.375], "group_adjustments": [0.5, 1.0, 0.25]}
    far = {
        "losses": [1e4, 2.0**-30, 0.0, -1e4, 5.0],
        "group_labels": [0, 3, 3, 1, 1],
        "group_weights": [0.0, 0.25, 0.5, 0.25],
    }
    return [
        # Weights are constant in the gradient, so the value is smooth where they do not move.
        case(f"smooth: paper only: {DIGITS}: no step", few | state, groups=3, step_size=0.0),
        case(f"paper only: {DIGITS}", few, groups=3, step_size=0.5),
        case(f"paper only: {DIGITS}: a state", few | state, groups=3, step_size=0.125),
        case(f"{DIGITS}: far, a weight of 0, an empty group", far, groups=4, step_size=1.0),
    ]


CASES = {"self_paced": self_paced, "group_dro": group_dro}
