"""Every loss as a model of the Open Inference Protocol: its metadata, and its requests."""

import json
from collections.abc import Iterable, Mapping
from typing import Any

from torch import Tensor

from lossd.errors import BadOption, UnexpectedInput
from lossd.losses import InputSpec, LossSpec
from lossd.schema.options import Options
from lossd.wire import Message
from lossd.wire.oip import OipRequest

PLATFORM = "lossd"
SCALARS = ("value", "sum", "denominator", "count")
# What the protocol itself says with parameters, and a loss has no use for.
_PROTOCOL = ("sequence_id", "sequence_start", "sequence_end", "priority", "timeout", "headers")


def metadata(spec: LossSpec) -> dict[str, Any]:
    """Names, datatypes and shapes, -1 where a size is the caller's."""
    inputs = [
        {"name": each.name, "datatype": _datatype(each), "shape": _shape(each.dims)}
        for each in spec.inputs.values()
    ]
    outputs = [
        {"name": name, "datatype": datatype, "shape": shape}
        for name, datatype, shape in _outputs(spec)
    ]
    return {
        "name": spec.name,
        "versions": [str(spec.version)],
        "platform": PLATFORM,
        "inputs": inputs,
        "outputs": outputs,
    }


def config(spec: LossSpec) -> dict[str, Any]:
    """A model configuration without an implied batch dimension, so dims equal shapes."""
    inputs = [
        {
            "name": each.name,
            "data_type": f"TYPE_{_datatype(each)}",
            "dims": _shape(each.dims),
            "optional": each.optional,
        }
        for each in spec.inputs.values()
    ]
    outputs = [
        {"name": name, "data_type": f"TYPE_{datatype}", "dims": shape}
        for name, datatype, shape in _outputs(spec)
    ]
    return {
        "name": spec.name,
        "platform": PLATFORM,
        "backend": PLATFORM,
        "max_batch_size": 0,
        "input": inputs,
        "output": outputs,
    }


def _datatype(spec: InputSpec) -> str:
    return "INT64" if spec.kind == "int" else "FP32"


def _shape(dims: Iterable[str]) -> list[int]:
    """A dimension that stands for any number of them is left out, or is one if it is alone."""
    fixed = [-1 for dim in dims if not dim.startswith("*")]
    return fixed or [-1]


def _outputs(spec: LossSpec) -> list[tuple[str, str, list[int]]]:
    scalars = [(name, "INT64" if name == "count" else "FP64", [1]) for name in SCALARS]
    gradients = [
        (f"gradients.{name}", "FP32", _shape(spec.inputs[name].dims)) for name in spec.gradients
    ]
    rows = ("rows", "FP32", _shape(spec.items) if spec.items else [1])
    return [*scalars, rows, *gradients, *_extra_outputs(spec)]


def _extra_outputs(spec: LossSpec) -> list[tuple[str, str, list[int]]]:
    named = {f"state.{name}": spec.inputs[name] for name in spec.state_inputs}
    named |= {f"proximal.{name}": spec.inputs[name] for name in spec.proximal_inputs}
    return [
        (name, _datatype(each), _shape(each.dims) if each.dims else [1])
        for name, each in named.items()
    ]


def raw_input(spec: LossSpec) -> InputSpec:
    """The one input of a model that takes a bare tensor as a body. Raises `UnexpectedInput`."""
    needed = [each for each in spec.inputs.values() if not each.optional]
    if not spec.exactly_one_of and len(needed) == 1 and len(_shape(needed[0].dims)) == 1:
        return needed[0]
    raise UnexpectedInput(
        f"{spec.name} takes more than one vector, so a raw body is not enough",
        at="headers.inference-header-content-length",
        expected="the length of a JSON header",
        got="0",
    )


def to_message(spec: LossSpec, request: OipRequest, tensors: Mapping[str, Tensor]) -> Message:
    """The call that an inference request makes. Raises `BadOption` for parameters of no meaning.

    Parameters are the loss's own, or options by their names; lists and objects are JSON text, and
    lists of names may be separated by commas.
    """
    fields: dict[str, Any] = {"params": {}}
    for name, value in request.parameters.items():
        if name in spec.params.model_fields:
            fields["params"][name] = _value(value)
        elif name in ("outputs", "wrt"):
            fields[name] = _names(value, name)
        elif name == "params" or name in Options.model_fields:
            fields[name] = _value(value)
        elif name.startswith("sequence_") and value:
            raise BadOption("losses keep no sequences", at=f"parameters.{name}")
        elif name not in _PROTOCOL and not name.startswith("triton_"):
            known = ", ".join([*spec.params.model_fields, *Options.model_fields])
            raise BadOption(
                f"{spec.name} has no parameter {name[:100]!r}",
                at=f"parameters.{name}"[:200],
                expected=f"one of {known}",
            )
    fields |= _what_is_wanted(spec, request, fields)
    return Message(tensors, fields)


def _what_is_wanted(
    spec: LossSpec, request: OipRequest, fields: Mapping[str, Any]
) -> dict[str, Any]:
    """Nothing is computed that no output asks for."""
    if not request.outputs:
        every = ["value", "rows", "gradients", *spec.extra_outputs]
        every += ["kept_indices"] if fields.get("mining") is not None else []
        return {} if "outputs" in fields else {"outputs": every}
    names = [each.name for each in request.outputs]
    gradients = [name.partition(".")[2] for name in names if name.startswith("gradient")]
    wanted = ["value", *(["rows"] if "rows" in names else [])]
    heads = {name.partition(".")[0] for name in names}
    wanted += [each for each in ("state", "proximal", "kept_indices") if each in heads]
    if not gradients:
        return {"outputs": wanted}
    wrt = dict.fromkeys(name.partition("/")[0] for name in gradients)
    return {"wrt": list(wrt)} | dict(fields) | {"outputs": [*wanted, "gradients"]}


def _value(value: Any) -> Any:
    if isinstance(value, str) and value[:1] in ("[", "{"):
        try:
            return json.loads(value)
        except (ValueError, RecursionError):
            return value
    return value


def _names(value: Any, name: str) -> Any:
    decoded = _value(value)
    if isinstance(decoded, str):
        return [part.strip() for part in decoded.split(",") if part.strip()]
    if isinstance(decoded, list):
        return decoded
    raise BadOption("not a list of names", at=f"parameters.{name}", expected="names, with commas")
