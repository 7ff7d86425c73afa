"""`/livez`, `/readyz`, `/version`."""

import platform

import torch
from fastapi import APIRouter, Request

from lossd import __version__
from lossd.errors import NotReady

router = APIRouter(tags=["operation"])


@router.get("/livez", summary="Is the process alive?")
async def live() -> dict[str, str]:
    """200 as long as the event loop turns."""
    return {"status": "ok"}


@router.get("/readyz", summary="Should traffic come here?")
async def ready(request: Request) -> dict[str, str]:
    """200 once the first call would be answered at full speed; 503 before and while draining."""
    if not request.app.state.ready:
        raise NotReady("starting or draining")
    return {"status": "ok"}


@router.get("/version", summary="What runs here?")
async def version(request: Request) -> dict[str, str]:
    """Versions, and the device that computes."""
    return {
        "lossd": __version__,
        "torch": torch.__version__,
        "python": platform.python_version(),
        "device": str(request.app.state.engine.device),
    }
