"""An objective: terms over tensors that are named once, as it is computed."""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Literal

import torch
from pydantic import BaseModel, ConfigDict, Field
from torch import Tensor

from lossd.objectives.balancing import Balance
from lossd.objectives.coefficients import Weight
from lossd.objectives.schedules import LAST_STEP
from lossd.schema import Call
from lossd.schema.options import FloatDtype

Output = Literal["value", "gradients", "norms", "shares", "cosines", "rows", "term_gradients"]
# Need the gradients of each term.
OF_EACH_TERM: tuple[Output, ...] = ("norms", "shares", "cosines", "term_gradients")


class ObjectiveOptions(BaseModel):
    """What is said of an objective beside its tensors and terms."""

    model_config = ConfigDict(extra="forbid", frozen=True, strict=True)

    step: int | None = Field(
        None, ge=0, le=LAST_STEP, description="The step that schedules are taken at, from 0."
    )
    outputs: list[Output] = Field(
        default=["value", "gradients"],
        description="What to answer; value and terms always come back. norms: of each term's "
        "gradient by each tensor; shares: of all terms' weighted norms; cosines: between the "
        "terms' gradients by each tensor that several take; rows: every value of each term; "
        "term_gradients: each term's own gradients, without its weight.",
    )
    wrt: list[str] | None = Field(
        None,
        description="The tensors, or groups of them, whose gradients are wanted. "
        "Default: every one that a differentiable input of a term takes.",
    )
    dtype: Literal["float32", "float64"] = Field(
        "float32", description="How to read real numbers whose dtype the format does not state."
    )
    gradient_dtype: FloatDtype | None = Field(
        None, description="Of the gradients. Default: each tensor's own."
    )
    nonfinite: Literal["refuse", "propagate"] = Field(
        "refuse", description="What to do with NaN and infinities that a loss does not allow."
    )

    @property
    def wants_gradients(self) -> bool:
        """Whether any gradient is needed for what is answered."""
        return bool({"gradients", *OF_EACH_TERM} & {*self.outputs})


@dataclass(frozen=True, slots=True)
class Term:
    """One loss of an objective.

    - `at`: its place in the request.
    - `call`: of the rows that it takes, its `wrt` the inputs that a wanted gradient passes through.
    - `sources`: the posted tensor that each input is, by the input's key.
    - `selection`: the expression that chose its rows, and `rows` their indices; None is all rows.
    """

    name: str
    at: str
    call: Call
    sources: Mapping[str, str]
    weight: Weight
    selection: str | None = None
    rows: Tensor | None = None

    @property
    def leaves(self) -> tuple[str, ...]:
        """The posted tensors that its gradient is wanted of, each once."""
        return tuple(dict.fromkeys(self.sources[key] for key in self.call.wrt))

    def has_rows(self, key: str) -> bool:
        """Whether an input is of the chosen rows only."""
        return self.rows is not None and self.call.spec.inputs[key.partition("/")[0]].scope == "row"


@dataclass(frozen=True, slots=True)
class Objective:
    """All terms, whose values are still to be checked.

    - `wrt`: the posted tensors whose gradients are answered, with the dtypes of these.
    - `shared`: those whose gradients the method of `balance` compares, answered or not.
    - `tasks`: the names of the terms that it balances.
    """

    tensors: Mapping[str, Tensor]
    terms: tuple[Term, ...]
    options: ObjectiveOptions
    wrt: Mapping[str, torch.dtype]
    balance: Balance | None = None
    shared: tuple[str, ...] = ()
    tasks: tuple[str, ...] = ()

    @property
    def compares(self) -> bool:
        """Whether each term's own gradients are needed."""
        return self.wants(*OF_EACH_TERM) or (
            self.balance is not None and self.balance.needs_gradients
        )

    def wants(self, *outputs: Output) -> bool:
        """Whether any of these is asked for."""
        return any(each in self.options.outputs for each in outputs)
