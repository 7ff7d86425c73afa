"""Ready-made objectives: JSON documents in `templates/`, each with a small example that runs."""

import difflib
from collections.abc import Mapping
from pathlib import Path
from types import MappingProxyType
from typing import Any

from pydantic import BaseModel, ConfigDict, Field

from lossd.errors import UnknownRoute


class Template(BaseModel):
    """An objective that somebody published or many use.

    `body` is one for `POST /v1/objectives`; its tensors are an example, its terms the objective.
    """

    model_config = ConfigDict(extra="forbid", frozen=True, strict=True)

    name: str = Field(pattern=r"^[a-z][a-z0-9_]*$")
    summary: str
    formula: str
    source: str
    notes: str
    body: dict[str, Any]


def _read(file: Path) -> Template:
    template = Template.model_validate_json(file.read_bytes())
    if template.name != file.stem:
        raise ValueError(f"{file.name} holds {template.name}: file and objective have one name")
    return template


TEMPLATES: Mapping[str, Template] = MappingProxyType(
    {
        file.stem: _read(file)
        for file in sorted((Path(__file__).parent / "templates").glob("*.json"))
    }
)


def find_template(name: str) -> Template:
    """Look a template up. Raises `UnknownRoute`, with the nearest name if one is near."""
    if name in TEMPLATES:
        return TEMPLATES[name]
    near = difflib.get_close_matches(name, TEMPLATES, n=1, cutoff=0.5)
    raise UnknownRoute(
        f"no objective is named {name[:100]!r}" + (f"; did you mean {near[0]!r}?" if near else ""),
        at="objective",
        expected=near[0] if near else ", ".join(TEMPLATES),
        got=name[:100],
    )
