"""The pages of the losses: an index, and a page per family with all that each loss declares."""

import json
import math
from collections.abc import Callable, Iterator, Mapping
from functools import partial
from typing import Any

import torch

from lossd.engine import compute
from lossd.losses import CATALOG, LossSpec, topics_of
from lossd.schema import to_message
from lossd.schema.describe import cost_of, example_call, example_request
from lossd.wire import CODECS

NOTE = "<!-- Written by python -m docs.generate. -->"
DIGITS = 6  # of numbers in answers
FAMILIES = sorted({spec.family for spec in CATALOG.values()})


def of_family(family: str) -> list[LossSpec]:
    """Its losses, by name."""
    return [spec for _, spec in sorted(CATALOG.items()) if spec.family == family]


def cell(text: object) -> str:
    """Text for a cell of a table."""
    return str(text).replace("|", r"\|")


def link(spec: LossSpec, folder: str = "losses/") -> str:
    """A link to a loss, from a page of docs/ or, by the folder, from elsewhere."""
    return f"[`{spec.name}`]({folder}{spec.family}.md#{spec.name})"


def index_page() -> str:
    parts = [NOTE, "# The losses", ""]
    parts += [f"{len(CATALOG)} losses in {len(FAMILIES)} families. Which to take: "
              "[choosing.md](choosing.md).", ""]  # fmt: skip
    parts += ["| loss | family | what it is |", "|---|---|---|"]
    parts += [
        f"| {link(spec)} | [{spec.family}](losses/{spec.family}.md) | {cell(spec.summary)} |"
        for _, spec in sorted(CATALOG.items())
    ]
    return "\n".join(parts)


def list_of_families() -> str:
    """One line, each family with how many losses it has, linked from the README."""
    counts = [
        f"[{family}](docs/losses/{family}.md) {len(of_family(family))}" for family in FAMILIES
    ]
    return f"{len(CATALOG)} losses: {', '.join(counts)}."


def family_page(family: str) -> str:
    specs = of_family(family)
    parts = [NOTE, f"# {family}", "", "All losses: [losses.md](../losses.md).", ""]
    parts += [", ".join(link(spec, "") for spec in specs), ""]
    for spec in specs:
        parts += [f"## {spec.name}", "", *_loss(spec)]
    return "\n".join(parts)


def _loss(spec: LossSpec) -> Iterator[str]:
    yield from (line.strip() for line in (spec.fn.__doc__ or "").strip().splitlines())
    yield from ("", "$$", spec.formula, "$$", "")
    yield from _inputs(spec)
    yield from _params(spec)
    yield from ("", *_card(spec), "", f"`POST /v1/losses/{spec.name}`", "")
    yield from ("```json", _compact(example_request(spec)), "```", "", "answers", "")
    yield from ("```json", _compact(_answer(spec)), "```", "")


def _inputs(spec: LossSpec) -> Iterator[str]:
    yield from ("| input | shape | gradient | meaning |", "|---|---|---|---|")
    for name, each in spec.inputs.items():
        optional = " (optional)" if each.optional else ""
        gradient = "yes" if each.arg.gradient else ""
        shape = f"{each.kind} ({', '.join(each.dims)}){', or a group' if each.group else ''}"
        shape = shape.replace("*", r"\*")
        yield f"| `{name}`{optional} | {shape} | {gradient} | {cell(each.arg.doc)} |"
    for name, each in spec.inputs.items():
        if each.needs:
            yield from ("", f"`{name}` needs {' and '.join(f'`{x}`' for x in each.needs)}.")
    for names in spec.exactly_one_of:
        yield from ("", f"Exactly one of {' and '.join(f'`{name}`' for name in names)}.")


def _params(spec: LossSpec) -> Iterator[str]:
    if spec.params.model_fields:
        yield from ("", "| parameter | default | meaning |", "|---|---|---|")
    for name, field in spec.params.model_fields.items():
        yield f"| `{name}` | {cell(repr(field.default))} | {cell(field.description)} |"


def _card(spec: LossSpec) -> Iterator[str]:
    cost = cost_of(spec.name)
    yield f"- **Characteristics** {spec.card.characteristics}"
    yield f"- **Use** {spec.card.use}"
    yield f"- **Stability** {spec.card.stability}"
    yield f"- **Data** {spec.card.data}"
    yield (
        f"- **Cost** per element, counted on the example: {cost['operations']:g} operations, "
        f"{cost['transcendentals']:g} of them transcendental, {cost['bytes_float32']:g} bytes."
    )
    yield (
        f"- **Unit** {spec.units}; **rows** {spec.coupling}; **default reduction** "
        f"{spec.reduction}."
    )
    topics = ", ".join(f"[{each.name}](../choosing.md#{anchor(each.name)})"
                       for each in topics_of(spec))  # fmt: skip
    yield f"- **Source** {spec.source}."
    if topics:
        yield f"- **Topics** {topics}."


def anchor(heading: str) -> str:
    """What a link to a heading ends in."""
    return heading.lower().replace(" ", "-")


def _answer(spec: LossSpec) -> Any:
    """What the engine answers to the example, without what the page says already."""
    call = example_call(spec)
    message = to_message(call, compute(call, torch.device("cpu")))
    answer = json.loads(CODECS["application/json"].encode(message))
    return {
        key: _rounded(x)
        for key, x in answer.items()
        if key not in ("loss", "version", "params") and x != []
    }


def _rounded(x: Any) -> Any:
    if isinstance(x, dict):
        return {key: _rounded(each) for key, each in x.items()}
    if isinstance(x, list):
        return [_rounded(each) for each in x]
    if isinstance(x, float) and math.isfinite(x):
        return float(f"{x:.{DIGITS}g}") + 0.0  # -0.0 is 0.0
    return x


def _compact(x: Any) -> str:
    return json.dumps(x)


PAGES: Mapping[str, Callable[[], str]] = {
    "docs/losses.md": index_page,
    **{f"docs/losses/{family}.md": partial(family_page, family) for family in FAMILIES},
}
