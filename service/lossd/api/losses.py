"""`/v1/losses`: the catalog, and calls of every loss in it."""

import time
from typing import Annotated, Any

from fastapi import APIRouter, Query, Request, Response

from lossd.api.body import read_body
from lossd.api.depends import TheAdmission, TheEngine, TheSettings
from lossd.engine import Engine
from lossd.losses import find
from lossd.schema import Call, parse_call, to_message
from lossd.schema.describe import describe, list_losses
from lossd.settings import Settings
from lossd.wire import Codec, expand, reader_for, writer_for

SMALL_BYTES = 64 * 1024  # below this a thread costs more than reading or writing the body

router = APIRouter(prefix="/v1/losses", tags=["losses"])


@router.get("", summary="List the losses")
def list_all(
    family: Annotated[str | None, Query(description="Only this family.")] = None,
    search: Annotated[str | None, Query(description="Words that must all occur.")] = None,
    kind: Annotated[str | None, Query(description="Only losses with an input so named.")] = None,
) -> dict[str, list[dict[str, Any]]]:
    """The catalog, one entry per loss."""
    return {"losses": list_losses(family=family, search=search, kind=kind)}


@router.get("/{loss}", summary="Describe a loss")
def describe_one(loss: str, request: Request) -> dict[str, Any]:
    """Everything the loss declares, the JSON Schema of its body, and a call that works."""
    return describe(loss, str(request.base_url).rstrip("/"))


@router.post("/{loss}", summary="Compute a loss and its gradients", include_in_schema=False)
async def compute_one(
    loss: str,
    request: Request,
    engine: TheEngine,
    admission: TheAdmission,
    settings: TheSettings,
) -> Response:
    """Value, rows and gradients of one loss, answered in the format it was asked in."""
    with admission.enter() as lease:
        find(loss)
        reader = reader_for(request.headers.get("content-type", ""))
        writer = writer_for(request.headers.get("accept", ""), default=reader)
        body = await read_body(request, lease, settings)
        return await _answer(loss, request, body, engine, settings, reader, writer)


async def _answer(
    loss: str,
    request: Request,
    body: bytes,
    engine: Engine,
    settings: Settings,
    reader: Codec,
    writer: Codec,
) -> Response:
    clock = _Clock(request)

    encoding = request.headers.get("content-encoding", "")

    def parse() -> Call:
        plain = expand(body, encoding, settings.max_body_bytes)
        return parse_call(loss, reader.decode(plain, settings.max_elements))

    small = len(body) <= SMALL_BYTES and not encoding
    call = parse() if small else await engine.off_loop(parse)
    clock.note("parse")
    result = await engine.submit(call, timeout_s=settings.timeout_s)
    clock.skip(result.seconds)
    message = to_message(call, result)
    content = writer.encode(message) if small else await engine.off_loop(writer.encode, message)
    clock.note("serialize")
    return Response(content, media_type=writer.media_type)


class _Clock:
    """Notes how long each phase of a request took, for `Server-Timing`."""

    def __init__(self, request: Request) -> None:
        self._seconds: dict[str, float] = request.state.seconds
        self._last_s = time.perf_counter()

    def note(self, phase: str) -> None:
        """The time since the last phase ended was this one's."""
        now_s = time.perf_counter()
        self._seconds[phase] = now_s - self._last_s
        self._last_s = now_s

    def skip(self, seconds: Any) -> None:
        """Phases that somebody else timed."""
        self._seconds.update(seconds)
        self._last_s = time.perf_counter()
