"""`python -m docs.generate`: write the reference pages from the code. `--check` only compares."""

import io
import json
import sys
from collections.abc import Callable, Mapping
from functools import partial
from pathlib import Path

import numpy as np
import pyarrow as pa
import torch
from benchmarks import report

from lossd import errors
from lossd.errors import NotAcceptable
from lossd.losses import CATALOG, LossSpec
from lossd.schema.describe import cost_of
from lossd.settings import Settings
from lossd.wire import ARROW, CODECS, DTYPES, Message
from lossd.wire.oip import NAMES

ROOT = Path(__file__).parents[1]
NOTE = "<!-- Written by python -m docs.generate. -->"


def losses_page() -> str:
    parts = [NOTE, "# The losses", ""]
    families = sorted({spec.family for spec in CATALOG.values()})
    for family in families:
        parts += [f"## {family}", ""]
        for _, spec in sorted(CATALOG.items()):
            if spec.family == family:
                parts += _loss(spec)
    return "\n".join(parts)


def _loss(spec: LossSpec) -> list[str]:
    doc = [line.strip() for line in (spec.fn.__doc__ or "").strip().splitlines()]
    parts = [f"### {spec.name}", "", *doc, "", f"$$ {spec.formula} $$", ""]
    parts += ["| input | shape | gradient | meaning |", "|---|---|---|---|"]
    for name, each in spec.inputs.items():
        optional = " (optional)" if each.optional else ""
        gradient = "yes" if each.arg.gradient else ""
        shape = f"{each.kind} ({', '.join(each.dims)}){', or a group' if each.group else ''}"
        shape = shape.replace("*", r"\*")
        parts.append(f"| `{name}`{optional} | {shape} | {gradient} | {each.arg.doc} |")
    for name, each in spec.inputs.items():
        if each.needs:
            parts += ["", f"`{name}` needs {' and '.join(f'`{x}`' for x in each.needs)}."]
    for names in spec.exactly_one_of:
        parts += ["", f"Exactly one of {' and '.join(f'`{name}`' for name in names)}."]
    if spec.params.model_fields:
        parts += ["", "| parameter | default | meaning |", "|---|---|---|"]
    for name, field in spec.params.model_fields.items():
        parts.append(f"| `{name}` | {field.default!r} | {field.description} |")
    cost = cost_of(spec.name)
    parts += [
        "",
        f"- **Characteristics** {spec.card.characteristics}",
        f"- **Use** {spec.card.use}",
        f"- **Stability** {spec.card.stability}",
        f"- **Data** {spec.card.data}",
        f"- **Cost** per element, counted on the example: {cost['operations']:g} operations, "
        f"{cost['transcendentals']:g} of them transcendental, {cost['bytes_float32']:g} bytes.",
        f"- **Unit** {spec.units}; **rows** {spec.coupling}; **default reduction** "
        f"{spec.reduction}.",
        f"- **Source** {spec.source}.",
        "",
    ]
    return parts


def table_of_losses() -> str:
    lines = ["| loss | family | what it is |", "|---|---|---|"]
    lines += [
        f"| `{name}` | {spec.family} | {spec.summary} |" for name, spec in sorted(CATALOG.items())
    ]
    return "\n".join(lines)


def table_of_settings() -> str:
    lines = ["| setting | default | meaning |", "|---|---|---|"]
    for name, each in Settings.model_fields.items():
        default = "not set" if each.default is None else each.default
        lines.append(f"| `LOSSD_{name.upper()}` | {default} | {each.description} |")
    return "\n".join(lines)


def table_of_errors() -> str:
    lines = ["| code | status | meaning |", "|---|---|---|"]
    kinds = [e for e in vars(errors).values() if isinstance(e, type) and hasattr(e, "code")]
    lines += [f"| `{e.code}` | {e.status} | {(e.__doc__ or '').strip()} |" for e in kinds]
    return "\n".join(lines)


def table_of_formats() -> str:
    lines = [f"| dtype | {' | '.join(CODECS)} |", f"|---|{'---|' * len(CODECS)}"]
    for name in DTYPES:
        cells = ["yes" if name in codec.dtypes else "no" for codec in CODECS.values()]
        lines.append(f"| {name} | {' | '.join(cells)} |")
    return "\n".join(lines)


def table_of_dtypes() -> str:
    """What each format calls a dtype, read from what it writes."""
    lines = [
        "| JSON | safetensors | NPZ | Arrow | Open Inference Protocol |",
        "|---|---|---|---|---|",
    ]
    for name, dtype in DTYPES.items():
        x = torch.zeros(1, dtype=dtype)
        names = [_in_safetensors(x), _in_npz(x), _in_arrow(x), NAMES.get(dtype)]
        cells = " | ".join(f"`{each}`" if each else "" for each in names)
        lines.append(f"| `{name}` | {cells} |")
    return "\n".join(lines)


def _in_safetensors(x: torch.Tensor) -> str:
    body = CODECS["application/vnd.safetensors"].encode(Message({"x": x}))
    size = int.from_bytes(body[:8], "little")
    return str(json.loads(body[8 : 8 + size])["x"]["dtype"])


def _in_npz(x: torch.Tensor) -> str | None:
    try:
        body = CODECS["application/x-npz"].encode(Message({"x": x}))
    except NotAcceptable:
        return None
    return str(np.load(io.BytesIO(body))["x"].dtype.str).replace("|", r"\|")


def _in_arrow(x: torch.Tensor) -> str | None:
    try:
        body = CODECS[ARROW].encode(Message({"x": x}))
    except NotAcceptable:
        return None
    return str(pa.ipc.open_stream(body).schema.field("x").type)


Tables = Mapping[str, Callable[[], str]]
README: Tables = {
    "losses": table_of_losses,
    "settings": table_of_settings,
    "errors": table_of_errors,
    "formats": table_of_formats,
}


def filled(page: str, tables: Tables) -> str:
    """A page with its tables made anew."""
    text = (ROOT / page).read_text()
    for name, table in tables.items():
        begin, end = f"<!-- {name}: generated -->", "<!-- end -->"
        before, _, rest = text.partition(begin)
        if not rest:
            raise SystemExit(f"{page} has no {begin}")
        _, _, after = rest.partition(end)
        text = f"{before}{begin}\n\n{table()}\n\n{end}{after}"
    return text


PAGES: Tables = {
    "docs/losses.md": losses_page,
    "docs/wire.md": partial(filled, "docs/wire.md", {"dtypes": table_of_dtypes}),
    "docs/performance.md": report.page,
    "README.md": partial(filled, "README.md", README),
}


def main() -> int:
    stale = []
    for name, page in PAGES.items():
        text = page().rstrip() + "\n"
        path = ROOT / name
        if not path.exists() or path.read_text() != text:
            stale.append(name)
            if "--check" not in sys.argv:
                path.write_text(text)
    print(f"stale: {', '.join(stale)}" if stale else "every page is as the code says")
    return 1 if stale and "--check" in sys.argv else 0


if __name__ == "__main__":
    sys.exit(main())
