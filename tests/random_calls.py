"""Calls of any loss, made from what its signature says: every option, dtype and layout."""

import itertools
import typing
from collections.abc import Iterator
from dataclasses import dataclass, field
from typing import Any

import torch
from torch import Tensor

from lossd.losses import CATALOG, InputSpec, LossSpec
from lossd.schema import Call, parse_call
from lossd.wire import Message

DTYPES = (torch.float32, torch.float16, torch.bfloat16)
_LINEAR = ("hidden", "classifier", "classifier_bias")  # stand in for logits, which are given here
IGNORED = 1  # also a legal label: what is ignored must not count as one


@dataclass(frozen=True)
class Variant:
    """One choice of inputs and parameters of a loss."""

    loss: str
    inputs: tuple[str, ...]
    params: dict[str, Any] = field(default_factory=dict)

    def __str__(self) -> str:
        return f"{self.loss}({', '.join(self.inputs)}; {self.params})"


def variants(name: str) -> list[Variant]:
    """Every choice of inputs with every choice of each parameter."""
    spec = CATALOG[name]
    params = {key: _choices(key, each) for key, each in spec.params.model_fields.items()}
    return [
        Variant(name, inputs, dict(zip(params, values, strict=True)))
        for inputs in _inputs(spec)
        for values in itertools.product(*params.values())
    ]


def _inputs(spec: LossSpec) -> Iterator[tuple[str, ...]]:
    exclusive = {name for names in spec.exactly_one_of for name in names}
    free = [
        [(name,), ()] if each.optional else [(name,)]
        for name, each in spec.inputs.items()
        if name not in exclusive and name not in _LINEAR
    ]
    either = [[(name,) for name in names if name not in _LINEAR] for names in spec.exactly_one_of]
    for choice in itertools.product(*either, *free):
        yield tuple(name for names in choice for name in names)


def _choices(name: str, info: Any) -> list[Any]:
    if name == "ignore_index":
        return [None, IGNORED]
    if name == "unnormalized_targets":
        return [False]
    if typing.get_origin(info.annotation) is typing.Literal:
        return list(typing.get_args(info.annotation))
    if info.annotation is bool:
        return [False, True]
    if info.annotation is not float:
        return [info.default]
    choices = {info.default: None}
    for low, high in [_limits(info)]:
        if low == 0 and high is None:
            choices |= {0.0: None, 0.7: None}
        elif low == 0:
            choices |= {0.0: None, 0.1 * high: None, float(high): None}
        elif low == -1:
            choices |= {-1.0: None, 0.0: None}
    return list(choices)


def _limits(info: Any) -> tuple[float | None, float | None]:
    low = next((each.ge for each in info.metadata if hasattr(each, "ge")), None)
    high = next((each.le for each in info.metadata if hasattr(each, "le")), None)
    return low, high


def call_of(
    variant: Variant,
    rows: int,
    width: int,
    *,
    inner: tuple[int, ...] = (),
    scale: float = 3.0,
    dtype: torch.dtype = torch.float32,
    seed: int = 0,
    kind: str = "normal",
    **fields: Any,
) -> Call:
    """A legal call. `width` is the number of classes or elements of a row, `inner` what follows it.

    `kind`: normal; ties (few different numbers); masked (some -inf where it is legal); sure (one
    class far above the others).
    """
    spec = CATALOG[variant.loss]
    generator = torch.Generator().manual_seed(seed)
    sizes = {"rows": (rows,), "classes": (width,), "*spatial": inner, "*rest": (width, *inner)}
    tensors = {
        name: _tensor(spec.inputs[name], sizes, scale, kind, generator, dtype)
        for name in variant.inputs
    }
    options = {"outputs": ["value", "rows", "gradients"], **fields}
    return parse_call(variant.loss, Message(tensors, {"params": variant.params, **options}))


def _tensor(
    want: InputSpec,
    sizes: dict[str, tuple[int, ...]],
    scale: float,
    kind: str,
    generator: torch.Generator,
    dtype: torch.dtype,
) -> Tensor:
    arg = want.arg
    shape = tuple(n for dim in want.dims for n in sizes[dim])
    if want.kind == "int":
        if arg.values is not None:
            picked = torch.randint(len(arg.values), shape, generator=generator)
            return torch.tensor(arg.values)[picked]
        assert arg.index_of is not None
        return torch.randint(sizes[arg.index_of][0], shape, generator=generator)
    x = scale * torch.randn(shape, generator=generator, dtype=torch.float64)
    if kind == "ties":
        x = x.round()
    if kind == "sure" and x.ndim > 1:
        best = torch.randint(x.shape[1], (x.shape[0], 1, *x.shape[2:]), generator=generator)
        x.scatter_(1, best, 20.0, reduce="add")
    if arg.sums_to_one:
        return _distribution(torch.softmax(x.clamp(-30, 30), 1), dtype)
    if arg.high == 0 and arg.minus_infinity:
        return torch.log_softmax(x, 1).clamp(max=0).to(dtype)
    if arg.low == 0 and arg.high == 1:
        return torch.sigmoid(x).to(dtype)
    if arg.low == 0:
        return x.abs().to(dtype)
    x = x.to(dtype)
    if kind == "masked" and arg.minus_infinity:
        x = x.masked_fill(torch.rand(shape, generator=generator) < 0.3, -torch.inf)
        x[:, :1] = 0.0
    return x


def _distribution(x: Tensor, dtype: torch.dtype) -> Tensor:
    """In a narrow dtype many small numbers no longer sum to 1: leave only numbers it can add."""
    if dtype != torch.float32:
        x = torch.zeros_like(x).scatter(1, x.argmax(1, keepdim=True), 1.0)
    return x.to(dtype)
