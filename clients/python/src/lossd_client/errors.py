"""Every error of the service, by the name and `code` that it has there.

LossdError
├── UnreadableBody, UnknownLoss, UnknownRoute, MethodNotAllowed, NotAcceptable, TooLarge,
│   UnsupportedMediaType, InternalError, Overloaded, OutOfMemory, NotReady, DeadlineExceeded
├── BadRequest
│   └── MissingInput, UnexpectedInput, WrongDtype, WrongShape, OutOfRange, NotFinite, BadParams,
│       BadOption
├── ConnectionFailed  no answer came
└── TimedOut          no answer came in time
"""

from collections.abc import Mapping
from types import MappingProxyType
from typing import Any


class LossdError(Exception):
    """The service said no, or could not be asked.

    - `code`: stable, empty if no service answered. `status`: of HTTP, 0 likewise.
    - `at`: points into what was sent; `expected`, `got`, `indices` say more where there is more.
    - `request_id`: finds the request in the service's log.
    - `retry_after_s`: seconds after which the service asks to be tried again, or None.
    """

    def __init__(
        self,
        detail: str,
        *,
        code: str = "",
        status: int = 0,
        at: str = "",
        expected: str | None = None,
        got: str | None = None,
        indices: list[list[int]] | None = None,
        request_id: str = "",
        retry_after_s: float | None = None,
    ) -> None:
        parts = [detail, f"at {at}" if at else "", f"expected {expected}" if expected else ""]
        parts += [f"got {got}" if got else "", f"indices {indices}" if indices else ""]
        super().__init__("; ".join(part for part in parts if part))
        self.detail, self.code, self.status, self.at = detail, code, status, at
        self.expected, self.got, self.indices = expected, got, indices
        self.request_id, self.retry_after_s = request_id, retry_after_s


class UnreadableBody(LossdError):
    """The bytes sent are not what their content type says."""


class UnknownLoss(LossdError):
    """No loss of that name; `expected` is the nearest one."""


class UnknownRoute(LossdError):
    """Nothing is served at that path."""


class UnknownRegion(LossdError):
    """No such shared memory, or none that the service can see."""


class SharedMemoryOff(LossdError):
    """The service takes no shared memory."""


class Conflict(LossdError):
    """Something of that name is there already."""


class Unsupported(LossdError):
    """A part of a protocol that the service does not have."""


class MethodNotAllowed(LossdError):
    """The path exists, but not for that method."""


class NotAcceptable(LossdError):
    """No format that was asked for is written there."""


class TooLarge(LossdError):
    """Over the service's limit of bytes or elements."""


class UnsupportedMediaType(LossdError):
    """No such format is read there."""


class BadRequest(LossdError):
    """The call itself is wrong; sending it again cannot help."""


class MissingInput(BadRequest):
    """A tensor the loss needs is not in the call."""


class UnexpectedInput(BadRequest):
    """A tensor that the loss does not take, or not beside another one."""


class WrongDtype(BadRequest):
    """A tensor holds the wrong kind of number."""


class WrongShape(BadRequest):
    """A shape disagrees with the loss, or with another tensor."""


class OutOfRange(BadRequest):
    """A value lies outside the range that the loss defines for it."""


class NotFinite(BadRequest):
    """A value is NaN or infinite where the loss does not allow it."""


class BadParams(BadRequest):
    """A parameter is unknown, missing or out of range."""


class BadOption(BadRequest):
    """An option of the call is unknown or has a wrong value."""


class InternalError(LossdError):
    """A bug in the service."""


class Overloaded(LossdError):
    """The queue is full; nothing was computed."""


class OutOfMemory(LossdError):
    """No memory for this call; a smaller one may succeed."""


class NotReady(LossdError):
    """The service is starting or draining; nothing was computed."""


class DeadlineExceeded(LossdError):
    """The call could not be done within the service's time limit."""


class ConnectionFailed(LossdError):
    """No answer came: nobody listens there, or the connection broke."""


class TimedOut(LossdError):
    """No answer came within the client's time limit."""


ERRORS: Mapping[str, type[LossdError]] = MappingProxyType(
    {
        "unreadable_body": UnreadableBody,
        "unknown_loss": UnknownLoss,
        "unknown_route": UnknownRoute,
        "unknown_region": UnknownRegion,
        "shared_memory_off": SharedMemoryOff,
        "conflict": Conflict,
        "unsupported": Unsupported,
        "method_not_allowed": MethodNotAllowed,
        "not_acceptable": NotAcceptable,
        "too_large": TooLarge,
        "unsupported_media_type": UnsupportedMediaType,
        "bad_request": BadRequest,
        "missing_input": MissingInput,
        "unexpected_input": UnexpectedInput,
        "wrong_dtype": WrongDtype,
        "wrong_shape": WrongShape,
        "out_of_range": OutOfRange,
        "not_finite": NotFinite,
        "bad_params": BadParams,
        "bad_option": BadOption,
        "internal_error": InternalError,
        "overloaded": Overloaded,
        "out_of_memory": OutOfMemory,
        "not_ready": NotReady,
        "deadline_exceeded": DeadlineExceeded,
    }
)


def from_problem(
    problem: Any, *, status: int, request_id: str, retry_after_s: float | None
) -> LossdError:
    """The error that a problem document describes; `LossdError` itself for an unknown code."""
    if not isinstance(problem, dict) or not isinstance(problem.get("code"), str):
        detail = f"the service answered {status}, and not in a form that lossd uses"
        return LossdError(detail, status=status, request_id=request_id, retry_after_s=retry_after_s)
    kind = ERRORS.get(problem["code"], LossdError)
    return kind(
        str(problem.get("detail", "")),
        code=problem["code"],
        status=status,
        at=str(problem.get("at", "")),
        expected=problem.get("expected"),
        got=problem.get("got"),
        indices=problem.get("indices"),
        request_id=request_id,
        retry_after_s=retry_after_s,
    )
