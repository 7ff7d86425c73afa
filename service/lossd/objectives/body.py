"""The pydantic models of `/v1/objectives`, for OpenAPI; requests are not read through them."""

from typing import Any, Literal

from pydantic import BaseModel, ConfigDict, Field

from lossd.objectives.balancing import Balance
from lossd.objectives.objective import ObjectiveOptions
from lossd.schema.body import Answer, AnyTensor, Nested, NestedNumber, Warned
from lossd.schema.mining import Mining


class ObjectiveTerm(BaseModel):
    """One loss of an objective, whose tensors are named."""

    model_config = ConfigDict(extra="forbid")

    name: str | None = Field(
        None,
        pattern="^[A-Za-z0-9_-]{1,64}$",
        description="What it is answered by. Default: its place in the list, from 0.",
    )
    loss: str
    inputs: dict[str, str | dict[str, str]] = Field(
        description="The tensor that each input is; of a group, one per member."
    )
    params: dict[str, Any] = Field(
        default={}, description="Of the loss; in place of a real number, a schedule."
    )
    weight: float | dict[str, Any] = Field(
        1.0, description='A number, or {"schedule": name, ...its parameters}.'
    )
    rows: str | None = Field(
        None, description="The rows that count: comparisons of tensors, like labels > 0."
    )
    reduction: Literal["mean", "sum"] | None = None
    row_weights: str | None = Field(None, description="The tensor of weights, a number per row.")
    mining: Mining | None = None
    class_axis: int = 1


class ObjectiveRequest(ObjectiveOptions):
    """Several terms over tensors that are sent once."""

    tensors: dict[str, AnyTensor | dict[str, AnyTensor]]
    terms: list[ObjectiveTerm] = Field(min_length=1)
    state: dict[str, Any] | None = Field(None, description="That of the last answer, as it came.")
    balance: Balance | None = None


class TermAnswer(Answer):
    """What became of a term; value and gradients without its weight."""

    weight: NestedNumber = Field(description="As used, a method's included.")
    weighted_value: NestedNumber = Field(description="What it adds to the value.")
    selected: list[int] | None = Field(None, description="Of a term with rows: their indices.")
    norms: dict[str, Nested] | None = Field(None, description="Of its gradient by each tensor.")
    shares: dict[str, Nested] | None = Field(
        None, description="Its weighted norm over the sum of those of all terms."
    )


class Conflict(BaseModel):
    """Two terms whose gradients by a tensor point against each other."""

    tensor: str
    terms: list[str]
    cosine: float


class ObjectiveAnswer(BaseModel):
    """One value, one gradient by each tensor, and what each term adds."""

    value: NestedNumber
    gradients: dict[str, Nested] | None = Field(None, description="Of the value, by the tensors.")
    terms: dict[str, TermAnswer]
    step: int | None
    state: dict[str, Any] = Field(
        description="weights: of controllers, by the term's name; balance: of the method."
    )
    balance: dict[str, Any] | None = Field(
        None, description="Of a balanced objective: the method's weights and its certificate."
    )
    cosines: dict[str, Nested] | None = None
    cosine_terms: dict[str, list[str]] | None = Field(
        None, description="Which terms the rows and columns of cosines are."
    )
    conflicts: list[Conflict] | None = None
    warnings: list[Warned]
