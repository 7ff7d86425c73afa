"""One gate: where it looks, and what it allows."""

from collections.abc import Mapping
from typing import Annotated, Any, Literal

from pydantic import BaseModel, ConfigDict, Field, ValidationError

from lossd.audit.gating.paths import Part, parse
from lossd.errors import BadOption

Allowed = Annotated[float, Field(ge=0)]


class Gate(BaseModel):
    """Bounds of a value, allowed changes against a baseline, or both."""

    model_config = ConfigDict(extra="forbid", frozen=True, strict=True, allow_inf_nan=False)

    metric: str = Field(description="The path of the value; `findings.CODE` for findings.")
    name: str | None = Field(None, max_length=200, description="What reports call it.")
    min: float | None = Field(None, description="Below, it fails.")
    max: float | None = Field(None, description="Above, it fails.")
    warn_min: float | None = Field(None, description="Below, it warns.")
    warn_max: float | None = Field(None, description="Above, it warns.")
    max_drop: Allowed | None = Field(None, description="Allowed below the baseline.")
    max_rise: Allowed | None = Field(None, description="Allowed above the baseline.")
    max_relative_drop: Allowed | None = Field(None, description="As a share of the baseline.")
    max_relative_rise: Allowed | None = Field(None, description="As a share of the baseline.")
    statistical: bool = Field(False, description="Fail only beyond what chance explains.")
    least_rows: int = Field(0, ge=0, description="Leave out classes and slices of fewer rows.")
    severity: Literal["error", "warning", "info"] | None = Field(
        None, description="Of findings: those of at least this."
    )
    on_fail: Literal["fail", "warn"] = Field("fail", description="What failing gives.")

    @property
    def bounds(self) -> bool:
        """Whether the value itself is bounded."""
        return any(x is not None for x in (self.min, self.max, self.warn_min, self.warn_max))

    @property
    def changes(self) -> dict[str, float]:
        """The allowed changes that it names."""
        names = ("max_drop", "max_rise", "max_relative_drop", "max_relative_rise")
        return {name: x for name in names if (x := getattr(self, name)) is not None}

    def parts(self, at: str) -> tuple[Part, ...]:
        """Its path. Raises `BadOption`."""
        return parse(self.metric, at)


def gate_of(values: Any, at: str) -> Gate:
    """A gate from plain values. Raises `BadOption` at the field."""
    if not isinstance(values, Mapping):
        raise BadOption("a gate is a table", at=at, expected="min, max, …", got=str(values)[:100])
    try:
        gate = Gate.model_validate(dict(values))
    except ValidationError as err:
        first = err.errors()[0]
        place = ".".join([at, *(str(each) for each in first["loc"])])[:300]
        expected = ", ".join(Gate.model_fields) if first["type"] == "extra_forbidden" else None
        raise BadOption(
            f"not a gate: {first['msg']}"[:300],
            at=place,
            expected=expected,
            got=str(first.get("input"))[:100],
        ) from err
    parts = gate.parts(f"{at}.metric")
    if parts[0].text == "findings":
        _check_findings(gate, len(parts), at)
        return gate
    if gate.severity is not None:
        raise BadOption("only findings have a severity", at=f"{at}.severity")
    if not gate.bounds and not gate.changes:
        expected = "min, max, warn_min, warn_max, max_drop, max_rise or a relative one"
        raise BadOption("a gate that allows everything", at=at, expected=expected, got="none")
    for low, high in (("min", "max"), ("warn_min", "warn_max")):
        a, b = getattr(gate, low), getattr(gate, high)
        if a is not None and b is not None and a > b:
            raise BadOption(
                "nothing can pass", at=f"{at}.{low}", expected=f"{b} or less", got=str(a)
            )
    if gate.changes and parts[0].text == "comparison":
        expected = "bounds: it is of a change already"
        raise BadOption("a comparison has no baseline", at=f"{at}.metric", expected=expected)
    return gate


def _check_findings(gate: Gate, parts: int, at: str) -> None:
    if parts != 2:
        expected = "findings.CODE, or findings.*"
        raise BadOption("not a path", at=f"{at}.metric", expected=expected, got=gate.metric[:100])
    bad = [
        *gate.changes,
        *(name for name in ("min", "warn_min") if getattr(gate, name) is not None),
    ]
    if bad or gate.statistical:
        raise BadOption(
            "findings are bounded by how many rows they are about",
            at=f"{at}.{bad[0] if bad else 'statistical'}",
            expected="max, warn_max",
        )
