"""What a loss is. The function's signature is the schema; `@loss` reads it."""

import inspect
import types
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Annotated, Any, Literal, Union, get_args, get_origin, get_type_hints

from jaxtyping import AbstractArray
from pydantic import BaseModel, ConfigDict
from torch import Tensor

Kind = Literal["float", "int"]
Coupling = Literal["independent", "segments", "coupled", "whole"]
Reduction = Literal["mean", "sum"]
Proximal = Tensor | tuple[Tensor, ...]  # of one input; a tuple of a group, in its order

# Names that the request and the engine themselves use.
RESERVED = frozenset({"row_weights", "cotangent", "params", "step"})


class LossParams(BaseModel):
    """Base of every loss's parameters: closed, immutable, finite."""

    model_config = ConfigDict(extra="forbid", frozen=True, strict=True, allow_inf_nan=False)


@dataclass(frozen=True, slots=True, kw_only=True)
class Arg:
    """What a signature cannot say about one input.

    - `doc`: one sentence: meaning and unit.
    - `gradient`: whether the input is differentiable.
    - `low`, `high`: closed range of legal values; `values`: the only legal values of an int input.
    - `minus_infinity`: -inf is legal (a class that cannot be).
    - `index_of`: the dimension that an int input counts along; checked before the device sees it,
      because one bad index on CUDA kills the process for every caller. The parameter
      `ignore_index`, where the loss has one, names the only other legal value. `index_past` is how
      many values past the dimension's size are legal too: a length counts to the end, and between
      thresholds there is one class more than thresholds.
    - `sums_to_one`: the dimension along which the values must sum to 1, unless the loss has the
      parameter `unnormalized_targets` and it is true.
    - `role`: a state is what the state function of an earlier call answered under the same name;
      it is optional where a first call has none.
    - `boxes`: the last axis is a box in the format that the parameter `box_format` names, `xyxy`
      or `cxcywh`; its sides must not be negative.
    - `like`: the group of tensors whose names and shapes this group must have.
    """

    doc: str
    gradient: bool = False
    low: float | int | None = None
    high: float | int | None = None
    values: tuple[int, ...] | None = None
    minus_infinity: bool = False
    index_of: str | None = None
    index_past: int = 0
    sums_to_one: str | None = None
    boxes: bool = False
    like: str | None = None
    role: Literal["input", "state"] = "input"


@dataclass(frozen=True, slots=True)
class InputSpec:
    """One input: its dimension names, outermost first (`*name` is any number of them).

    `needs` are other inputs that must be given with it.
    """

    name: str
    dims: tuple[str, ...]
    kind: Kind
    optional: bool
    group: bool
    arg: Arg
    needs: tuple[str, ...] = ()

    @property
    def scope(self) -> Literal["row", "shared"]:
        """Whether axis 0 is rows, which can be cut, or the tensor belongs to the whole call."""
        return "row" if self.dims[:1] == ("rows",) else "shared"


@dataclass(frozen=True, slots=True, kw_only=True)
class Card:
    """Guidance: when to reach for a loss, and what to expect of it. One or two sentences each."""

    characteristics: str
    use: str
    stability: str
    data: str


@dataclass(frozen=True, slots=True)
class Example:
    """A small call that works, as JSON values."""

    inputs: Mapping[str, Any]
    params: Mapping[str, Any] = field(default_factory=dict)


