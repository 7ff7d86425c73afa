"""Message to Call: the one place where a request becomes something the engine trusts."""

from collections.abc import Collection, Mapping
from functools import cache

import numpy as np
import torch
from torch import Tensor

from lossd.errors import (
    BadOption,
    MissingInput,
    OutOfRange,
    UnexpectedInput,
    WrongDtype,
    WrongShape,
)
from lossd.losses import CATALOG, HIDDEN, InputSpec, LossSpec, find
from lossd.schema.call import Call
from lossd.schema.options import Options, parse_options, parse_params
from lossd.wire import Message

_BESIDE = ("row_weights", "cotangent")
_FLOATS = {torch.float16, torch.bfloat16, torch.float32, torch.float64}
Sizes = dict[str, tuple[int, ...]]


def parse_call(name: str, message: Message) -> Call:
    """Check a message against the loss's own signature; `check_values` checks its numbers.

    Raises `UnknownLoss` and every kind of `BadRequest`.
    """
    spec = find(name)
    fields = dict(message.fields)
    params = parse_params(spec, fields.pop("params", {}))
    options = parse_options(fields)
    given = {key: x for key, x in message.tensors.items() if key not in _BESIDE}
    check_names(spec, given)
    inputs = {}
    for key, tensor in given.items():
        want = spec.inputs[key.partition("/")[0]]
        cast = _to_kind(want, tensor, f"inputs.{_dotted(key)}", options, key in message.untyped)
        inputs[key] = _classes_to_axis_1(want, cast, options.class_axis)
    sizes = _check_shapes(spec, inputs, message.untyped)
    items = _item_shape(spec, sizes)
    _check_form(spec, options, inputs)
    return Call(
        spec=spec,
        inputs=inputs,
        params=params,
        options=options,
        item_shape=items,
        row_weights=_row_weights(spec, message, sizes),
        cotangent=_cotangent(message, items, options),
        wrt=_wrt(spec, inputs, options),
    )


def _dotted(key: str) -> str:
    return key.replace("/", ".", 1)


def check_names(spec: LossSpec, given: Collection[str]) -> None:
    """Raises `UnexpectedInput` or `MissingInput` where the names are not those of the loss."""
    heads = {key.partition("/")[0] for key in given}
    for key in given:
        head, slash, _ = key.partition("/")
        want = spec.inputs.get(head)
        if want is None or (slash and not want.group):
            raise UnexpectedInput(
                f"{spec.name} takes no input of that name",
                at=f"inputs.{_dotted(key)}"[:200],
                expected=f"one of {', '.join(spec.inputs)}",
                got=key[:100],
            )
        if slash and head in given:
            raise UnexpectedInput("both a tensor and a group", at=f"inputs.{head}")
    for head, want in spec.inputs.items():
        if head not in heads and not want.optional:
            raise MissingInput(
                f"{spec.name} needs {head}",
                at=f"inputs.{head}",
                expected=f"{want.kind} ({', '.join(want.dims)})",
                got=f"only {', '.join(sorted(heads)) or 'nothing'}"[:200],
            )
    for names in spec.exactly_one_of:
        present = [each for each in names if each in heads]
        if len(present) != 1:
            error = UnexpectedInput if present else MissingInput
            raise error(
                f"{spec.name} takes exactly one of {' and '.join(names)}",
                at=f"inputs.{present[-1] if present else names[0]}",
                expected=f"exactly one of {', '.join(names)}",
                got=", ".join(present) or "none of them",
            )
    _check_company(spec, heads)


def _check_company(spec: LossSpec, heads: Collection[str]) -> None:
    for head in heads:
        for needed in spec.inputs[head].needs:
            if needed not in heads:
                raise MissingInput(
                    f"{head} is of use only with {needed}",
                    at=f"inputs.{needed}",
                    expected=f"{needed} beside {head}, or neither",
                    got=f"only {', '.join(sorted(heads))}"[:200],
                )


def _to_kind(want: InputSpec, x: Tensor, at: str, options: Options, untyped: bool) -> Tensor:
    if want.kind == "int":
        if x.is_floating_point() and (x.numel() or not untyped):
            got = "a number with a fraction or exponent" if untyped else _name(x.dtype)
            raise WrongDtype(f"{want.name} must be integers", at=at, expected="integers", got=got)
        return x.long()
    return x if x.dtype in _FLOATS and not untyped else _as_real(x, options, at)


def _as_real(x: Tensor, options: Options, at: str) -> Tensor:
    """Numbers without a dtype to compute a gradient in take the one that the request names."""
    if x.dtype.is_floating_point and x.dtype.itemsize == 1:
        x = x.float()  # float8 stores numbers; torch does not compute with them
    cast = x.to(getattr(torch, options.dtype))
    # Only float64 holds numbers that float32 does not.
    if cast.dtype == torch.float32 and x.dtype == torch.float64:
        fits = np.isfinite(cast.numpy())
        if not fits.all():
            lost = ~fits & np.isfinite(x.numpy())
            if lost.any():
                raise OutOfRange(
                    f"too large for {options.dtype}",
                    at=at,
                    expected="|x| < 3.4e38, or the option dtype float64",
                    indices=np.argwhere(lost)[:10].tolist(),
                )
    return cast


def _name(dtype: torch.dtype) -> str:
    return str(dtype).removeprefix("torch.")


