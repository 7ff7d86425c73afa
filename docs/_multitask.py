"""The tables of docs/multitask.md: what each method declares."""

import json
from typing import Any

from docs._losses import cell

from lossd.objectives.multitask import METHODS, Method

_NEEDS = {
    "losses": "losses",
    "gramian": "gramian or gradients",
    "gradients": "gradients",
    "norms": "norms, gramian or gradients",
}


def table_of_methods() -> str:
    lines = [f"{len(METHODS)} methods.", ""]
    lines += ["| method | needs | draws | state | what it does |", "|---|---|---|---|---|"]
    for name, spec in METHODS.items():
        needs = ", ".join(_NEEDS[each] for each in spec.needs) or "any of them"
        draws = "" if spec.randomness == "none" else spec.randomness
        state = ", ".join(f"`{each}`" for each in spec.state)
        lines.append(f"| `{name}` | {needs} | {draws} | {state} | {cell(spec.summary)} |")
    return "\n".join(lines)


def table_of_params() -> str:
    lines = ["| method | parameter | default | meaning |", "|---|---|---|---|"]
    for name, spec in METHODS.items():
        for key, each in spec.params.model_fields.items():
            default = "" if each.is_required() else f"`{_json(each.default)}`"
            lines.append(f"| `{name}` | `{key}` | {default} | {cell(each.description)} |")
    return "\n".join(lines)


def _json(value: Any) -> str:
    return value if isinstance(value, str) else json.dumps(value)


def sections_of_methods() -> str:
    return "\n\n".join(_section(spec) for spec in METHODS.values())


def _section(spec: Method) -> str:
    parts = [f"### {spec.name}", "", spec.summary]
    if spec.notes:
        parts += ["", *_joined(spec.notes)]
    residual = spec.equation[0].upper() + spec.equation[1:]
    parts += ["", f"$$ {spec.formula} $$", "", f"Residual: {residual}. Source: {spec.source}."]
    return "\n".join(parts)


def _joined(text: str) -> list[str]:
    """Paragraphs, each on a line of its own."""
    paragraphs = [" ".join(each.split()) for each in text.split("\n\n")]
    return "\n\n".join(paragraphs).split("\n")
