"""`/v1/multitask`: weights for the losses of several tasks, by a method of balancing them."""

import asyncio
from collections.abc import Callable, Mapping
from typing import Any

from fastapi import APIRouter, Request, Response

from lossd.api.body import BodyReader, Sent
from lossd.api.depends import TheAdmission, TheEngine, TheSettings
from lossd.api.exchange import Incoming
from lossd.api.problem import document
from lossd.engine import Admission, Engine
from lossd.errors import BadOption, LossdError
from lossd.objectives.multitask import (
    METHODS,
    Balanced,
    Tasks,
    balance,
    compare,
    describe,
    find,
    read_tasks,
    to_fields,
    to_message,
)
from lossd.settings import Settings
from lossd.wire import CODECS, Message, Parts

router = APIRouter(prefix="/v1/multitask", tags=["multi-task"])
_OPTIONS = ("params", "state", "seed", "permutation")
EXAMPLE: dict[str, Any] = {
    "inputs": {"losses": [0.9, 2.5], "gradients": [[1.0, 0.5, -0.5], [-0.5, 1.0, 2.0]]},
    "params": {},
    "seed": 0,
}
Answers = Callable[[Message], Message]


def _body() -> dict[str, Any]:
    """What the document says of a body: an example in JSON, and the other formats."""
    binary = {"schema": {"type": "string", "format": "binary"}}
    content: dict[str, Any] = {name: binary for name in CODECS}
    content["application/json"] = {"schema": {"type": "object"}, "example": EXAMPLE}
    return {"requestBody": {"required": True, "content": content}}


@router.get("", summary="List the methods")
def list_all() -> dict[str, list[dict[str, Any]]]:
    """Every method, with what it needs, its formula and the JSON Schema of its parameters."""
    return {"methods": [describe(each) for each in METHODS.values()]}


@router.get("/{method}", summary="Describe a method")
def describe_one(method: str) -> dict[str, Any]:
    """Everything the method declares."""
    return describe(find(method))


@router.post("/compare", summary="Every method's weights, side by side", openapi_extra=_body())
async def compare_all(
    request: Request, engine: TheEngine, admission: TheAdmission, settings: TheSettings
) -> Response:
    """The body of a method; `params` and `state` are objects by the methods' names.

    Each method has its weights and certificate, or the problem that says why it does not apply.
    """
    return await _served(request, engine, admission, settings, _compared)


@router.post("/{method}", summary="Balance tasks by a method", openapi_extra=_body())
async def balance_one(
    method: str, request: Request, engine: TheEngine, admission: TheAdmission, settings: TheSettings
) -> Response:
    """`weights` to multiply the losses by, the combined `gradient`, `state` and `certificate`.

    `inputs` are `losses` (K), and `gramian` (K, K), `gramian_groups` or `gradients`: one tensor
    (K, ...), or an object of them. Beside them `params`, `state`, `seed` and `permutation`.
    """

    def answer(message: Message) -> Message:
        tasks, options = _read(message)
        return to_message(balance(method, tasks, **options), message)

    find(method)
    return await _served(request, engine, admission, settings, answer)


def _compared(message: Message) -> Message:
    tasks, options = _read(message)
    answers = compare(tasks, **options)
    return Message({}, {"methods": {name: _entry(each) for name, each in answers.items()}})


def _entry(answer: Balanced | LossdError) -> Mapping[str, Any]:
    if isinstance(answer, LossdError):
        return {"problem": document(answer)}
    return to_fields(answer)


def _read(message: Message) -> tuple[Tasks, dict[str, Any]]:
    for key in message.fields:
        if key not in _OPTIONS:
            raise BadOption(
                f"unknown field {key[:100]!r}",
                at=key[:100],
                expected=f"inputs, {', '.join(_OPTIONS)}",
            )
    return read_tasks(message), dict(message.fields)


async def _served(
    request: Request, engine: Engine, admission: Admission, settings: Settings, answer: Answers
) -> Response:
    with admission.enter() as lease:
        incoming = Incoming(request.scope["headers"], request.receive)
        sent = await BodyReader(engine.buffers, settings).receive(incoming, lease)
        # Not on the engine's readers: a method of many tasks takes seconds, and others read.
        parts = await asyncio.to_thread(_answered, sent, answer, settings)
        return Response(b"".join(parts), media_type=sent.writer.media_type)


def _answered(sent: Sent, answer: Answers, settings: Settings) -> Parts:
    asked = sent.reader.decode(sent.plain(settings), settings.max_elements)
    return sent.writer.parts(answer(asked))
