"""`/v1/schedules`: coefficients that change from step to step."""

import math
from typing import Any

import orjson
from fastapi import APIRouter, Request, Response

from lossd.api.body import BodyReader
from lossd.api.depends import TheAdmission, TheEngine, TheSettings
from lossd.api.exchange import Incoming
from lossd.errors import BadOption, TooLarge, UnreadableBody
from lossd.objectives import CONTROLLERS, SCHEDULES, curve, describe, describe_controller

router = APIRouter(prefix="/v1/schedules", tags=["schedules"])
_MOST_BYTES = 4 << 20


@router.get("", summary="List the schedules")
def list_all() -> dict[str, list[dict[str, Any]]]:
    """Every schedule, with its formula and the JSON Schema of its parameters.

    `controllers` are no functions of the step: they follow the values of an objective's terms.
    """
    return {
        "schedules": [describe(each) for each in SCHEDULES.values()],
        "controllers": [describe_controller(each) for each in CONTROLLERS.values()],
    }


@router.post("/{schedule}", summary="The coefficients of a schedule")
async def coefficients(
    schedule: str,
    request: Request,
    engine: TheEngine,
    admission: TheAdmission,
    settings: TheSettings,
) -> Response:
    """`{"params": {...}, "steps": [0, 100, 200]}` gives `values`, one per step.

    A step is an integer from 0. What is beyond float64 is "Infinity" or "-Infinity".
    """
    with admission.enter() as lease:
        incoming = Incoming(request.scope["headers"], request.receive)
        body = await BodyReader(engine.buffers, settings).read(incoming, lease, in_place=False)
        return Response(
            await engine.off_loop(_answer, schedule, bytes(body)), media_type="application/json"
        )


def _answer(schedule: str, body: bytes) -> bytes:
    if len(body) > _MOST_BYTES:
        expected = f"at most {_MOST_BYTES} bytes"
        raise TooLarge("too long for steps", at="body", expected=expected, got=str(len(body)))
    try:
        asked = orjson.loads(body)
    except orjson.JSONDecodeError as err:
        raise UnreadableBody(f"not JSON: {err}", at="body") from err
    if not isinstance(asked, dict) or asked.keys() - {"params", "steps"}:
        raise BadOption("not a request", at="body", expected="an object with params and steps")
    answer = curve(schedule, asked.get("params", {}), asked.get("steps"))
    answer["values"] = [_as_json(x) for x in answer["values"]]
    return orjson.dumps(answer)


def _as_json(x: float) -> float | str:
    return x if math.isfinite(x) else "Infinity" if x > 0 else "-Infinity"
