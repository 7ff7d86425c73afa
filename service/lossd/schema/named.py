"""Tensors that are sent once, under names of their own, and what takes them by these names."""

import re
from collections.abc import Iterator, Mapping
from typing import Any

from lossd.errors import BadOption, LossdError, MissingInput
from lossd.schema.plan import BESIDE
from lossd.wire import Message

_NAME = re.compile(r"[A-Za-z0-9_-]{1,64}")


def within(at: str, err: LossdError) -> LossdError:
    """The error, with the place of what it is about in front of its place in there."""
    err.at = f"{at}.{err.at}" if err.at else at
    return err


def names_of(listed: list[Any], at: str) -> list[str]:
    """The names of a list of objects: each one's own, or its place. Raises `BadOption`."""
    names = [_name_of(each, i, f"{at}[{i}]") for i, each in enumerate(listed)]
    known: set[str] = set()
    for i, name in enumerate(names):
        if name in known:
            raise BadOption(
                f"two {at} of one name", at=f"{at}[{i}].name", expected="another", got=name
            )
        known.add(name)
    return names


def _name_of(each: Any, i: int, at: str) -> str:
    name = each.get("name") if isinstance(each, dict) else None
    if name is None:
        return str(i)
    if isinstance(name, str) and _NAME.fullmatch(name):
        return name
    raise BadOption(
        "not a name",
        at=f"{at}.name",
        expected="1 to 64 of A to Z, a to z, 0 to 9, _ and -",
        got=repr(name)[:100],
    )


def loss_of(call: Mapping[str, Any]) -> str:
    """The name of the loss that an object names. Raises `BadOption`."""
    loss = call.get("loss")
    if isinstance(loss, str):
        return loss
    raise BadOption("no loss is named", at="loss", expected="a name", got=repr(loss)[:100])


def sources_of(message: Message, call: Mapping[str, Any]) -> dict[str, str]:
    """The name of the tensor that each input of a call is, by the input's key.

    Those beside the inputs are among them. Raises `BadOption`, and `MissingInput` where no tensor
    is so named.
    """
    return dict(_sources(message, call))


def _sources(message: Message, call: Mapping[str, Any]) -> Iterator[tuple[str, str]]:
    inputs = call.get("inputs", {})
    if not isinstance(inputs, dict):
        raise BadOption(
            "inputs are not an object",
            at="inputs",
            expected="the name of a tensor for each input",
            got=repr(inputs)[:100],
        )
    for key, name in inputs.items():
        yield from _named(message, key, name, f"inputs.{key}"[:200])
    for key in BESIDE:
        if key in call:
            yield from _named(message, key, call[key], key)


def _named(message: Message, key: str, name: Any, at: str) -> Iterator[tuple[str, str]]:
    """One tensor, or the members of a group: one of the body's, or one that is put together."""
    if isinstance(name, dict):
        for member, each in name.items():
            yield f"{key}/{member}", known(message, each, f"{at}.{member}"[:200])
        return
    if isinstance(name, str) and name in message.tensors:
        yield key, name
        return
    members = members_of(message, name)
    if members:
        yield from ((f"{key}/{each[len(name) + 1 :]}", each) for each in members)
        return
    yield key, known(message, name, at)


def members_of(message: Message, name: Any) -> list[str]:
    """The tensors of the group of that name; none if there is no such group."""
    group = f"{name}/" if isinstance(name, str) else ""
    return [each for each in message.tensors if group and each.startswith(group)]


def known(message: Message, name: Any, at: str) -> str:
    """The name, if there is a tensor of it. Raises `MissingInput`."""
    if isinstance(name, str) and name in message.tensors:
        return name
    raise MissingInput(
        "no tensor of that name is in the body",
        at=at,
        expected=f"one of {', '.join(message.tensors)}"[:200],
        got=repr(name)[:100],
    )
