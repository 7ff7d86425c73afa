"""The client for asyncio."""

import asyncio
from collections.abc import Awaitable, Callable, Mapping, Sequence
from types import TracebackType
from typing import TYPE_CHECKING, Any, Self, Unpack

import httpx
import numpy as np
from numpy.typing import NDArray

from lossd_client import _calls
from lossd_client import batch as batches
from lossd_client import multitask as tasks
from lossd_client import objective as objectives
from lossd_client._arrays import ArrayLike
from lossd_client._async_line import AsyncLine
from lossd_client._memory import Kind
from lossd_client._retry import Retry
from lossd_client._shared import LEAST_BYTES, shared_calls
from lossd_client._wire import pack_all
from lossd_client.batch import Batch, Call
from lossd_client.errors import LossdError
from lossd_client.multitask import Balanced, Comparison, TaskOptions
from lossd_client.objective import Balance, ObjectiveResult, Schedule, Term
from lossd_client.result import Result

if TYPE_CHECKING:
    from lossd_client.stream import AsyncStream


class AsyncClient:
    """A connection pool to one service. Close it, or use it in an `async with` block.

    - `base_url`: of the service; `LOSSD_URL` or http://127.0.0.1:8000 if not given.
    - `timeout_s`: to connect, and for each pause while sending and receiving.
    - `retry`: when to repeat; `Retry(times=0)` never does.
    - `uds`: path of the Unix socket of a service on this machine; `base_url` only names the host.
    - `shared_memory`, `shared_memory_least_bytes`: as of `Client`. Tensors are copied into shared
      memory on the event loop, which takes about a millisecond for 8 MiB; `empty` spares it.
    - `transport`: of httpx, in place of its own.

    Raises `ValueError` for both a `uds` and a `transport`.
    """

    def __init__(
        self,
        base_url: str | None = None,
        *,
        timeout_s: float = 30.0,
        retry: Retry | None = None,
        headers: Mapping[str, str] | None = None,
        uds: str | None = None,
        shared_memory: bool | Kind = False,
        shared_memory_least_bytes: int = LEAST_BYTES,
        transport: httpx.AsyncBaseTransport | None = None,
        sleep: Callable[[float], Awaitable[None]] = asyncio.sleep,
    ) -> None:
        if uds is not None and transport is not None:
            raise ValueError("a transport of your own knows its address: give it the uds")
        self.base_url = _calls.base_url_or_default(base_url)
        if uds is not None:
            transport = httpx.AsyncHTTPTransport(uds=uds)
        http = httpx.AsyncClient(
            base_url=self.base_url,
            timeout=timeout_s,
            headers=dict(headers or {}),
            transport=transport,
        )
        self._line = AsyncLine(http, self.base_url, retry, sleep)
        self._shared = shared_calls(shared_memory, shared_memory_least_bytes)

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        await self.close()

    async def close(self) -> None:
        """Close the connections, and give shared memory back; arrays stay good."""
        if self._shared is not None:
            self._shared.close()
        await self._line.http.aclose()

    async def compute(
        self,
        loss: str,
        /,
        *,
        params: Mapping[str, Any] | None = None,
        reduction: str | None = None,
        outputs: Sequence[str] | None = None,
        wrt: Sequence[str] | None = None,
        row_weights: ArrayLike | None = None,
        cotangent: ArrayLike | None = None,
        gradient_dtype: str | None = None,
        gradient_form: str | None = None,
        gradient_top_k: int | None = None,
        mining: Mapping[str, Any] | None = None,
        proximal_step: float | None = None,
        nonfinite: str | None = None,
        class_axis: int | None = None,
        inputs: Mapping[str, ArrayLike] | None = None,
        **named_inputs: ArrayLike,
    ) -> Result:
        """Compute one loss and its gradients.

            >>> (await client.compute("focal", logits=x, labels=y, params={"gamma": 1.0})).value

        Inputs are keywords, or a mapping `inputs`; a group of tensors is a dict of arrays.
        `outputs` of "value", "rows", "gradients" says what to answer (value and gradients); "state"
        adds the new state of a loss that has one, "proximal" a penalty's proximal operator.
        `mining` of {"method": "ohem", "keep_fraction": 0.25}, or by other methods, makes only the
        hardest items count, whose places the output "kept_indices" gives.

        Raises `BadRequest` and its kinds if the call cannot succeed as sent, other kinds of
        `LossdError` if it may elsewhere or later, `TypeError` for an input that holds no numbers.
        """
        fields = _calls.fields_of(
            params,
            outputs,
            wrt,
            reduction=reduction,
            gradient_dtype=gradient_dtype,
            gradient_form=gradient_form,
            gradient_top_k=gradient_top_k,
            mining=None if mining is None else dict(mining),
            proximal_step=proximal_step,
            nonfinite=nonfinite,
            class_axis=class_axis,
        )
        named = {**(inputs or {}), **named_inputs}
        beside = {"row_weights": row_weights, "cotangent": cotangent}
        packed = pack_all(_calls.given({**named, **beside}))
        sent = _calls.sent_of(named, fields)
        if (shared := self._shared) is not None:
            result = await self._line.repeated(
                lambda: self._line.follow(shared.call(loss, packed, fields, sent))
            )
            if result is not None:
                return result
        request = _calls.compute_request(loss, packed, fields, sent)
        return _calls.read_result(await self._line.send(request), sent)

    async def batch(
        self, calls: Sequence[Call], tensors: Mapping[str, ArrayLike] | None = None
    ) -> Batch:
        """Compute several losses of the same tensors, as of `Client`."""
        asked = batches.ask(calls, tensors)
        return batches.read(await self._line.send(asked.request), asked)

    async def sweep(self, call: Call, points: Sequence[Mapping[str, Any]]) -> list[Result]:
        """Compute one loss at several parameters, as of `Client`."""
        asked = batches.ask_sweep(call, points)
        return batches.read_sweep(await self._line.send(asked.request), asked)

    async def objective(
        self,
        terms: Sequence[Term],
        tensors: Mapping[str, ArrayLike],
        *,
        step: int | None = None,
        outputs: Sequence[str] | None = None,
        wrt: Sequence[str] | None = None,
        balance: Balance | None = None,
        state: Mapping[str, Any] | None = None,
        gradient_dtype: str | None = None,
        nonfinite: str | None = None,
    ) -> ObjectiveResult:
        """Compute several losses of named tensors as one, as of `Client`."""
        request = objectives.ask(
            terms,
            tensors,
            state=state,
            balance=balance,
            step=step,
            outputs=None if outputs is None else list(outputs),
            wrt=None if wrt is None else list(wrt),
            gradient_dtype=gradient_dtype,
            nonfinite=nonfinite,
        )
        return objectives.read(await self._line.send(request))

    async def schedule(self, schedule: Schedule, steps: Sequence[int]) -> NDArray[np.float64]:
        """The coefficients of a schedule at some steps, as of `Client`."""
        body = {"params": dict(schedule.params), "steps": list(steps)}
        answer = await self._line.send(_calls.json_request(f"/v1/schedules/{schedule.name}", body))
        return np.array(answer.json()["values"], np.float64)

    async def multitask(self, method: str, /, **options: Unpack[TaskOptions]) -> Balanced:
        """Balance the losses of several tasks by a method, as of `Client`."""
        return tasks.read(await self._line.send(tasks.ask(method, options)))

    async def compare_multitask(self, **options: Unpack[TaskOptions]) -> Comparison:
        """Every method's weights for the same tasks, as of `Client`."""
        return tasks.read_comparison(await self._line.send(tasks.ask("compare", options)))

    def empty(self, shape: int | Sequence[int], dtype: Any = np.float32) -> NDArray[Any]:
        """An array that calls take from where it is, as of `Client`."""
        return np.empty(shape, dtype) if self._shared is None else self._shared.empty(shape, dtype)

    def stream(
        self,
        loss: str,
        batches: Any,
        /,
        *,
        params: Mapping[str, Any] | None = None,
        reduction: str | None = None,
        outputs: Sequence[str] | None = None,
        wrt: Sequence[str] | None = None,
        gradient_dtype: str | None = None,
        gradient_form: str | None = None,
        gradient_top_k: int | None = None,
        nonfinite: str | None = None,
        class_axis: int | None = None,
        inputs: Mapping[str, ArrayLike] | None = None,
        ahead: int = 2,
        most_batch_bytes: int = 4 * 1024**2,
        **shared_inputs: ArrayLike,
    ) -> "AsyncStream":
        """Compute one loss of batches, each answered as it comes, in constant memory.

            >>> async with client.stream("cross_entropy", "outputs.parquet") as stream:
            ...     async for batch in stream:
            ...         print(batch["id"], batch.rows)

        As `Client.stream`, and `batches` may be an asynchronous iterable too. Each batch is a call
        of its own, repeated as any other; up to `ahead` of them are under way at once.
        """
        _calls.need_pyarrow()
        from lossd_client import stream as streaming

        fields = _calls.fields_of(
            params,
            outputs,
            wrt,
            reduction=reduction,
            gradient_dtype=gradient_dtype,
            gradient_form=gradient_form,
            gradient_top_k=gradient_top_k,
            nonfinite=nonfinite,
            class_axis=class_axis,
        )
        plan = streaming.Plan(loss, fields, _calls.given({**(inputs or {}), **shared_inputs}))
        source = streaming.Source(batches, most_batch_bytes, ahead)
        return streaming.AsyncStream(source, plan, self._line.send)

    async def losses(
        self, *, family: str | None = None, search: str | None = None, kind: str | None = None
    ) -> list[dict[str, Any]]:
        """The catalog, narrowed by family, by words, by the name of an input."""
        answer = (await self._line.send(_calls.list_request(family, search, kind))).json()
        found: list[dict[str, Any]] = answer["losses"]
        return found

    async def describe(self, loss: str) -> dict[str, Any]:
        """Everything that the service knows of a loss. Raises `UnknownLoss`."""
        described: dict[str, Any] = (
            await self._line.send(_calls.Request("GET", f"/v1/losses/{loss}"))
        ).json()
        return described

    async def version(self) -> dict[str, str]:
        """Versions of the service, and the device that it computes on."""
        answered: dict[str, str] = (await self._line.send(_calls.Request("GET", "/version"))).json()
        return answered

    async def is_ready(self) -> bool:
        """Whether the service takes calls now."""
        try:
            await self._line.once(_calls.Request("GET", "/readyz"))
        except LossdError:
            return False
        return True
