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
    parts: list[bytes | memoryview] = [b'{"answers":{']
    for i, (name, message) in enumerate(answers.items()):
        parts += [b"," if i else b"", orjson.dumps(name), b":", *json.parts(message)]
    return [*parts, b'},"problems":', orjson.dumps(dict(problems)), b"}"]
