"""Arrow IPC streams: columns cut along axis 0, or one row of whole tensors.

The schema's metadata carries the other fields, each as JSON text, and `layout`: "rows" or "whole".
Its `inputs` is a JSON object of tensors that belong to no row.
"""

import json
import math
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any

import pyarrow as pa
import torch
from torch import Tensor

from lossd.errors import BadOption, UnexpectedInput, UnreadableBody, WrongShape
from lossd.wire._arrow_columns import Elements, read_column, write_column, write_whole
from lossd.wire._arrow_envelope import heads_of
from lossd.wire._checks import DTYPES, NOT_IN_NUMPY, field_of, too_many
from lossd.wire.json import read_inputs
from lossd.wire.message import Message, Parts

media_type = "application/vnd.apache.arrow.stream"
aliases: tuple[str, ...] = ()
dtypes: tuple[str, ...] = tuple(name for name in DTYPES if name not in NOT_IN_NUMPY)
in_place = False

_LAYOUTS = ("rows", "whole")
_OF_OTHERS = ("pandas", "ARROW:")  # what other writers leave in the metadata


@contextmanager
def refusing() -> Iterator[None]:
    """Whatever pyarrow raises in this block becomes `UnreadableBody`."""
    try:
        yield
    except (pa.ArrowException, ValueError, TypeError, KeyError, IndexError, OSError) as err:
        raise UnreadableBody(f"not an Arrow IPC stream: {err}"[:300], at="body") from err
    except (NotImplementedError, OverflowError, RuntimeError) as err:
        raise UnreadableBody(f"not readable as Arrow: {err}"[:300], at="body") from err


@dataclass(frozen=True, slots=True)
class SchemaFields:
    """What a schema's metadata says: the layout, tensors of no row, and the other fields."""

    layout: str
    shared: Message
    fields: Mapping[str, Any]


def read_fields(schema: Any, most_elements: int) -> SchemaFields:
    """Read a schema's metadata.

    Raises `BadOption`, `UnreadableBody` if it is not text, and what the JSON codec raises of
    tensors.
    """
    with refusing():
        texts = {key.decode(): text.decode() for key, text in (schema.metadata or {}).items()}
    inputs = texts.pop("inputs", "{}")
    fields = {key: field_of(text) for key, text in texts.items() if not key.startswith(_OF_OTHERS)}
    layout = fields.pop("layout", "rows")
    if layout not in _LAYOUTS:
        expected = f"one of {', '.join(_LAYOUTS)}"
        raise BadOption("no such layout", at="layout", expected=expected, got=repr(layout)[:100])
    return SchemaFields(layout, read_inputs(inputs.encode(), most_elements), fields)


def decode(body: bytes, most_elements: int) -> Message:
    """Read a message. Nothing is unpacked before its lengths are known to fit.

    Raises `UnreadableBody` on bytes that are no Arrow stream, and what `read_column` raises.
    """
    heads = list(heads_of(body))
    if not heads or heads[0].kind != "schema" or any(each.kind != "batch" for each in heads[1:]):
        dictionaries = any(each.kind == "dictionary" for each in heads)
        raise UnreadableBody(
            "a stream with dictionaries" if dictionaries else "a stream that starts with no schema",
            at="body",
            expected="a schema, then record batches of numbers",
        )
    if sum(each.rows for each in heads) > most_elements:
        raise too_many(most_elements, "body")
    with refusing():
        return _read(pa.ipc.open_stream(pa.py_buffer(body)), most_elements)


def _read(reader: Any, most_elements: int) -> Message:
    schema, batches = reader.schema, list(reader)
    for batch in batches:
        batch.validate(full=True)
    said = read_fields(schema, most_elements)
    tensors = dict(said.shared.tensors)
    elements = Elements(most_elements)
    elements.take(sum(x.numel() for x in tensors.values()), "inputs")
    batches = batches or [empty_batch(schema)]
    for i, name in enumerate(schema.names):
        if name in tensors:
            raise UnexpectedInput("two tensors of one name", at=f"inputs.{name}"[:200])
        tensor = _joined(name, [batch.column(i) for batch in batches], elements)
        tensors[name] = _only_row(name, tensor) if said.layout == "whole" else tensor
    return Message(tensors, said.fields, said.shared.untyped)


def empty_batch(schema: Any) -> Any:
    """A batch of no rows."""
    return pa.RecordBatch.from_arrays([pa.nulls(0, each) for each in schema.types], schema=schema)


def _joined(name: str, columns: list[Any], elements: Elements) -> Tensor:
    """The column's parts in all batches, as one tensor; those without rows only if all are."""
    parts: list[Tensor] = []
    rows = 0
    for column in [each for each in columns if len(each)] or columns[:1]:
        part = read_column(name, column, elements, rows)
        if parts and part.shape[1:] != parts[0].shape[1:]:
            raise WrongShape(
                "the lists of a column differ in length",
                at=f"inputs.{name}"[:200],
                expected=f"{list(parts[0].shape[1:])} as in the first row",
                got=str(list(part.shape[1:])),
                indices=[[rows]],
            )
        rows += len(column)
        parts.append(part)
    return parts[0] if len(parts) == 1 else torch.cat(parts)


def _only_row(name: str, x: Tensor) -> Tensor:
    if len(x) == 1:
        return x[0]
    raise WrongShape(
        "the layout whole has one row",
        at=f"inputs.{name}"[:200],
        expected="1 row",
        got=f"{len(x)} rows",
    )


def encode(message: Message) -> bytes:
    """Write a message. Raises `NotAcceptable` for dtypes that Arrow does not have."""
    return b"".join(parts(message))


def parts(message: Message) -> Parts:
    """Write a message: rows if all tensors have as many, else whole tensors.

    Tensors without dimensions become JSON numbers in the metadata. Raises `NotAcceptable` for
    dtypes that Arrow does not have.
    """
    scalars = {name: json_number(x) for name, x in message.scalars.items()}
    fields, tensors = {**message.fields, **scalars}, {}
    for name, x in message.tensors.items():
        if x.ndim:
            tensors[name] = x
        else:
            fields[name] = json_number(x.item())
    by_rows = len({len(x) for x in tensors.values()}) == 1
    if not by_rows:
        fields["layout"] = "whole"
    write = write_column if by_rows else write_whole
    arrays = [write(name, x) for name, x in tensors.items()]
    metadata = {key: json.dumps(value, allow_nan=False) for key, value in fields.items()}
    columns = [(name, array.type) for name, array in zip(tensors, arrays, strict=True)]
    schema = pa.schema(columns, metadata=metadata)
    sink = pa.BufferOutputStream()
    with pa.ipc.new_stream(sink, schema) as writer:
        if arrays:
            writer.write_batch(pa.RecordBatch.from_arrays(arrays, schema=schema))
    return (memoryview(sink.getvalue()),)


def json_number(x: float) -> float | str:
    """A number as JSON holds it: the strings "NaN", "Infinity", "-Infinity" where it has none."""
    if math.isfinite(x):
        return x
    return "NaN" if math.isnan(x) else "Infinity" if x > 0 else "-Infinity"