def _classes_to_axis_1(want: InputSpec, x: Tensor, class_axis: int) -> Tensor:
    if class_axis == 1 or want.dims[:2] != ("rows", "classes"):
        return x
    if not -x.ndim <= class_axis < x.ndim or class_axis % x.ndim == 0:
        raise BadOption(
            f"{want.name} has no class axis there",
            at="class_axis",
            expected=f"1 to {x.ndim - 1}, or negative; axis 0 is rows",
            got=str(class_axis),
        )
    return x.movedim(class_axis, 1).contiguous()


def _check_shapes(spec: LossSpec, inputs: dict[str, Tensor], untyped: frozenset[str]) -> Sizes:
    """Check every shape; `[]` in a format without shapes is no rows of any number of dimensions."""
    # Hidden states have no axes beyond rows and features, so their items are rows.
    sizes: Sizes = {"*spatial": ()} if HIDDEN in inputs else {}
    bare = [key for key in inputs if key in untyped and inputs[key].shape == (0,)]
    for key in [key for key in inputs if key not in bare] + bare:
        want = spec.inputs[key.partition("/")[0]]
        if key in bare and want.scope == "row":
            rest = [sizes.get(dim, () if dim.startswith("*") else (1,)) for dim in want.dims[1:]]
            inputs[key] = inputs[key].reshape(0, *(n for size in rest for n in size))
        _check_shape(want, inputs[key], sizes, f"inputs.{_dotted(key)}")
    return sizes


@cache
def _count_of_fixed(dims: tuple[str, ...]) -> int:
    return sum(not dim.startswith("*") for dim in dims)


def _check_shape(want: InputSpec, x: Tensor, sizes: Sizes, at: str) -> None:
    """Bind every dimension name to its size; a name has one size in the whole call."""
    shape = tuple(x.shape)
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
            raise WrongShape(
                f"{dim.lstrip('*')} differs between inputs",
                at=at,
                expected=f"{dim} = {_sizes(sizes[dim])}",
                got=f"{dim} = {_sizes(size)}",
            )
        if dim == "classes" and size == (0,):
            raise WrongShape("there are no classes", at=at, expected="classes >= 1", got="0")


def _sizes(size: tuple[int, ...]) -> str:
    return str(size[0]) if len(size) == 1 else str(list(size))


def _check_form(spec: LossSpec, options: Options, inputs: Collection[str]) -> None:
    if options.gradient_form != "recipe":
        return
    if HIDDEN in inputs:
        raise BadOption(
            f"a recipe is of logits, and {HIDDEN} is given in their place",
            at="gradient_form",
            expected="dense, row_norms or top_k",
            got="recipe",
        )
    if spec.recipe is None:
        having = ", ".join(each.name for each in CATALOG.values() if each.recipe)
        raise BadOption(
            f"{spec.name} has no recipe for its gradient",
            at="gradient_form",
            expected=f"dense, row_norms or top_k; or one of the losses {having}",
            got="recipe",
        )


def _item_shape(spec: LossSpec, sizes: Sizes) -> tuple[int, ...]:
    return tuple(n for dim in spec.items for n in sizes[dim])


def _row_weights(spec: LossSpec, message: Message, sizes: Sizes) -> Tensor | None:
    x = message.tensors.get("row_weights")
    if x is None:
        return None
    if spec.items[:1] != ("rows",):
        raise BadOption(f"{spec.name} has one value, and no rows to weigh", at="row_weights")
    x = x.double()
    rows = sizes["rows"][0]
    if tuple(x.shape) != (rows,):
        raise WrongShape(
            "row_weights has one weight per row",
            at="row_weights",
            expected=str([rows]),
            got=str(list(x.shape)),
        )
    if not bool(((x >= 0) & x.isfinite()).all()):
        bad = torch.nonzero(~((x >= 0) & x.isfinite()))[:10].tolist()
        raise BadOption(
            "a row weight is negative or not finite",
            at="row_weights",
            expected=">= 0 and finite",
            indices=bad,
        )
    return x


def _cotangent(message: Message, items: tuple[int, ...], options: Options) -> Tensor | None:
    x = message.tensors.get("cotangent")
    if x is None:
        return None
    if "cotangent" in message.untyped or x.dtype not in _FLOATS:
        x = _as_real(x, options, "cotangent")
    if tuple(x.shape) != items:
        raise WrongShape(
            "cotangent has one number per value of the loss",
            at="cotangent",
            expected=str(list(items)),
            got=str(list(x.shape)),
        )
    if options.nonfinite == "refuse" and not bool(x.isfinite().all()):
        bad = torch.nonzero(~x.isfinite())[:10].tolist()
        raise BadOption("cotangent is not finite", at="cotangent", expected="finite", indices=bad)
    return x


def _wrt(spec: LossSpec, inputs: Mapping[str, Tensor], options: Options) -> tuple[str, ...]:
    """The keys of `inputs` whose gradients are wanted; none when gradients are not asked for."""
    heads = {key.partition("/")[0] for key in inputs}
    for i, name in enumerate(options.wrt or ()):
        if name not in spec.gradients or name not in heads:
            possible = [each for each in spec.gradients if each in heads]
            raise BadOption(
                f"no gradient with respect to {name[:100]!r}",
                at=f"wrt[{i}]",
                expected=f"one of {', '.join(possible)}",
                got=name[:100],
            )
    if "gradients" not in options.outputs:
        return ()
    wanted = spec.gradients if options.wrt is None else options.wrt
    return tuple(key for key in inputs if key.partition("/")[0] in wanted)
