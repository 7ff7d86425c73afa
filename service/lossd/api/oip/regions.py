"""Shared memory: regions that callers register, list and forget."""

import hashlib
from collections.abc import Callable
from typing import Any

import msgspec
from fastapi import APIRouter, Request, Response

from lossd.api.depends import TheEngine, TheRegions
from lossd.api.oip.models import small_body
from lossd.errors import UnknownRegion, UnreadableBody, Unsupported
from lossd.store import Region

router = APIRouter(prefix="/v2")


class _Registration(msgspec.Struct):
    key: str
    byte_size: int
    offset: int = 0


_registration = msgspec.json.Decoder(_Registration)


def owner_of(header: Callable[[bytes], str]) -> str:
    """Whose regions a caller sees: those registered with the same key in the same header."""
    for name in (b"authorization", b"x-api-key"):
        if value := header(name):
            return hashlib.sha256(f"{name.decode()}:{value}".encode()).hexdigest()
    return ""


def _owner(request: Request) -> str:
    return owner_of(lambda name: request.headers.get(name.decode(), ""))


@router.get("/systemsharedmemory/status", summary="The caller's regions")
@router.get("/systemsharedmemory/region/{region:path}/status", include_in_schema=False)
async def status(
    request: Request, regions: TheRegions, engine: TheEngine, region: str | None = None
) -> list[dict[str, Any]]:
    owner = _owner(request)
    if region is not None:
        return [_as_json(await engine.off_loop(regions.find, region, owner))]
    return [_as_json(each) for each in await engine.off_loop(regions.status, owner)]


def _as_json(region: Region) -> dict[str, Any]:
    return {
        "name": region.name,
        "key": region.key,
        "offset": region.offset,
        "byte_size": region.byte_size,
    }


@router.post("/systemsharedmemory/region/{region:path}/register", summary="Name a part of a file")
async def register(
    region: str, request: Request, regions: TheRegions, engine: TheEngine
) -> Response:
    try:
        body = _registration.decode(await small_body(request))
    except (msgspec.DecodeError, UnicodeDecodeError, RecursionError) as err:
        raise UnreadableBody(f"not a registration: {err}"[:300], at="body") from err
    await engine.off_loop(
        regions.register,
        region,
        _owner(request),
        key=body.key,
        offset=body.offset,
        byte_size=body.byte_size,
    )
    return Response()


@router.post("/systemsharedmemory/unregister", summary="Forget all of the caller's regions")
@router.post("/systemsharedmemory/region/{region:path}/unregister", include_in_schema=False)
async def unregister(
    request: Request, regions: TheRegions, engine: TheEngine, region: str | None = None
) -> Response:
    await engine.off_loop(regions.unregister, region, _owner(request))
    return Response()


# There are no regions on a device, which is what these two say truthfully.
@router.get("/cudasharedmemory/status", include_in_schema=False)
@router.get("/cudasharedmemory/region/{region:path}/status", include_in_schema=False)
async def cuda_status(region: str | None = None) -> list[dict[str, Any]]:
    if region is not None:
        raise UnknownRegion(f"Unable to find cuda shared memory region: {region[:100]!r}")
    return []


@router.post("/cudasharedmemory/unregister", include_in_schema=False)
@router.post("/cudasharedmemory/region/{region:path}/unregister", include_in_schema=False)
async def cuda_unregister() -> Response:
    return Response()


@router.post("/cudasharedmemory/region/{region:path}/register", include_in_schema=False)
async def cuda_register() -> None:
    raise Unsupported("regions on a CUDA device cannot be registered here", at="path")
