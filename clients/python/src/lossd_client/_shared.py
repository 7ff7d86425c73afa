"""Calls whose large tensors go through shared memory."""

from collections.abc import Generator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, TypeVar

import numpy as np
from numpy.typing import NDArray

from lossd_client._arrays import Packed
from lossd_client._calls import Answer, Request, json_request
from lossd_client._memory import Bytes, Kind, Region, kinds
from lossd_client._oip import DATATYPES, Place, infer_request, read_infer
from lossd_client._pool import Pool
from lossd_client.errors import (
    BadRequest,
    Conflict,
    LossdError,
    TooLarge,
    UnknownRegion,
)
from lossd_client.result import Result, Sent

LEAST_BYTES = 64 * 1024  # of a tensor; for less, a socket is as fast
_ALIGNMENT = 64

T = TypeVar("T")
# What is done step by step: each request that it yields is sent by whoever runs it, blocking or
# not, and the answer is sent back in, or the error thrown.
Steps = Generator[Request, Answer, T]


class _Unusable(Exception):
    """This call cannot go through shared memory, though another may."""


@dataclass(frozen=True, slots=True)
class _Loss:
    """Of a loss: the inputs with gradients, the outputs without axes, those that are states."""

    differentiable: list[str]
    scalars: list[str]
    states: list[str]


class SharedCalls:
    """Makes calls through shared memory as long as the service takes it. Thread-safe.

    - `only`: of which kind the memory is; whatever works, the best first, if not given.
    - `least_bytes`: smaller tensors go over the connection.
    """

    def __init__(self, only: Kind | None, least_bytes: int) -> None:
        self._pool = Pool([each for each in kinds() if only in (None, each)])
        self._least_bytes = least_bytes
        self._losses: dict[str, _Loss] = {}

    def close(self) -> None:
        """Give all memory back; arrays that look at it stay good."""
        self._pool.close()

    def empty(self, shape: int | Sequence[int], dtype: Any) -> NDArray[Any]:
        """An array that calls take from where it is, if there is shared memory."""
        fresh = np.empty(shape, dtype)
        if fresh.nbytes < max(1, self._least_bytes) or fresh.dtype.hasobject:
            return fresh
        region = self._pool.take(fresh.nbytes)
        if region is None:
            return fresh
        flat = self._pool.lend(region)[: fresh.nbytes]
        return flat.view(fresh.dtype).reshape(fresh.shape)

    def call(
        self, loss: str, packed: Mapping[str, Packed], fields: Mapping[str, Any], sent: Sent
    ) -> Steps[Result | None]:
        """The result; None for a call that goes over the connection as well, or can only there.

        Raises `LossdError` for a call that is wrong however it travels. It may be made again as a
        whole: memory that an unfinished call may still write into is never used again.
        """
        large = [name for name, one in packed.items() if one.buffer.nbytes >= self._least_bytes]
        if not any(packed[name].buffer.nbytes for name in large):
            return None
        if any(one.dtype not in DATATYPES for one in packed.values()):
            return None
        while self._pool.kind is not None:
            call = _Call(self._pool, loss, packed, fields, sent)
            try:
                yield from call.put(large)
                known = yield from self._known(loss)
                yield from call.reserve(known.differentiable)
                return (yield from call.make(known))
            except _Unusable:
                return None
            except _Refused as refused:
                self._pool.refuse(refused.kind)
            finally:
                call.end()
        return None

    def _known(self, loss: str) -> Steps[_Loss]:
        if loss not in self._losses:
            answer = yield Request("GET", f"/v2/models/{loss}")
            try:
                outputs = {str(each["name"]): each["shape"] for each in answer.json()["outputs"]}
            except (KeyError, TypeError) as err:
                raise answer.unreadable(err) from err
            pairs = [name.partition(".") for name in outputs]
            differentiable = [name for head, _, name in pairs if head == "gradients"]
            # A size that is not known before the call is -1.
            scalars = [name for name, shape in outputs.items() if shape == [1]]
            states = [name for name in outputs if name.startswith("state.")]
            self._losses[loss] = _Loss(differentiable, scalars, states)
        return self._losses[loss]


class _Refused(Exception):
    """The service takes no memory of a kind; of none, if it is None."""

    def __init__(self, kind: Kind | None) -> None:
        super().__init__()
        self.kind = kind


