"""Every error lossd raises on purpose. Anything else that escapes is a bug and answers 500.

LossdError
├── UnreadableBody        400
├── SharedMemoryOff       403
├── UnknownLoss           404
├── UnknownRoute          404
├── UnknownRegion         404
├── MethodNotAllowed      405
├── NotAcceptable         406
├── Conflict              409
├── TooLarge              413
├── UnsupportedMediaType  415
├── BadRequest            422
│   ├── MissingInput
│   ├── UnexpectedInput
│   ├── WrongDtype
│   ├── WrongShape
│   ├── OutOfRange
│   ├── NotFinite
│   ├── BadParams
│   └── BadOption
├── InternalError         500
├── Unsupported           501
├── Overloaded            503
├── OutOfMemory           503
├── NotReady              503
└── DeadlineExceeded      504
"""

from collections.abc import Sequence
from typing import ClassVar


class LossdError(Exception):
    """Base of every error a caller can cause or must handle.

    `code` is a promise: SDKs switch on it, so it never changes. `message` is for people and may.
    `at` points into the request, e.g. `inputs.labels[3]`; empty when the whole request is at fault.
    `indices` names up to ten offending elements of the tensor at `at`.
    """

    code: ClassVar[str]
    status: ClassVar[int]  # a bare int, so that this module imports nothing of HTTP
    retry_after_s: ClassVar[int | None] = None

    def __init__(
        self,
        message: str,
        *,
        at: str = "",
        expected: str | None = None,
        got: str | None = None,
        indices: Sequence[Sequence[int]] | None = None,
    ) -> None:
        super().__init__(message)
        self.message, self.at = message, at
        self.expected, self.got, self.indices = expected, got, indices


class UnreadableBody(LossdError):
    """The bytes are not what the content type says."""

    code, status = "unreadable_body", 400


class SharedMemoryOff(LossdError):
    """Shared memory is not enabled on this service."""

    code, status = "shared_memory_off", 403


class UnknownLoss(LossdError):
    """No loss of that name is in the catalog."""

    code, status = "unknown_loss", 404


class UnknownRoute(LossdError):
    """Nothing is served at that path."""

    code, status = "unknown_route", 404


class UnknownRegion(LossdError):
    """No shared-memory region of that name is registered by this caller, or its file is gone."""

    code, status = "unknown_region", 404


class MethodNotAllowed(LossdError):
    """The path exists, but not for that method."""

    code, status = "method_not_allowed", 405


class NotAcceptable(LossdError):
    """No codec writes any of the formats that `Accept` names."""

    code, status = "not_acceptable", 406


class Conflict(LossdError):
    """Something of that name is there already."""

    code, status = "conflict", 409


class TooLarge(LossdError):
    """The body, or the number of elements it declares, is over the configured limit."""

    code, status = "too_large", 413


class UnsupportedMediaType(LossdError):
    """No codec reads that content type."""

    code, status = "unsupported_media_type", 415


class BadRequest(LossdError):
    """Decoded, but the loss cannot take it."""

    code, status = "bad_request", 422


class MissingInput(BadRequest):
    """A tensor the loss needs is not in the request."""

    code = "missing_input"


class UnexpectedInput(BadRequest):
    """A tensor is in the request that the loss does not take, or not beside another one."""

    code = "unexpected_input"


class WrongDtype(BadRequest):
    """A tensor holds the wrong kind of number, or something that is not a number."""

    code = "wrong_dtype"


class WrongShape(BadRequest):
    """A tensor is ragged, or its shape disagrees with the loss or with another tensor."""

    code = "wrong_shape"


class OutOfRange(BadRequest):
    """A value lies outside the range that the loss defines for it."""

    code = "out_of_range"


class NotFinite(BadRequest):
    """A value is NaN or infinite where the loss does not allow it."""

    code = "not_finite"


class BadParams(BadRequest):
    """A parameter of the loss is unknown, missing or out of range."""

    code = "bad_params"


class BadOption(BadRequest):
    """A field of the request other than inputs and params is unknown or has a wrong value."""

    code = "bad_option"


class InternalError(LossdError):
    """A bug in lossd. The request id finds it in the log."""

    code, status = "internal_error", 500


class Unsupported(LossdError):
    """A part of a protocol that lossd does not have."""

    code, status = "unsupported", 501


class Overloaded(LossdError):
    """The queue is full. Nothing was computed; the same call is safe to repeat."""

    code, status, retry_after_s = "overloaded", 503, 1


class OutOfMemory(LossdError):
    """The device has no memory for this call. Others go on; a smaller call may succeed."""

    code, status = "out_of_memory", 503


class NotReady(LossdError):
    """The service is starting or draining. Nothing was computed."""

    code, status, retry_after_s = "not_ready", 503, 2


class DeadlineExceeded(LossdError):
    """The call did not finish within the time limit."""

    code, status = "deadline_exceeded", 504
