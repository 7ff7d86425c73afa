"""Groups of tensors that go with another group, one with one: weights and where they started."""

from collections.abc import Iterable, Mapping

from lossd.errors import MissingInput, WrongShape
from lossd.losses import LossSpec
from lossd.schema._names import dotted


def check_partners(spec: LossSpec, shapes: Mapping[str, tuple[int, ...]]) -> None:
    """Raises `MissingInput` or `WrongShape` where a tensor of a group has not its partner."""
    for key, shape in shapes.items():
        name, partner = key.partition("/")[0], _partner(spec, key)
        if partner is None:
            continue
        like = partner.partition("/")[0]
        mine, theirs = (_members(shapes, each) for each in (name, like))
        if partner not in shapes or mine != theirs:
            raise MissingInput(
                f"{name} and {like} hold tensors of the same names",
                at=f"inputs.{dotted(key)}",
                expected=f"as many tensors as in {like}, by the same names",
                got=f"{mine} beside {theirs}",
            )
        if shapes[partner] != shape:
            raise WrongShape(
                f"{name} has not the shape of {like}",
                at=f"inputs.{dotted(key)}",
                expected=str(list(shapes[partner])),
                got=str(list(shape)),
            )


def in_order(spec: LossSpec, keys: Iterable[str]) -> list[str]:
    """The keys of the inputs, a group that goes with another in the order of that one."""
    place = {key: i for i, key in enumerate(keys)}
    return sorted(place, key=lambda key: _place(place, key, _partner(spec, key)))


def _place(place: Mapping[str, int], key: str, partner: str | None) -> tuple[int, int]:
    return (0, place[key]) if partner is None else (1, place[partner])


def _partner(spec: LossSpec, key: str) -> str | None:
    name = key.partition("/")[0]
    like = spec.inputs[name].arg.like
    return None if like is None else f"{like}{key[len(name) :]}"


def _members(keys: Iterable[str], name: str) -> int:
    return sum(key.partition("/")[0] == name for key in keys)
