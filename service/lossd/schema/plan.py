"""What can be said of a call before its numbers are looked at: names, dtypes, shapes, options.

Calls of one caller are alike in all of that, so plans are kept and found again.
"""

from collections.abc import Hashable, Mapping
from dataclasses import dataclass
from functools import cache, lru_cache
from typing import Any

import torch

from lossd.errors import BadOption, WrongDtype, WrongShape
from lossd.losses import HIDDEN, InputSpec, LossParams, LossSpec, find
from lossd.schema._asked import check_form, extras_of, wrt_of
from lossd.schema._names import check_names, dotted
from lossd.schema._partners import check_partners, in_order
from lossd.schema.mining import check_mining
from lossd.schema.options import Options, parse_options, parse_params
from lossd.wire import Message

BESIDE = ("row_weights", "cotangent")
FLOATS = frozenset({torch.float16, torch.bfloat16, torch.float32, torch.float64})
_MOST_KEY = 2000  # characters of names and fields; a plan that needs more is not kept
_MOST_TENSORS = 16
Sizes = dict[str, tuple[int, ...]]


@dataclass(frozen=True, slots=True)
class Layout:
    """A tensor but for its numbers. `untyped`: its format did not state a dtype."""

    key: str
    dtype: torch.dtype
    shape: tuple[int, ...]
    untyped: bool


@dataclass(frozen=True, slots=True)
class InputPlan:
    """What becomes of one input: the dtype that it is read as, and the shape that it is read in.

    `dtype` and `shape` are None where it stays as it is. `at` is its place in the request.
    """

    key: str
    at: str
    dtype: torch.dtype | None
    shape: tuple[int, ...] | None
    moves_classes: bool


@dataclass(frozen=True, slots=True, eq=False)
class Plan:
    """All of a `Call` but its tensors. `cotangent_dtype` is what one without a dtype is read as.

    Calls that are alike have the very same one, as long as it is kept. Those that differ in the
    number of their rows only have equal `company`.
    """

    spec: LossSpec
    params: LossParams
    options: Options
    inputs: tuple[InputPlan, ...]
    item_shape: tuple[int, ...]
    wrt: tuple[str, ...]
    extras: tuple[str, ...]
    cotangent_dtype: torch.dtype | None
    params_as_answered: Mapping[str, Any]
    company: Hashable


class _Fields:
    """The fields of a message, compared by what they print as."""

    __slots__ = ("text", "values")

    def __init__(self, values: Mapping[str, Any]) -> None:
        self.values, self.text = values, repr(values)

    def __eq__(self, other: object) -> bool:
        return isinstance(other, _Fields) and other.text == self.text

    def __hash__(self) -> int:
        return hash(self.text)


def plan_call(name: str, message: Message) -> Plan:
    """Check all of a message but its numbers. Raises `UnknownLoss` and kinds of `BadRequest`."""
    untyped = message.untyped
    layouts = tuple([(key, x.dtype, x.shape, key in untyped) for key, x in message.tensors.items()])
    fields = _Fields(message.fields)
    if (
        len(layouts) > _MOST_TENSORS
        or len(fields.text) + sum(map(len, message.tensors)) > _MOST_KEY
    ):
        return _make_plan(name, layouts, fields)
    return _kept_plan(name, layouts, fields)


def _make_plan(
    name: str, layouts: tuple[tuple[str, torch.dtype, tuple[int, ...], bool], ...], said: _Fields
) -> Plan:
    spec = find(name)
    fields = dict(said.values)
    params = parse_params(spec, fields.pop("params", {}))
    options = parse_options(fields)
    all_given = [Layout(*each) for each in layouts]
    given = {each.key: each for each in all_given}
    beside = {key: given.pop(key) for key in BESIDE if key in given}
    check_names(spec, given)
    shapes = {key: _shape_of(spec, each, options) for key, each in given.items()}
    dtypes = {key: _dtype_of(spec, each, options) for key, each in given.items()}
    sizes = _check_shapes(spec, given, shapes, params)
    check_partners(spec, shapes)
    items = tuple(n for dim in spec.items for n in sizes[dim])
    check_form(spec, options, given)
    if options.mining is not None:
        check_mining(spec, options.mining, given, "cotangent" in beside)
    _check_row_weights(spec, beside.get("row_weights"), sizes)
    return Plan(
        spec=spec,
        params=params,
        options=options,
        inputs=tuple(
            _input_plan(spec, given[key], shapes[key], dtypes[key], options)
            for key in in_order(spec, given)
        ),
        item_shape=items,
        wrt=wrt_of(spec, given, options),
        extras=extras_of(spec, options),
        cotangent_dtype=_cotangent_dtype(beside.get("cotangent"), items, options),
        params_as_answered=params.model_dump(mode="json"),
        company=(name, said.text, *((x.key, x.dtype, x.shape[1:], x.untyped) for x in all_given)),
    )


_kept_plan = lru_cache(256)(_make_plan)


def _spec_of(spec: LossSpec, key: str) -> InputSpec:
    return spec.inputs[key.partition("/")[0]]


def _dtype_of(spec: LossSpec, given: Layout, options: Options) -> torch.dtype | None:
    """The dtype that an input is read as; None for its own. Raises `WrongDtype`."""
    want = _spec_of(spec, given.key)
    if want.kind == "int":
        empty = given.untyped and 0 in given.shape
        if given.dtype.is_floating_point and not empty:
            got = "a number with a fraction or exponent" if given.untyped else _name(given.dtype)
            raise WrongDtype(
                f"{want.name} must be integers",
                at=f"inputs.{dotted(given.key)}",
                expected="integers",
                got=got,
            )
        return None if given.dtype == torch.int64 else torch.int64
    return None if given.dtype in FLOATS and not given.untyped else _real(options)


