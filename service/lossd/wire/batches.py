"""Several calls in one body, and their answers in another.

A batch's tensors are named once, and stand in JSON below `tensors`. Each answer is written as it
would be alone: in JSON as a member of `answers`, elsewhere with the call's name before each of its
tensors' names. What failed is in `problems`.
"""

from collections.abc import Mapping
from typing import Any, Protocol

import orjson

from lossd.wire import json
from lossd.wire.message import Message, Parts


class _Reads(Protocol):
    media_type: str

    def decode(self, body: Any, most_elements: int) -> Message: ...


class _Writes(Protocol):
    media_type: str

    def parts(self, message: Message) -> Parts: ...


def decode_batch(codec: _Reads, body: Any, most_elements: int) -> Message:
    """Read a batch. Raises what the codec's own `decode` raises."""
    if codec.media_type == json.media_type:
        return json.decode_named(body, most_elements)
    return codec.decode(body, most_elements)


def batch_parts(
    codec: _Writes, answers: Mapping[str, Message], problems: Mapping[str, dict[str, Any]]
) -> Parts:
    """Write the answers of a batch, by the calls' names. Raises what the codec's `parts` raises."""
    if codec.media_type == json.media_type:
        return _json_parts(answers, problems)
    tensors = {
        f"{name}.{key}": x for name, each in answers.items() for key, x in each.all_tensors.items()
    }
    fields = {name: dict(each.fields) for name, each in answers.items()}
    return codec.parts(Message(tensors, {"answers": fields, "problems": dict(problems)}))


def _json_parts(answers: Mapping[str, Message], problems: Mapping[str, dict[str, Any]]) -> Parts:
    problem_text = orjson.dumps(dict(problems))
    return [b'{"answers":{', *_members(answers), b'},"problems":', problem_text, b"}"]


def parts_with(codec: _Writes, whole: Message, holder: str, named: Mapping[str, Message]) -> Parts:
    """Write a message, and below `holder` others by their names.

    In JSON each is a member of the object `holder`; elsewhere its tensors' names have the holder
    and its own name before them: `terms.box.value`. Raises what the codec's `parts` raises.
    """
    if codec.media_type == json.media_type:
        parts: list[bytes | memoryview] = [*json.parts(whole)]
        parts[-1] = parts[-1][:-1]  # without the brace that ends the object
        parts.append(b"," + orjson.dumps(holder) + b":{")
        return [*parts, *_members(named), b"}}"]
    tensors = dict(whole.all_tensors)
    for name, each in named.items():
        tensors |= {f"{holder}.{name}.{key}": x for key, x in each.all_tensors.items()}
    fields = {name: dict(each.fields) for name, each in named.items()}
    return codec.parts(Message(tensors, {**whole.fields, holder: fields}))


def _members(named: Mapping[str, Message]) -> list[bytes | memoryview]:
    parts: list[bytes | memoryview] = []
    for i, (name, message) in enumerate(named.items()):
        parts += [b"," if i else b"", orjson.dumps(name), b":", *json.parts(message)]
    return parts
