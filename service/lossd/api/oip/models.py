"""Every loss as a model: health, metadata, configuration, statistics, index."""

from typing import Any

import msgspec
from fastapi import APIRouter, Request, Response

from lossd import __version__
from lossd.api.depends import TheRegions, TheStatistics
from lossd.errors import MethodNotAllowed, NotReady, UnknownLoss, UnreadableBody, Unsupported
from lossd.losses import CATALOG, LossSpec, find
from lossd.schema import oip
from lossd.store import ModelStatistics

router = APIRouter(prefix="/v2")
_EXTENSIONS = ("classification", "model_repository", "model_configuration",
               "binary_tensor_data", "parameters", "statistics")  # fmt: skip

_NOT_POST = ["GET", "HEAD", "PUT", "PATCH", "DELETE"]


def find_model(model: str, version: str | None = None) -> LossSpec:
    """A loss, and the version of it that is served. Raises `UnknownLoss`."""
    spec = find(model)
    if version is None or version == str(spec.version):
        return spec
    raise UnknownLoss(
        f"{model} has no version {version[:20]!r}",
        at="version",
        expected=str(spec.version),
        got=version[:20],
    )


@router.get("", summary="The server, and the extensions that it has")
async def server(regions: TheRegions) -> dict[str, Any]:
    extensions = [*_EXTENSIONS, *(["system_shared_memory"] if regions.enabled else [])]
    return {"name": "lossd", "version": __version__, "extensions": extensions}


@router.get("/health/live", summary="Is the process alive?")
async def live() -> dict[str, bool]:
    return {"live": True}


@router.get("/health/ready", summary="Should traffic come here?")
async def ready(request: Request) -> dict[str, bool]:
    _check_ready(request)
    return {"ready": True}


def _check_ready(request: Request) -> None:
    if not request.app.state.ready:
        raise NotReady("starting or draining")


@router.get("/models", summary="The names of the models")
async def models() -> dict[str, list[str]]:
    return {"models": sorted(CATALOG)}


@router.api_route("/models/{model}/infer", methods=_NOT_POST, include_in_schema=False)
@router.api_route(
    "/models/{model}/versions/{version}/infer", methods=_NOT_POST, include_in_schema=False
)
async def infer_otherwise(request: Request) -> None:
    """Inference itself is answered before the router is asked."""
    raise MethodNotAllowed(
        "inference is asked for by POST", at="method", expected="POST", got=request.method[:20]
    )


@router.get("/models/stats", summary="Statistics of every model")
async def all_stats(statistics: TheStatistics) -> dict[str, Any]:
    return {"model_stats": [_stats(CATALOG[name], statistics.of(name)) for name in sorted(CATALOG)]}


@router.get("/models/{model}", summary="Inputs and outputs of a model")
@router.get("/models/{model}/versions/{version}", include_in_schema=False)
async def metadata(model: str, version: str | None = None) -> dict[str, Any]:
    return oip.metadata(find_model(model, version))


@router.get("/models/{model}/ready", summary="Can a model be called?")
@router.get("/models/{model}/versions/{version}/ready", include_in_schema=False)
async def model_ready(request: Request, model: str, version: str | None = None) -> dict[str, Any]:
    spec = find_model(model, version)
    _check_ready(request)
    return {"name": spec.name, "ready": True}


@router.get("/models/{model}/config", summary="The configuration of a model, as Triton has it")
@router.get("/models/{model}/versions/{version}/config", include_in_schema=False)
async def config(model: str, version: str | None = None) -> dict[str, Any]:
    return oip.config(find_model(model, version))


@router.get("/models/{model}/stats", summary="Statistics of a model, over all workers")
@router.get("/models/{model}/versions/{version}/stats", include_in_schema=False)
async def stats(
    model: str, statistics: TheStatistics, version: str | None = None
) -> dict[str, Any]:
    spec = find_model(model, version)
    return {"model_stats": [_stats(spec, statistics.of(spec.name))]}


@router.post("/repository/index", summary="Every model and its state")
async def index(request: Request) -> list[dict[str, Any]]:
    body = await small_body(request)
    try:
        msgspec.json.decode(body or b"{}", type=dict[str, Any])
    except (msgspec.DecodeError, UnicodeDecodeError, RecursionError) as err:
        raise UnreadableBody(f"not a JSON object: {err}"[:300], at="body") from err
    return [
        {"name": spec.name, "version": str(spec.version), "state": "READY"}
        for _, spec in sorted(CATALOG.items())
    ]


@router.post("/repository/models/{model}/load", summary="A loss is always loaded")
async def load(model: str) -> Response:
    find_model(model)
    return Response()


@router.post("/repository/models/{model}/unload", summary="A loss cannot be unloaded")
async def unload(model: str) -> None:
    find_model(model)
    raise Unsupported("losses are part of the service and cannot be unloaded", at="path")


@router.api_route("/trace/setting", methods=["GET", "POST"], include_in_schema=False)
@router.api_route("/models/{model}/trace/setting", methods=["GET", "POST"], include_in_schema=False)
@router.api_route("/logging", methods=["GET", "POST"], include_in_schema=False)
async def not_here(request: Request) -> None:
    raise Unsupported(f"lossd does not have {request.url.path[:100]}", at="path")


async def small_body(request: Request, most_bytes: int = 1 << 16) -> bytes:
    """A body that has no reason to be long. Raises `UnreadableBody` if it is."""
    body = b""
    async for chunk in request.stream():
        body += chunk
        if len(body) > most_bytes:
            raise UnreadableBody("too long", at="body", expected=f"at most {most_bytes} bytes")
    return body


def _stats(spec: LossSpec, now: ModelStatistics) -> dict[str, Any]:
    def total(count: int, ns: int) -> dict[str, int]:
        return {"count": count, "ns": ns}

    done = now.success
    return {
        "name": spec.name,
        "version": str(spec.version),
        "last_inference": now.last_ms,
        "inference_count": now.items,
        "execution_count": now.executions,
        "inference_stats": {
            "success": total(done, now.success_ns),
            "fail": total(now.fail, now.fail_ns),
            "queue": total(done, now.queue_ns),
            "compute_input": total(done, now.input_ns),
            "compute_infer": total(done, now.infer_ns),
            "compute_output": total(done, now.output_ns),
            "cache_hit": total(0, 0),
            "cache_miss": total(0, 0),
        },
        "response_stats": {},
        "batch_stats": [],
        "memory_usage": [],
    }
