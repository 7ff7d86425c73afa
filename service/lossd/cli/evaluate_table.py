"""`lossd eval --inputs`: a loss of a table, in process or on a service, in constant memory.

pyarrow is the extra `arrow`; import this only where a table is named.
"""

import base64
import json
import os
import re
from collections.abc import Collection, Iterator
from contextlib import contextmanager, nullcontext
from pathlib import Path
from typing import Any, Protocol

import httpx
import pyarrow as pa
import torch
from torch import Tensor

from lossd.cli.progress import Progress
from lossd.cli.remote import client, post
from lossd.cli.tables import reading, writing
from lossd.engine import Fold, compute, pick_device
from lossd.errors import LossdError, UnreadableBody
from lossd.losses import find
from lossd.schema import Result, Warned
from lossd.schema.options import Reduction, parse_params
from lossd.schema.stream import BatchStream, streamable
from lossd.wire import ARROW, Message
from lossd.wire.arrow_stream import BatchWriter

_NO_LIMIT = 1 << 62
_PLACE = re.compile(r"(?:batches\[\d+\]|inputs)\.(.+)")


def evaluate_table(
    loss: str, inputs: Path, out: Path | None, request: Message, url: str | None
) -> Message:
    """The summary of a table; its rows and gradients go to `out`, beside its other columns.

    `request` holds the other fields of the call, and the inputs that belong to no row. Raises
    `LossdError`; errors about a column name it, and rows of the whole table.
    """
    streamable(loss)
    with (
        reading(inputs) as table,
        writing(out) if out else nullcontext() as sink,
        client(url) if url else nullcontext() as http,
        Progress(table.rows) as progress,
    ):
        schema = _described(table.schema, request)
        answers = There(loss, schema, http) if http else Here(loss, schema)
        rows = 0
        for batch in table.batches:
            with _placing(schema.names, rows):
                answer = answers.answer(pa.RecordBatch.from_arrays(batch.columns, schema=schema))
            if sink:
                sink.write(answer)
            rows += batch.num_rows
            progress.add(batch.num_rows)
        if not rows:
            empty = answers.empty()
            if sink:
                sink.write(empty)
        return _as_message(answers.summary(request.fields.get("reduction")))


def _described(schema: Any, request: Message) -> Any:
    """The schema with the call's other fields, in the place of its own metadata."""
    fields = dict(request.fields) | {"reduction": "sum"}
    texts = {name: json.dumps(value) for name, value in fields.items()}
    texts["inputs"] = json.dumps({name: _tensor(x) for name, x in request.tensors.items()})
    return schema.with_metadata(texts)


def _tensor(x: Tensor) -> dict[str, Any]:
    data = bytes(x.contiguous().reshape(-1).view(torch.uint8).numpy())
    dtype = str(x.dtype).removeprefix("torch.")
    return {"dtype": dtype, "shape": list(x.shape), "data": base64.b64encode(data).decode()}


@contextmanager
def _placing(columns: Collection[str], first_row: int) -> Iterator[None]:
    """Errors about a column name it, and the rows of the table in place of those of the batch."""
    try:
        yield
    except LossdError as err:
        found = _PLACE.fullmatch(err.at)
        name = found[1] if found else err.at
        if name in columns:
            err.at = f"columns.{name}"
            if err.indices is not None:
                err.indices = [[first_row + row, *rest] for row, *rest in err.indices]
        raise


class Answers(Protocol):
    """Computes batch after batch."""

    def answer(self, batch: Any) -> Any:
        """The answer to a batch that has rows. Raises `LossdError`."""

    def empty(self) -> Any:
        """The answer to no rows at all."""

    def summary(self, reduction: Reduction | None) -> dict[str, Any]:
        """What all of them come to."""


class Here:
    """In this process, on `LOSSD_DEVICE`."""

    def __init__(self, loss: str, schema: Any) -> None:
        self._stream = BatchStream(loss, schema, _NO_LIMIT)
        self._device = pick_device(os.environ.get("LOSSD_DEVICE", "auto"))
        self._fold = Fold()

    def answer(self, batch: Any) -> Any:
        """The answer to a batch that has rows. Raises `LossdError`."""
        call = self._stream.call_of(batch)
        assert call is not None
        result = compute(call, self._device)
        self._fold.add(result)
        return self._stream.answer_of(batch, call, result)

    def empty(self) -> Any:
        """The answer to no rows at all. Raises `LossdError`."""
        call = self._stream.empty_call()
        return self._stream.empty_answer(call, compute(call, self._device))

    def summary(self, reduction: Reduction | None) -> dict[str, Any]:
        """What all of them come to."""
        spec = self._stream.spec
        return self._fold.summary(spec, self._stream.params, reduction or spec.reduction)


class There:
    """On a service, a stream of one batch each: httpx does not read while it writes."""

    def __init__(self, loss: str, schema: Any, http: httpx.Client) -> None:
        self._spec, self._schema, self._http = find(loss), schema, http
        self._fold = Fold()
        self._params: dict[str, Any] = {}

    def answer(self, batch: Any) -> Any:
        """The answer to a batch that has rows. Raises `LossdError`."""
        writer = BatchWriter(self._schema)
        return self._post(writer.write(batch) + writer.close())

    def empty(self) -> Any:
        """The answer to no rows at all. Raises `LossdError`."""
        return self._post(BatchWriter(self._schema).close())

    def _post(self, body: bytes) -> Any:
        content = post(self._http, f"/v1/streams/{self._spec.name}", body, ARROW)
        try:
            reader = pa.ipc.open_stream(content)
            batch = reader.read_next_batch()
            _, texts = reader.read_next_batch_with_custom_metadata()
            note = {key.decode(): json.loads(text) for key, text in texts.items()}
            self._params = note["params"]
            self._fold.add(_result_of(note))
        except (pa.ArrowException, OSError, StopIteration, *_NOT_A_NOTE) as err:
            detail = f"the service answered something else than a stream: {err}"
            raise UnreadableBody(detail[:300], at=str(self._http.base_url)) from err
        return batch

    def summary(self, reduction: Reduction | None) -> dict[str, Any]:
        """What all of them come to."""
        params = parse_params(self._spec, self._params)
        return self._fold.summary(self._spec, params, reduction or self._spec.reduction)


_NOT_A_NOTE = (ValueError, TypeError, KeyError, AttributeError)


def _result_of(note: dict[str, Any]) -> Result:
    return Result(
        value=None,
        sum=float(note["sum"]),
        denominator=float(note["denominator"]),
        count=int(note["count"]),
        rows=None,
        gradients={},
        warnings=tuple(Warned(each["code"], each["detail"]) for each in note["warnings"]),
    )


def _as_message(summary: dict[str, Any]) -> Message:
    """The summary as the answer to a whole call."""
    numbers = {name: summary[name] for name in ("value", "sum", "denominator")}
    tensors = {
        name: torch.tensor(x, dtype=torch.float64) for name, x in numbers.items() if x is not None
    }
    tensors["count"] = torch.tensor(summary["count"])
    return Message(
        tensors, {name: summary[name] for name in ("loss", "version", "params", "warnings")}
    )