class _Call:
    """One call: its tensors' places, and the regions that they are in."""

    def __init__(
        self,
        pool: Pool,
        loss: str,
        packed: Mapping[str, Packed],
        fields: Mapping[str, Any],
        sent: Sent,
    ) -> None:
        self._pool, self._loss, self._packed = pool, loss, packed
        self._fields, self._sent = fields, sent
        self._inputs: dict[str, Place] = {}
        self._outputs: dict[str, Place] = {}
        self._used: list[Region] = []
        self._scratch: Region | None = None
        self._answers: Region | None = None

    def put(self, names: Sequence[str]) -> Steps[None]:
        """Bring inputs into memory that the service knows; those that are there stay there."""
        copied = []
        for name in names:
            buffer = self._packed[name].buffer
            region = self._pool.find(buffer.ctypes.data, buffer.nbytes)
            if region is None:
                copied.append(name)
                continue
            offset = buffer.ctypes.data - region.address
            self._inputs[name] = Place(region.name, offset, buffer.nbytes)
            self._used.append(region)
        if copied:
            sizes = {name: self._packed[name].buffer.nbytes for name in copied}
            self._scratch, places = self._take(sizes)
            memory = self._scratch.array()
            for name, place in places.items():
                flat = self._packed[name].buffer.reshape(-1).view(np.uint8)
                memory[place.offset : place.offset + place.size] = flat
            self._inputs |= places
        yield from self._register()

    def reserve(self, differentiable: Sequence[str]) -> Steps[None]:
        """Find room for the gradients that come back whole."""
        if "gradients" not in self._fields.get("outputs", ("gradients",)):
            return
        if self._fields.get("gradient_form", "dense") != "dense":
            return
        heads = self._fields.get("wrt", differentiable)
        wanted = [name for name in self._packed if name.partition("/")[0] in heads]
        sizes = {f"gradients.{name}": self._gradient_bytes(name) for name in wanted}
        if any(sizes.values()):
            self._answers, self._outputs = self._take(sizes)
            yield from self._register()

    def make(self, known: _Loss) -> Steps[Result]:
        """Make the call.

        A service that was started anew is told of the memory once more.
        """
        request = infer_request(
            self._loss,
            self._packed,
            self._fields,
            self._inputs,
            self._outputs,
            self._more(known),
        )
        try:
            answer = yield from self._ask(request)
        except UnknownRegion:
            for region in self._used:
                region.is_registered = False
            yield from self._register()
            try:
                answer = yield from self._ask(request)
            except UnknownRegion as err:
                raise _Refused(self._used[0].kind) from err
        bare = [name for name, one in self._packed.items() if not one.shape]
        more = [f"{head}.{name}" for head in ("gradients", "proximal") for name in bare]
        return read_infer(answer, self._lend(answer), [*known.scalars, *more], self._sent)

    def _more(self, known: _Loss) -> list[str]:
        """The names of what is wanted beside value, rows and gradients."""
        wanted = self._fields.get("outputs", ())
        names = ["kept_indices"] if "kept_indices" in wanted else []
        names += known.states if "state" in wanted else []
        if "proximal" in wanted:
            heads = known.differentiable
            moved = [name for name in self._packed if name.partition("/")[0] in heads]
            names += [f"proximal.{name}" for name in moved]
        return names

    def end(self) -> None:
        """Bring the memory back that no array looks at."""
        for region in (self._scratch, self._answers):
            if region is not None:
                self._pool.give(region)
        self._scratch = self._answers = None

    def _ask(self, request: Request) -> Steps[Answer]:
        try:
            return (yield request)
        except LossdError as err:
            if err.status in (0, 502):
                self._retire()
            raise
        except BaseException:  # cancelled, or interrupted
            self._retire()
            raise

    def _retire(self) -> None:
        """The service may still be at it, and write gradients whenever it is done."""
        if self._answers is not None:
            self._pool.retire(self._answers)
            self._answers = None

    def _lend(self, answer: Answer) -> dict[str, Bytes]:
        if self._answers is None:
            return {}
        if answer.is_resent:  # the first one may still be under way, and inputs change from now on
            memory = self._answers.array().copy()
            self._retire()
        else:
            memory = self._pool.lend(self._answers)
            self._answers = None
        return {
            name: memory[place.offset : place.offset + place.size]
            for name, place in self._outputs.items()
        }

    def _take(self, sizes: Mapping[str, int]) -> tuple[Region, dict[str, Place]]:
        """A region with a place for each, one behind the other."""
        total = sum(_aligned(size) for size in sizes.values())
        region = self._pool.take(total)
        if region is None:
            raise _Unusable
        self._used.append(region)
        places, at = {}, 0
        for name, size in sizes.items():
            places[name] = Place(region.name, at, size)
            at += _aligned(size)
        return region, places

    def _register(self) -> Steps[None]:
        for region in self._used:
            if not region.is_registered:
                yield from _register(region)
                region.is_registered = True

    def _gradient_bytes(self, name: str) -> int:
        one = self._packed[name]
        own = one.dtype if "float" in one.dtype else "float32"
        dtype = self._fields.get("gradient_dtype", own)
        # A dtype that does not exist is the service's to refuse.
        width = {"float16": 2, "bfloat16": 2, "float32": 4}.get(str(dtype), 8)
        return int(one.buffer.size) * width


def shared_calls(wanted: bool | Kind, least_bytes: int) -> SharedCalls | None:
    """What a client was asked to have."""
    return SharedCalls(None if wanted is True else wanted, least_bytes) if wanted else None


def _register(region: Region) -> Steps[None]:
    body = {"key": region.key, "offset": 0, "byte_size": region.size}
    try:
        yield json_request(f"/v2/systemsharedmemory/region/{region.name}/register", body)
    except Conflict:
        pass  # by another thread
    except TooLarge as err:
        raise _Unusable from err
    except (UnknownRegion, BadRequest) as err:
        raise _Refused(region.kind) from err  # it is on another machine, or has other rules
    except LossdError as err:
        if err.status in (0, 429) or (err.status >= 500 and err.status != 501):
            raise
        raise _Refused(None) from err


def _aligned(size: int) -> int:
    return -(-size // _ALIGNMENT) * _ALIGNMENT