@dataclass(frozen=True, slots=True, kw_only=True)
class SoftmaxRecipe:
    """How to rebuild the gradient of a loss of p = softmax(logits) from one number per item.

    With u_k = w_k t_k, of the targets t (one-hot labels, or target_probabilities) and weights w,
    the gradient of an item's value is slope * (p * sum_k u_k - u).

    - `slope`: a function of the loss's inputs and params, one number per item, 0 where ignored.
    - `weights`: the input that holds w; None is 1 each.
    - `smoothing`: the parameter that says which share of t is spread over the possible classes.
    """

    slope: Callable[..., Tensor]
    weights: str | None = None
    smoothing: str | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class LossSpec:
    """One row of the catalog."""

    name: str
    family: str
    fn: Callable[..., Tensor]
    params: type[LossParams]
    inputs: Mapping[str, InputSpec]
    items: tuple[str, ...]  # the dimension names of the values; () is one value for the whole call
    formula: str
    source: str
    units: str
    card: Card
    example: Example
    weights: Callable[..., Tensor] | None
    exactly_one_of: tuple[tuple[str, ...], ...]
    coupling: Coupling
    reduction: Reduction
    version: int
    recipe: SoftmaxRecipe | None = None
    matrices: tuple[tuple[str, ...], ...] = ()  # the sizes of what pairs up, beyond the inputs
    linear: bool = False  # whether hidden and classifier may stand in for logits
    state: Callable[..., Mapping[str, Tensor]] | None = None
    proximal: Callable[..., Mapping[str, Proximal]] | None = None
    dims_of_params: tuple[str, ...] = ()  # dimensions whose size an int parameter of that name is

    @property
    def extra_outputs(self) -> tuple[str, ...]:
        """What can be asked for beside value, rows and gradients, by the names in `outputs`."""
        extras = {"state": self.state, "proximal": self.proximal}
        return tuple(name for name, fn in extras.items() if fn is not None)

    @property
    def state_inputs(self) -> tuple[str, ...]:
        """The inputs that an earlier call's state goes back in by."""
        return tuple(name for name, each in self.inputs.items() if each.arg.role == "state")

    @property
    def proximal_inputs(self) -> tuple[str, ...]:
        """The inputs that the proximal operator moves."""
        return self.gradients if self.proximal else ()

    topics: tuple[str, ...] = ()  # beyond those that the family and the card say

    @property
    def gradients(self) -> tuple[str, ...]:
        """The differentiable inputs, in the order of the signature."""
        return tuple(name for name, each in self.inputs.items() if each.arg.gradient)

    @property
    def weights_inputs(self) -> tuple[str, ...]:
        """The inputs that the denominator is computed from."""
        return () if self.weights is None else inputs_of(self.weights)

    @property
    def continuous(self) -> tuple[str, ...]:
        """The parameters that are real numbers."""
        fields = self.params.model_fields.items()
        return tuple(name for name, each in fields if each.annotation is float)

    @property
    def summary(self) -> str:
        """First line of the docstring."""
        return (inspect.getdoc(self.fn) or "").partition("\n")[0]


def inputs_of(fn: Callable[..., Any]) -> tuple[str, ...]:
    """The inputs that a second function of a loss takes, by their names."""
    names = inspect.signature(fn).parameters
    return tuple(name for name in names if name not in ("params", "step"))


def read_signature(fn: Callable[..., Tensor]) -> dict[str, Any]:
    """The parts of a `LossSpec` that the function's signature states.

    Raises `TypeError` where an input is not annotated as `Annotated[<jaxtyping>, Arg(...)]`.
    """
    hints = get_type_hints(inspect.unwrap(fn), include_extras=True)
    parameters = inspect.signature(fn).parameters
    inputs = {
        name: _input(name, hints[name], parameters[name].default is None)
        for name in parameters
        if name != "params"
    }
    dims = dict.fromkeys(dim for each in inputs.values() for dim in each.dims)
    counts = [key for key, each in hints["params"].model_fields.items() if each.annotation is int]
    return {
        "name": fn.__name__,
        "params": hints["params"],
        "inputs": inputs,
        "items": tuple(hints["return"].dim_str.split()),
        "dims_of_params": tuple(dim for dim in dims if dim in counts),
    }


def _input(name: str, hint: Any, optional: bool) -> InputSpec:
    if get_origin(hint) in (Union, types.UnionType):
        hint = next(each for each in get_args(hint) if each is not type(None))
    if get_origin(hint) is not Annotated or name in RESERVED:
        raise TypeError(f"{name}: annotate it as Annotated[<jaxtyping>, Arg(...)]; not {RESERVED}")
    array, *extras = get_args(hint)
    arg = next(each for each in extras if isinstance(each, Arg))
    group = get_origin(array) is tuple
    if group:
        array = get_args(array)[0]
    if not (inspect.isclass(array) and issubclass(array, AbstractArray)):
        raise TypeError(f"{name}: {array} is not a jaxtyping array")
    kind: Kind = "int" if "int64" in array.dtypes else "float"
    dims = ("*shape",) if array.dim_str == "..." else tuple(array.dim_str.split())
    return InputSpec(name, dims, kind, optional, group, arg)
