"""Calls over record batches: which columns are inputs, and what each batch is answered by."""

from collections import Counter
from typing import Any

import pyarrow as pa
import torch
from torch import Tensor

from lossd.errors import BadOption, LossdError, NotAcceptable, UnexpectedInput, WrongShape
from lossd.losses import LossSpec, find
from lossd.schema._names import check_names
from lossd.schema.call import Call, Result
from lossd.schema.check import parse_call
from lossd.schema.options import parse_options, parse_params
from lossd.schema.reply import to_message
from lossd.wire import Message
from lossd.wire.arrow_stream import Elements, empty_batch, read_column, read_fields, write_column

_BESIDE = ("row_weights", "cotangent")
_PREFIXES = ("gradients.", "gradient_")


def streamable(name: str) -> LossSpec:
    """The loss of that name. Raises `UnknownLoss`; `BadOption` if rows do not stand alone in it."""
    spec = find(name)
    if spec.coupling != "independent" or spec.items[:1] != ("rows",):
        raise BadOption(
            f"{name} cannot be streamed: its rows do not stand alone",
            at="loss",
            expected="a loss with one value per row that depends on that row only",
            got=f"coupling {spec.coupling}",
        )
    return spec


class BatchStream:
    """One loss over batches of one schema. Gradients are those of the sum.

    Columns named as inputs, `row_weights` or `cotangent` are read; all others pass through. The
    schema's metadata holds the other fields of a call, and under `inputs` what belongs to no row.

    Raises every kind of `BadRequest`.
    """

    def __init__(self, loss: str, schema: Any, most_elements: int) -> None:
        self.spec = streamable(loss)
        said = read_fields(schema, most_elements)
        fields = dict(said.fields)
        if said.layout != "rows":
            raise BadOption("a stream has rows", at="layout", expected="rows", got=said.layout)
        self.params = parse_params(self.spec, fields.get("params", {}))
        options = parse_options({key: x for key, x in fields.items() if key != "params"})
        for i, name in enumerate(options.outputs):
            if name not in ("value", "rows", "gradients"):
                raise BadOption(
                    f"a stream has no {name}: it is of a whole call",
                    at=f"outputs[{i}]",
                    expected="value, rows or gradients",
                    got=name,
                )
        if options.mining is not None:
            raise BadOption(
                "a stream cannot be mined: what is hard is known when all of a call is there",
                at="mining",
                expected="calls of their own",
            )
        if options.gradient_dtype == "bfloat16":
            raise NotAcceptable(
                "Arrow cannot carry bfloat16", at="gradient_dtype", expected="float16 or float32"
            )
        self.reduction = options.reduction or self.spec.reduction
        outputs = ["rows", *(["gradients"] if "gradients" in fields.get("outputs", []) else [])]
        self._fields = fields | {"outputs": outputs, "reduction": "sum"}
        self._shared = said.shared
        self._most = most_elements
        self._inputs = {i: name for i, name in enumerate(schema.names) if self._takes(name)}
        self._passed = [i for i in range(len(schema)) if i not in self._inputs]
        self._check_columns(schema)
        self._fields["wrt"] = self._wrt(options.wrt)
        self._schema = schema
        self._widths: dict[str, torch.Size] = {}
        self._batches = 0
        self.answer_schema: Any = None
        self.recipe: dict[str, Any] | None = None  # of the gradients, where they come as one

    def _takes(self, name: str) -> bool:
        return name in self.spec.inputs or name in _BESIDE

    def _check_columns(self, schema: Any) -> None:
        names = Counter([*schema.names, *self._shared.tensors])
        for name, times in names.items():
            if times > 1:
                raise UnexpectedInput("two columns of one name", at=f"columns.{name}"[:200])
        for i in self._passed:
            name = schema.names[i]
            if name == "rows" or name.startswith(_PREFIXES):
                raise UnexpectedInput(
                    "a column has the name of one of the answer",
                    at=f"columns.{name}"[:200],
                    expected="another name",
                )
        given = [*self._inputs.values(), *self._shared.tensors]
        check_names(self.spec, [name for name in given if name not in _BESIDE])
        for name in self._shared.tensors:
            want = self.spec.inputs.get(name.partition("/")[0])
            if want is None or want.scope == "row":
                raise UnexpectedInput(
                    "has rows, so it is a column and no shared input", at=f"inputs.{name}"[:200]
                )

    def _wrt(self, asked: list[str] | None) -> list[str]:
        """The columns whose gradients are answered. An input without rows has none in a stream."""
        columns = self._inputs.values()
        for i, name in enumerate(asked or ()):
            if name in self._shared.tensors:
                raise BadOption(
                    f"{name[:100]} belongs to no row, so no batch of a stream has its gradient",
                    at=f"wrt[{i}]",
                    expected=f"one of {', '.join(x for x in self.spec.gradients if x in columns)}",
                    got=name[:100],
                )
        return [x for x in self.spec.gradients if x in columns] if asked is None else asked

    def call_of(self, batch: Any) -> Call | None:
        """The call of a batch; None for one without rows while the width of a list is unknown.

        Raises `TooLarge` and every kind of `BadRequest`, with `at` like `batches[3].labels`.
        """
        self._batches += 1
        try:
            return self._call(batch, may_wait=True)
        except LossdError as err:
            self.locate(err)
            raise

    def locate(self, err: LossdError) -> None:
        """Make an error about a column of the latest batch say which batch it is."""
        for name in self._inputs.values():
            if err.at.removeprefix("inputs.") == name:
                err.at = f"batches[{self._batches - 1}].{name}"

    def empty_call(self) -> Call:
        """The call of a batch of no rows, whatever is unknown."""
        call = self._call(empty_batch(self._schema), may_wait=False)
        assert call is not None
        return call

    def _call(self, batch: Any, *, may_wait: bool) -> Call | None:
        elements = Elements(self._most)
        elements.take(sum(x.numel() for x in self._shared.tensors.values()), "inputs")
        elements.take(0 if self._inputs else batch.num_rows, "body")
        tensors = dict(self._shared.tensors)
        for i, name in self._inputs.items():
            x = self._sized(name, read_column(name, batch.column(i), elements), may_wait)
            if x is None:
                return None
            tensors[name] = x
        return parse_call(self.spec.name, Message(tensors, self._fields, self._shared.untyped))

    def _sized(self, name: str, x: Tensor, may_wait: bool) -> Tensor | None:
        """The tensor, if its rows have the size that they had before."""
        known = self._widths.get(name)
        if not len(x):
            column = self._schema.types[self._schema.names.index(name)]
            if known is not None:
                return x.new_empty((0, *known))
            return None if may_wait and _has_lists(column) else x
        if known is not None and x.shape[1:] != known:
            raise WrongShape(
                "rows have another size than in an earlier batch",
                at=f"inputs.{name}",
                expected=str(list(known)),
                got=str(list(x.shape[1:])),
            )
        self._widths[name] = x.shape[1:]
        return x

    def answer_of(self, batch: Any, call: Call, result: Result) -> Any:
        """What passes through, `rows`, and `gradients.<input>` each. The first fixes the schema."""
        message = to_message(call, result)
        self.recipe = message.fields.get("recipe")
        arrays = [batch.column(i) for i in self._passed]
        fields = [self._schema.field(i) for i in self._passed]
        for name, x in message.tensors.items():
            if x.ndim:
                arrays.append(write_column(name, x))
                fields.append(pa.field(name, arrays[-1].type))
        if self.answer_schema is None:
            self.answer_schema = pa.schema(fields)
        return pa.RecordBatch.from_arrays(arrays, schema=self.answer_schema)

    def empty_answer(self, call: Call, result: Result) -> Any:
        """The answer to `empty_call`."""
        return self.answer_of(empty_batch(self._schema), call, result)


def _has_lists(kind: Any) -> bool:
    if pa.types.is_fixed_size_list(kind):
        return _has_lists(kind.value_type)
    return bool(pa.types.is_list(kind) or pa.types.is_large_list(kind))
