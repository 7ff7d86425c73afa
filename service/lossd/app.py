"""The composition root: the only module that knows every other."""

import gc
import shutil
import tempfile
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import numpy as np
import orjson
from fastapi import FastAPI, Request, Response
from starlette.types import Receive, Scope, Send

from lossd import __version__
from lossd.api import (
    batches,
    health,
    losses,
    multitask,
    objectives,
    oip,
    problem,
    schedules,
    streams,
)
from lossd.api.at_once import AtOnce
from lossd.api.calls import LossCalls
from lossd.api.edge import Edge
from lossd.api.exchange import Hots
from lossd.api.openapi import build_openapi
from lossd.engine import Admission, Engine
from lossd.losses import CATALOG
from lossd.settings import Settings
from lossd.store import Regions, Statistics


def create_app(settings: Settings | None = None) -> FastAPI:
    """The service as an ASGI app. Settings come from the environment unless given."""
    settings = settings or Settings()
    engine = Engine(
        settings.device,
        lanes=settings.lanes,
        threads=settings.threads,
        workers=settings.workers,
        pool_bytes=settings.pool_bytes,
        max_elements=settings.max_elements,
        block_bytes=settings.block_bytes,
        pinned_bytes=settings.pinned_bytes,
        max_linear_logits=settings.max_linear_logits,
    )
    admission = Admission(max_requests=settings.max_queue, max_bytes=settings.max_bytes_in_flight)

    folder = _state_folder(settings)
    statistics = Statistics(folder, list(CATALOG))
    regions = Regions(
        folder,
        enabled=settings.shared_memory,
        prefix=settings.shared_memory_prefix,
        most=settings.max_regions,
        most_mapped_bytes=settings.max_mapped_bytes,
        allocate=lambda size: engine.buffers.take((size,), np.uint8),
    )

    @asynccontextmanager
    async def lifespan(app: FastAPI) -> AsyncIterator[None]:
        await engine.off_loop(engine.warm_up)
        await engine.off_loop(app.openapi)
        gc.collect()  # what is garbage now would stay for good
        gc.freeze()  # what is there now stays: no collection need look at it again
        app.state.ready = True
        yield
        app.state.ready = False
        engine.close()
        regions.close()
        statistics.close()
        if settings.state_dir is None:
            shutil.rmtree(folder, ignore_errors=True)

    hots: Hots = {
        "/v1/losses/": LossCalls(engine, admission, settings),
        batches.PATH: batches.LossBatches(engine, admission, settings),
        objectives.PATH: objectives.Objectives(engine, admission, settings),
        "/v2/models/": oip.Inferences(engine, admission, settings, regions, statistics),
    }
    app = _Service(title="lossd", version=__version__, lifespan=lifespan, hots=hots)
    app.state.at_once = AtOnce(hots)
    app.state.engine, app.state.settings, app.state.ready = engine, settings, False
    app.state.admission = admission
    app.state.regions, app.state.statistics = regions, statistics
    app.include_router(losses.router)
    app.include_router(batches.router)
    app.include_router(oip.router)
    app.include_router(streams.router)
    app.include_router(schedules.router)
    app.include_router(objectives.router)
    app.include_router(multitask.router)
    app.include_router(health.router)
    problem.install(app)
    _serve_openapi(app)
    return app


class _Service(FastAPI):
    """FastAPI behind the edge, which is outside everything that FastAPI itself does."""

    def __init__(self, *, hots: Hots, **named: Any) -> None:
        super().__init__(**named)
        self._edge = Edge(super().__call__, hots)

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Serve a request."""
        await self._edge(scope, receive, send)


def _state_folder(settings: Settings) -> Path:
    """The folder that the workers share; nobody else may look into it."""
    if settings.state_dir is None:
        return Path(tempfile.mkdtemp(prefix="lossd-"))
    settings.state_dir.mkdir(mode=0o700, parents=True, exist_ok=True)
    return settings.state_dir


def _serve_openapi(app: FastAPI) -> None:
    """Build the document once, and write it once: it is megabytes."""
    written = b""

    def openapi() -> dict[str, Any]:
        nonlocal written
        if app.openapi_schema is None:
            app.openapi_schema = build_openapi(app)
            written = orjson.dumps(app.openapi_schema)
        return app.openapi_schema

    async def serve(_: Request) -> Response:
        openapi()
        return Response(written, media_type="application/json")

    app.openapi = openapi  # type: ignore[method-assign] # FastAPI's documented way to replace it
    path = str(app.openapi_url)
    app.router.routes = [each for each in app.router.routes if getattr(each, "path", "") != path]
    app.add_route(path, serve, include_in_schema=False)
