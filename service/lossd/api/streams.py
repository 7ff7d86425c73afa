"""`/v1/streams`: a loss of record batches that are answered while more arrive."""

from fastapi import APIRouter, Request, Response

from lossd.api.depends import TheAdmission, TheEngine, TheSettings
from lossd.errors import NotAcceptable, UnsupportedMediaType
from lossd.losses import find
from lossd.wire import ARROW, reader_for, writer_for

router = APIRouter(prefix="/v1/streams", tags=["streams"])


@router.post("/{loss}", summary="Compute a loss of a stream of batches", include_in_schema=False)
async def stream_one(
    loss: str,
    request: Request,
    engine: TheEngine,
    admission: TheAdmission,
    settings: TheSettings,
) -> Response:
    """Every batch's rows and gradients as the batch arrives, and the value of all at the end."""
    find(loss)
    _check_headers(request)
    # pyarrow is an extra; the headers are refused without it.
    from lossd.api.duplex import Duplex
    from lossd.schema.stream import streamable

    streamable(loss)
    return Duplex(loss, engine, admission, settings)


def _check_headers(request: Request) -> None:
    """Raises `UnsupportedMediaType` or `NotAcceptable` for all but plain Arrow streams."""
    reader = reader_for(request.headers.get("content-type", ""))
    if reader.media_type != ARROW:
        raise UnsupportedMediaType(
            "streams are Arrow IPC streams",
            at="headers.content-type",
            expected=ARROW,
            got=reader.media_type,
        )
    encoding = request.headers.get("content-encoding", "identity").strip().lower()
    if encoding not in ("", "identity"):
        raise UnsupportedMediaType(
            "a stream is read without Content-Encoding",
            at="headers.content-encoding",
            expected="identity",
            got=encoding[:100],
        )
    accept = request.headers.get("accept", "")
    if writer_for(accept, default=reader).media_type != ARROW:
        raise NotAcceptable(
            "a stream is answered by one", at="headers.accept", expected=ARROW, got=accept[:100]
        )
