"""The blocking client."""

import time
from collections.abc import Callable, Mapping, Sequence
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
from lossd_client._line import Line
from lossd_client._memory import Kind
from lossd_client._retry import Retry
from lossd_client._shared import LEAST_BYTES, shared_calls
from lossd_client._wire import pack_all
from lossd_client.batch import Batch, Call
from lossd_client.errors import LossdError
from lossd_client.multitask import Balanced, Comparison, TaskOptions
from lossd_client.objective import Balance, ObjectiveResult, Schedule, Term
from lossd_client.result import Result
from lossd_client.transport import SocketTransport

if TYPE_CHECKING:
    from lossd_client.stream import Exchange, Stream


class Client:
    """A connection pool to one service. Close it, or use it in a `with` block. Thread-safe.

    - `base_url`: of the service; `LOSSD_URL` or http://127.0.0.1:8000 if not given.
    - `timeout_s`: to connect, and for each pause while sending and receiving.
    - `retry`: when to repeat; `Retry(times=0)` never does.
    - `uds`: path of the Unix socket of a service on this machine; `base_url` only names the host.
    - `shared_memory`: move large tensors through memory that is shared with a service on this
      machine (LOSSD_SHARED_MEMORY=1 there): True, or the kind that it must be of, "memfd" or "shm".
      Where the service takes none, they go over the connection as always. See `empty`.
    - `shared_memory_least_bytes`: smaller tensors go over the connection.
    - `transport`: of httpx, in place of `SocketTransport`, which copies no large body. Where the
      environment names a proxy for `base_url`, httpx's own transport is used.

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
        transport: httpx.BaseTransport | None = None,
        sleep: Callable[[float], None] = time.sleep,
    ) -> None:
        if uds is not None and transport is not None:
            raise ValueError("a transport of your own knows its address: give it the uds")
        self.base_url = _calls.base_url_or_default(base_url)
        if transport is None and (uds is not None or not _calls.is_proxied(self.base_url)):
            transport = SocketTransport(uds=uds)
        self._sockets = transport if isinstance(transport, SocketTransport) else None
        http = httpx.Client(
            base_url=self.base_url,
            timeout=timeout_s,
            headers=dict(headers or {}),
            transport=transport,
        )
        self._line = Line(http, self.base_url, retry, sleep)
        self._shared = shared_calls(shared_memory, shared_memory_least_bytes)

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self.close()

    def close(self) -> None:
        """Close the connections, and give shared memory back; arrays stay good."""
        if self._shared is not None:
            self._shared.close()
        self._line.http.close()

    def compute(
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

            >>> client.compute("focal", logits=x, labels=y, params={"gamma": 1.0}).value

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
            result = self._line.repeated(
                lambda: self._line.follow(shared.call(loss, packed, fields, sent))
            )
            if result is not None:
                return result
        request = _calls.compute_request(loss, packed, fields, sent)
        return _calls.read_result(self._line.send(request), sent)

    def batch(self, calls: Sequence[Call], tensors: Mapping[str, ArrayLike] | None = None) -> Batch:
        """Compute several losses of the same tensors, which are sent once.

            >>> inputs = {"logits": logits, "labels": labels}
            >>> found = client.batch([Call("focal", inputs, "f"), Call("brier", inputs, "b")])
            >>> found["f"].value

        A call that fails raises when its result is read, and the others are there. Raises what
        `compute` raises where the batch as a whole cannot be read.
        """
        asked = batches.ask(calls, tensors)
        return batches.read(self._line.send(asked.request), asked)

    def sweep(self, call: Call, points: Sequence[Mapping[str, Any]]) -> list[Result]:
        """Compute one loss of the same tensors at several parameters, which go over `call.params`.

            >>> client.sweep(Call("focal", inputs), [{"gamma": 0.0}, {"gamma": 2.0}])[1].value

        Raises what `compute` raises, for the first point that fails.
        """
        asked = batches.ask_sweep(call, points)
        return batches.read_sweep(self._line.send(asked.request), asked)

    def objective(
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
        """Compute several losses of named tensors as one, and the gradient of their weighted sum.

            >>> terms = [Term("cross_entropy", {"logits": "z", "labels": "y"}, "main"),
            ...          Term("l2_penalty", {"weights": "w"}, "decay", weight=1e-4)]
            >>> found = client.objective(terms, {"z": logits, "y": labels, "w": weights})
            >>> found.value, found.gradients["z"], found.terms["decay"].weighted_value

        - `step`: that schedules are taken at. `state`: that of the last step's answer.
        - `outputs`: "norms", "shares", "cosines", "rows" and "term_gradients" beside "value" and
          "gradients". `wrt`: names of tensors.

        Raises what `compute` raises.
        """
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
        return objectives.read(self._line.send(request))

    def schedule(self, schedule: Schedule, steps: Sequence[int]) -> NDArray[np.float64]:
        """The coefficients of a schedule at some steps.

            >>> client.schedule(Schedule("linear", start=0.0, end=1.0, steps=10), range(11))

        Raises what `compute` raises.
        """
        body = {"params": dict(schedule.params), "steps": list(steps)}
        answer = self._line.send(_calls.json_request(f"/v1/schedules/{schedule.name}", body))
        return np.array(answer.json()["values"], np.float64)

    def multitask(self, method: str, /, **options: Unpack[TaskOptions]) -> Balanced:
        """Balance the losses of several tasks by a method.

            >>> rows = np.stack([flat_gradient_of_task_1, flat_gradient_of_task_2])
            >>> found = client.multitask("pcgrad", gramian=rows @ rows.T, losses=losses, seed=step)
            >>> loss = sum(w * each for w, each in zip(found.weights, losses))

        Options are those of `TaskOptions`. Raises what `compute` raises.
        """
        return tasks.read(self._line.send(tasks.ask(method, options)))

    def compare_multitask(self, **options: Unpack[TaskOptions]) -> Comparison:
        """Every method's weights for the same tasks, side by side.

        Options are those of `TaskOptions`. Raises what `compute` raises.
        """
        return tasks.read_comparison(self._line.send(tasks.ask("compare", options)))

    def empty(self, shape: int | Sequence[int], dtype: Any = np.float32) -> NDArray[Any]:
        """An array of any content, in shared memory where there is some, else as of `np.empty`.

            >>> logits = client.empty((4096, 1000))
            >>> model.predict(batch, out=logits)
            >>> client.compute("cross_entropy", logits=logits, labels=labels)  # copies no logits

        A call takes such arrays, and parts of them, from where they are, whoever holds them (torch
        tensors too), if they are contiguous. Do not write to them while a call is under way.
        """
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
        windowed: bool | None = None,
        **shared_inputs: ArrayLike,
    ) -> "Stream":
        """Compute one loss of batches, each answered as it comes, in constant memory.

            >>> with client.stream("cross_entropy", "outputs.parquet") as stream:
            ...     for batch in stream:
            ...         print(batch["id"], batch.rows)
            >>> stream.summary.value

        `batches`: a pyarrow reader or table, the path of a Parquet file, or an iterable of record
        batches, tables or dicts of arrays. Columns by the names of the loss's inputs, `row_weights`
        and `cotangent` are read; others come back unchanged. Inputs that belong to no row, such as
        `class_weights`, are keywords. Gradients, if `outputs` names them, are those of the sum.

        - `ahead`: how many batches are sent before the answer to the first of them is read.
        - `most_batch_bytes`: larger batches are cut.
        - `windowed`: send each batch as a call of its own. Where a proxy or a `transport` other
          than `SocketTransport` cannot send and receive at once, that is the default.

        While it is iterated it raises what `compute` raises, with `at` like `batches[3].labels`,
        and what `batches` raises. Raises `ImportError` without pyarrow, `ValueError` for a stream
        that must not be windowed and cannot be otherwise.
        """
        _calls.need_pyarrow()
        from lossd_client import stream as streaming

        sockets = None if windowed else self._sockets
        if windowed is False and sockets is None:
            raise ValueError(
                "httpx and proxies cannot send and receive at once: expected windowed=True, or "
                "a SocketTransport"
            )
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

        def open_exchange() -> "Exchange":
            if sockets is None:
                return streaming.Windows(plan, self._line.send)
            return self._line.repeated(
                lambda: streaming.connected(plan, self._line.http, sockets, self.base_url)
            )

        return streaming.Stream(source, open_exchange)

    def losses(
        self, *, family: str | None = None, search: str | None = None, kind: str | None = None
    ) -> list[dict[str, Any]]:
        """The catalog, narrowed by family, by words, by the name of an input."""
        answer = self._line.send(_calls.list_request(family, search, kind)).json()
        found: list[dict[str, Any]] = answer["losses"]
        return found

    def describe(self, loss: str) -> dict[str, Any]:
        """Everything that the service knows of a loss. Raises `UnknownLoss`."""
        described: dict[str, Any] = self._line.send(
            _calls.Request("GET", f"/v1/losses/{loss}")
        ).json()
        return described

    def version(self) -> dict[str, str]:
        """Versions of the service, and the device that it computes on."""
        answered: dict[str, str] = self._line.send(_calls.Request("GET", "/version")).json()
        return answered

    def is_ready(self) -> bool:
        """Whether the service takes calls now."""
        try:
            self._line.once(_calls.Request("GET", "/readyz"))
        except LossdError:
            return False
        return True
