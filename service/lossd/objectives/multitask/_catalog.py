"""The methods: filled by `@method` when the files are imported, read by everyone."""

import difflib
import inspect
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from types import MappingProxyType
from typing import Any, Literal, get_type_hints

import numpy as np
from pydantic import BaseModel, ConfigDict

from lossd.errors import BadOption, MissingInput, UnknownRoute
from lossd.objectives.multitask._tasks import Array
from lossd.schema.call import Warned

Dims = tuple[Literal["tasks"], ...]
Arrays = Mapping[str, Array]
Residual = Callable[..., float]
INPUTS = ("losses", "gramian", "gradients", "groups", "norms")


class MethodParams(BaseModel):
    """Base of every method's parameters: closed, immutable, finite."""

    model_config = ConfigDict(extra="forbid", frozen=True, strict=True, allow_inf_nan=False)


class NoParams(MethodParams):
    """Parameters of methods that have none."""


@dataclass(frozen=True, slots=True)
class StateArray:
    """One array of a state: a number, (K,) or (K, K). One that is optional may be absent."""

    dims: Dims = ()
    optional: bool = False


@dataclass(frozen=True, slots=True)
class Draw:
    """Where a method's chance comes from: a seed, or the order of the tasks written out."""

    seed: int | None = None
    permutation: tuple[tuple[int, ...], ...] | None = None

    def generator(self) -> np.random.Generator:
        """A generator of the seed. Raises `MissingInput` if there is none."""
        if self.seed is None:
            raise MissingInput(
                "this method draws random numbers", at="seed", expected="an integer from 0"
            )
        return np.random.default_rng(self.seed)

    def orders(self, count: int) -> list[list[int]]:
        """For each task the order in which it meets the tasks: given, drawn, or as they stand."""
        if self.permutation is not None:
            given = self.permutation
            rows = given * count if len(given) == 1 else given
            if len(rows) != count or any(sorted(row) != list(range(count)) for row in rows):
                raise BadOption(
                    "not an order of the tasks",
                    at="permutation",
                    expected=f"each of 0 to {count - 1} once, for all tasks or for each of them",
                )
            return [list(row) for row in rows]
        if self.seed is None:
            return [list(range(count))] * count
        generator = self.generator()
        return [generator.permutation(count).tolist() for _ in range(count)]


@dataclass(frozen=True, slots=True, kw_only=True)
class Solved:
    """What a method's function answers.

    - `weights`: (K,); None where the direction is no combination of the gradients.
    - `value`: what the weights are the derivatives of; None is their product with the losses.
    - `direction`: (P,), if it is not the combination by the weights.
    - `residual`: of the defining equation, where only the method itself can see it.
    - `state`: the arrays of the new state. `gradients`: with respect to its own parameters.
    """

    weights: Array | None
    value: float | None = None
    direction: Array | None = None
    residual: float | None = None
    state: Arrays | None = None
    gradients: Arrays = field(default_factory=dict)
    group_weights: Arrays = field(default_factory=dict)
    warnings: tuple[Warned, ...] = ()


@dataclass(frozen=True, slots=True, kw_only=True)
class Method:
    """One row of the catalog."""

    name: str
    fn: Callable[..., Solved]
    params: type[MethodParams]
    takes: tuple[str, ...]  # of INPUTS, and state and draw
    needs: tuple[str, ...]  # of INPUTS: without them there is no answer
    formula: str
    source: str
    equation: str
    residual: Residual | None
    state: Mapping[str, StateArray]
    version: int

    @property
    def summary(self) -> str:
        """First line of the docstring."""
        return (inspect.getdoc(self.fn) or "").partition("\n")[0]

    @property
    def notes(self) -> str:
        """What the docstring says beyond its first line."""
        return (inspect.getdoc(self.fn) or "").partition("\n")[2].strip()

    @property
    def randomness(self) -> Literal["none", "seed", "seed or permutation"]:
        """What a method takes that draws: `permutation` is the parameter of those that order."""
        if "draw" in self.takes:
            return "seed"
        return "seed or permutation" if "orders" in self.takes else "none"


_registered: dict[str, Method] = {}
METHODS: Mapping[str, Method] = MappingProxyType(_registered)


def method(
    *,
    formula: str,
    source: str,
    equation: str,
    residual: Residual | None = None,
    state: Mapping[str, StateArray] | None = None,
    version: int = 1,
) -> Callable[[Callable[..., Solved]], Callable[..., Solved]]:
    """Put a method in the catalog under its function's name, which must be its file's name too.

    The function takes by name what it needs of `losses`, `gramian`, `gradients`, `groups`, `norms`
    (those without a default must be given) and `count`, then `params`, and by their names `state`
    (None at the first call), `draw` (a `Draw`) or `orders` (for each task the order in which it
    meets the others).

    - `formula`: LaTeX. `source`: paper and equation.
    - `equation`: what the residual of the certificate is of, in words.
    - `residual`: the residual of any weights: takes `weights` and by their names inputs, `params`.
    - `state`: the arrays that go from call to call.
    """

    def register(fn: Callable[..., Solved]) -> Callable[..., Solved]:
        name, module = fn.__name__, fn.__module__.rpartition(".")[2]
        if name in _registered or module != name:
            raise RuntimeError(f"{fn.__module__}: one method per file, named after it: {name}")
        parameters = inspect.signature(fn).parameters
        known = {*INPUTS, "count", "params", "state", "draw", "orders"}
        if set(parameters) - known or ("state" in parameters) != bool(state):
            raise RuntimeError(f"{name}: takes what no method is given")
        _registered[name] = Method(
            name=name,
            fn=fn,
            params=get_type_hints(fn)["params"],
            takes=tuple(parameters),
            needs=tuple(
                key
                for key, each in parameters.items()
                if key in INPUTS and each.default is inspect.Parameter.empty
            ),
            formula=formula,
            source=source,
            equation=equation,
            residual=residual,
            state=MappingProxyType(dict(state or {})),
            version=version,
        )
        return fn

    return register


def find(name: str) -> Method:
    """Look a method up. Raises `UnknownRoute`, with the nearest name if one is near."""
    if name in METHODS:
        return METHODS[name]
    near = difflib.get_close_matches(name, METHODS, n=1, cutoff=0.5)
    raise UnknownRoute(
        f"no method is named {name[:100]!r}" + (f"; did you mean {near[0]!r}?" if near else ""),
        at="method",
        expected=near[0] if near else ", ".join(METHODS),
        got=name[:100],
    )


def describe(spec: Method) -> dict[str, Any]:
    """Everything that a method declares."""
    return {
        "name": spec.name,
        "version": spec.version,
        "summary": spec.summary,
        "description": spec.notes,
        "formula": spec.formula,
        "source": spec.source,
        "needs": list(spec.needs),
        "randomness": spec.randomness,
        "state": {key: ["tasks"] * len(each.dims) for key, each in spec.state.items()},
        "equation": spec.equation,
        "params": spec.params.model_json_schema(),
    }
