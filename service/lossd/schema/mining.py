"""The option `mining`: which items of a call count, by how hard they are."""

from collections.abc import Collection, Mapping
from types import MappingProxyType
from typing import Annotated, Literal, Self

from pydantic import BaseModel, ConfigDict, Field, model_validator
from pydantic_core import PydanticCustomError

from lossd.errors import BadOption
from lossd.losses import LossSpec

_LABELS = ("labels", "targets")  # where the inputs that say what is positive are found
_ONE_OF = ("keep_fraction", "keep_count", "threshold")


class _Method(BaseModel):
    model_config = ConfigDict(extra="forbid", frozen=True, strict=True, allow_inf_nan=False)


class Ohem(_Method):
    """The items of largest value: online hard example mining (Shrivastava et al. 2016)."""

    method: Literal["ohem"]
    keep_fraction: float | None = Field(
        None, gt=0, le=1, description="Of the items that count; rounded up."
    )
    keep_count: int | None = Field(None, ge=1, description="How many items.")
    threshold: float | None = Field(None, description="Items of a value above it.")
    min_kept: int = Field(0, ge=0, description="At least so many, if there are.")

    @model_validator(mode="after")
    def _one_way(self) -> Self:
        given = [name for name in _ONE_OF if getattr(self, name) is not None]
        if len(given) != 1:
            raise PydanticCustomError(
                "exactly_one_of", "give exactly one of keep_fraction, keep_count and threshold"
            )
        return self


class NegativeRatio(_Method):
    """Every positive, and the hardest negatives: so many for each positive (Liu et al. 2016)."""

    method: Literal["negative_ratio"]
    ratio: float = Field(3.0, gt=0, description="Negatives per positive; the product rounded down.")
    background: int = Field(0, description="The label, or target, of a negative.")
    min_negatives: int = Field(0, ge=0, description="At least so many, if there are.")


class Cvar(_Method):
    """The worst share: conditional value at risk (Rockafellar and Uryasev 2000).

    The item on the border counts in part, so that the share is exact.
    """

    method: Literal["cvar"]
    alpha: float = Field(gt=0, le=1, description="The share, of items or of their row weights.")


Mining = Annotated[Ohem | NegativeRatio | Cvar, Field(discriminator="method")]
METHODS: Mapping[str, type[BaseModel]] = MappingProxyType(
    {"ohem": Ohem, "negative_ratio": NegativeRatio, "cvar": Cvar}
)


def labels_of(spec: LossSpec, given: Collection[str]) -> str | None:
    """The input that says which items are positive: a label or a target for each."""
    for name in _LABELS:
        if name in given and spec.inputs[name].dims == spec.items:
            return name
    return None


def check_mining(
    spec: LossSpec, mining: Ohem | NegativeRatio | Cvar, given: Collection[str], has_cotangent: bool
) -> None:
    """Raises `BadOption` where a call cannot be mined."""
    if spec.coupling != "independent" or spec.items[:1] != ("rows",):
        raise BadOption(
            f"{spec.name} cannot be mined: its rows do not stand alone",
            at="mining",
            expected="a loss with one value per row that depends on that row only",
            got=f"coupling {spec.coupling}",
        )
    if has_cotangent:
        raise BadOption(
            "a cotangent weighs every value itself, so there is nothing to mine",
            at="mining",
            expected="mining or a cotangent, or row_weights",
            got="both",
        )
    if mining.method == "negative_ratio" and labels_of(spec, given) is None:
        raise BadOption(
            f"{spec.name} has no label per item that says what is negative",
            at="mining.method",
            expected="ohem or cvar; or a loss with labels or targets, one per item",
            got=mining.method,
        )
