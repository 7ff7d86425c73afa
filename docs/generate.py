"""`python -m docs.generate`: write the reference pages from the code. `--check` only compares."""

import sys
from pathlib import Path

from lossd import errors
from lossd.losses import CATALOG, LossSpec
from lossd.schema.describe import cost_of
from lossd.settings import Settings
from lossd.wire import CODECS, DTYPES

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


TABLES = {
    "losses": table_of_losses,
    "settings": table_of_settings,
    "errors": table_of_errors,
    "formats": table_of_formats,
}


def readme() -> str:
    """The README with its tables made anew."""
    text = (ROOT / "README.md").read_text()
    for name, table in TABLES.items():
        begin, end = f"<!-- {name}: generated -->", "<!-- end -->"
        before, _, rest = text.partition(begin)
        if not rest:
            raise SystemExit(f"README.md has no {begin}")
        _, _, after = rest.partition(end)
        text = f"{before}{begin}\n\n{table()}\n\n{end}{after}"
    return text


PAGES = {"docs/losses.md": losses_page, "README.md": readme}


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
