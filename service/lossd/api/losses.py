"""`GET /v1/losses`: the catalog. Calls of its losses are answered by `LossCalls`."""

from typing import Annotated, Any

from fastapi import APIRouter, Query, Request

from lossd.schema.describe import describe, list_losses

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