def _real(options: Options) -> torch.dtype:
    return torch.float64 if options.dtype == "float64" else torch.float32


def _name(dtype: torch.dtype) -> str:
    return str(dtype).removeprefix("torch.")


def _moves_classes(spec: LossSpec, given: Layout, options: Options) -> bool:
    return options.class_axis != 1 and _spec_of(spec, given.key).dims[:2] == ("rows", "classes")


def _shape_of(spec: LossSpec, given: Layout, options: Options) -> tuple[int, ...]:
    """The shape with the classes on axis 1. Raises `BadOption` where there is no such axis."""
    shape = tuple(given.shape)
    if not _moves_classes(spec, given, options):
        return shape
    axis, ndim = options.class_axis, len(shape)
    if not -ndim <= axis < ndim or axis % ndim == 0:
        raise BadOption(
            f"{_spec_of(spec, given.key).name} has no class axis there",
            at="class_axis",
            expected=f"1 to {ndim - 1}, or negative; axis 0 is rows",
            got=str(axis),
        )
    rest = [n for i, n in enumerate(shape) if i not in (0, axis % ndim)]
    return (shape[0], shape[axis % ndim], *rest)


def _input_plan(
    spec: LossSpec,
    given: Layout,
    shape: tuple[int, ...],
    dtype: torch.dtype | None,
    options: Options,
) -> InputPlan:
    moves = _moves_classes(spec, given, options)
    return InputPlan(
        key=given.key,
        at=f"inputs.{dotted(given.key)}",
        dtype=dtype,
        shape=None if moves or shape == tuple(given.shape) else shape,
        moves_classes=moves,
    )


def _check_shapes(
    spec: LossSpec,
    given: Mapping[str, Layout],
    shapes: dict[str, tuple[int, ...]],
    params: LossParams,
) -> Sizes:
    """Check every shape; `[]` in a format without shapes is no rows of any number of dimensions."""
    sizes: Sizes = {dim: (getattr(params, dim),) for dim in spec.dims_of_params}
    sizes |= {dim: (int(dim),) for key in given for dim in _numbers(_spec_of(spec, key).dims)}
    if HIDDEN in given:  # hidden states have no axes beyond rows and features: items are rows
        sizes["*spatial"] = ()
    bare = [key for key, each in given.items() if each.untyped and shapes[key] == (0,)]
    for key in [key for key in given if key not in bare] + bare:
        want = _spec_of(spec, key)
        if key in bare and want.scope == "row":
            rest = [sizes.get(dim, () if dim.startswith("*") else (1,)) for dim in want.dims[1:]]
            shapes[key] = (0, *(n for size in rest for n in size))
        _check_shape(spec, want, shapes[key], sizes, f"inputs.{dotted(key)}")
    return sizes


@cache
def _count_of_fixed(dims: tuple[str, ...]) -> int:
    return sum(not dim.startswith("*") for dim in dims)


@cache
def _numbers(dims: tuple[str, ...]) -> tuple[str, ...]:
    """The dimensions whose size the loss fixes: named by it."""
    return tuple(dim for dim in dims if dim.isdigit())


def _check_shape(
    spec: LossSpec, want: InputSpec, shape: tuple[int, ...], sizes: Sizes, at: str
) -> None:
    """Bind every dimension name to its size; a name has one size in the whole call."""
    spare = len(shape) - _count_of_fixed(want.dims)
    if spare < 0 or (spare and _count_of_fixed(want.dims) == len(want.dims)):
        raise WrongShape(
            f"{want.name} has the wrong number of dimensions",
            at=at,
            expected=f"({', '.join(want.dims)})",
            got=str(list(shape)),
        )
    if want.group:
        return
    position = 0
    for dim in want.dims:
        end = position + (spare if dim[0] == "*" else 1)
        size = shape[position:end]
        position = end
        if sizes.setdefault(dim, size) != size:
            raise _size_differs(spec, want, dim, sizes[dim], size, position - 1, at)
        if dim == "classes" and size == (0,):
            raise WrongShape("there are no classes", at=at, expected="classes >= 1", got="0")


def _size_differs(
    spec: LossSpec,
    want: InputSpec,
    dim: str,
    expected: tuple[int, ...],
    got: tuple[int, ...],
    axis: int,
    at: str,
) -> WrongShape:
    named = "" if dim.isdigit() else f"{dim} = "
    message = f"{dim.lstrip('*')} differs between inputs"
    if not named:
        message = f"axis {axis} of {want.name} has the wrong size"
    elif dim in spec.dims_of_params:
        message = f"{dim} is not that of params"
    return WrongShape(
        message, at=at, expected=f"{named}{_sizes(expected)}", got=f"{named}{_sizes(got)}"
    )


def _sizes(size: tuple[int, ...]) -> str:
    return str(size[0]) if len(size) == 1 else str(list(size))


def _check_row_weights(spec: LossSpec, given: Layout | None, sizes: Sizes) -> None:
    if given is None:
        return
    if spec.items[:1] != ("rows",):
        raise BadOption(f"{spec.name} has one value, and no rows to weigh", at="row_weights")
    if tuple(given.shape) != sizes["rows"]:
        raise WrongShape(
            "row_weights has one weight per row",
            at="row_weights",
            expected=str(list(sizes["rows"])),
            got=str(list(given.shape)),
        )


def _cotangent_dtype(
    given: Layout | None, items: tuple[int, ...], options: Options
) -> torch.dtype | None:
    if given is None:
        return None
    if tuple(given.shape) != items:
        raise WrongShape(
            "cotangent has one number per value of the loss",
            at="cotangent",
            expected=str(list(items)),
            got=str(list(given.shape)),
        )
    return _real(options) if given.untyped or given.dtype not in FLOATS else None
