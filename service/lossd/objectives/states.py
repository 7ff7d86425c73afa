"""The state of an objective's last answer, put where the parts that it belongs to look for it."""

from collections.abc import Mapping, Sequence
from typing import Any

from lossd.errors import BadOption

_PARTS = ("weights", "balance")


def with_states(
    terms: Sequence[Any], balance: Any, state: Any, names: Sequence[str]
) -> tuple[list[Any], Any]:
    """Terms and balance with their states, where they say none of their own.

    `state` is what the last answer had under that name. Raises `BadOption` where it is none, or of
    terms that are not there; places are below `state`.
    """
    if state is None:
        return list(terms), balance
    if not isinstance(state, Mapping) or any(key not in _PARTS for key in state):
        expected = f"the state of an answer, of {' and '.join(_PARTS)}"
        raise BadOption("not a state", expected=expected, got=repr(state)[:100])
    of_weights = state.get("weights", {})
    if not isinstance(of_weights, Mapping):
        raise BadOption(
            "not by term", at="weights", expected="an object", got=repr(of_weights)[:99]
        )
    found = list(terms)
    for name, each in of_weights.items():
        term = found[names.index(name)] if name in names else None
        weight = term.get("weight") if isinstance(term, Mapping) else None
        if not isinstance(term, Mapping) or not isinstance(weight, Mapping):
            raise BadOption(
                "no term of that name has a weight that keeps a state",
                at=f"weights.{name}"[:200],
                expected="the terms of the call that answered it",
                got=name[:100],
            )
        found[names.index(name)] = {**term, "weight": {"state": each, **weight}}
    if "balance" in state:
        if not isinstance(balance, Mapping):
            raise BadOption("nothing is balanced", at="balance", expected="the field balance")
        balance = {"state": state["balance"], **balance}
    return found, balance
