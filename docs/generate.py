"""`python -m docs.generate`: write the reference pages from the code. `--check` only compares."""

import io
import json
import math
import re
import sys
from collections.abc import Callable, Mapping
from functools import partial
from pathlib import Path

import numpy as np
import pyarrow as pa
import torch
from benchmarks import report

from docs import _choosing, _coverage, _losses, _multitask
from lossd import errors
from lossd.errors import NotAcceptable
from lossd.objectives.ready import TEMPLATES
from lossd.settings import Settings
from lossd.wire import ARROW, CODECS, DTYPES, Message
from lossd.wire.oip import NAMES

ROOT = Path(__file__).parents[1]
NUMBER = re.compile(r"-?\d+\.?\d*(?:e[+-]?\d+)?")


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
    "losses": _losses.list_of_families,
    "settings": table_of_settings,
    "errors": table_of_errors,
    "formats": table_of_formats,
}


def table_of_templates() -> str:
    lines = [f"{len(TEMPLATES)} of them.", "", "| name | what it is | source |", "|---|---|---|"]
    lines += [f"| `{name}` | {x.summary} | {x.source} |" for name, x in TEMPLATES.items()]
    return "\n".join(lines)


MULTITASK: Tables = {
    "methods": _multitask.table_of_methods,
    "params": _multitask.table_of_params,
    "formulas": _multitask.sections_of_methods,
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
    **_losses.PAGES,
    "docs/choosing.md": _choosing.page,
    "docs/coverage.md": _coverage.page,
    "docs/wire.md": partial(filled, "docs/wire.md", {"dtypes": table_of_dtypes}),
    "docs/objectives.md": partial(filled, "docs/objectives.md", {"templates": table_of_templates}),
    "docs/multitask.md": partial(filled, "docs/multitask.md", MULTITASK),
    "docs/performance.md": report.page,
    "README.md": partial(filled, "README.md", README),
}


def is_same(a: str, b: str) -> bool:
    """Whether two pages say the same: numbers to the rounding that processors differ by."""
    if a == b:
        return True
    numbers = [[float(x) for x in NUMBER.findall(text)] for text in (a, b)]
    close = (math.isclose(x, y, rel_tol=1e-4, abs_tol=1e-6) for x, y in zip(*numbers, strict=False))
    return NUMBER.sub("0", a) == NUMBER.sub("0", b) and all(close)


def is_stale(name: str) -> bool:
    """Whether a page lags behind the code, or is not there."""
    path = ROOT / name
    return not path.exists() or not is_same(path.read_text(), PAGES[name]().rstrip() + "\n")


def orphans() -> list[str]:
    """Pages of families that are no more."""
    pages = (str(path.relative_to(ROOT)) for path in (ROOT / "docs/losses").glob("*.md"))
    return [page for page in pages if page not in PAGES]


def main() -> int:
    stale = [*orphans(), *(name for name in PAGES if is_stale(name))]
    if "--check" not in sys.argv:
        (ROOT / "docs/losses").mkdir(exist_ok=True)
        for name in stale:
            if name in PAGES:
                (ROOT / name).write_text(PAGES[name]().rstrip() + "\n")
            else:
                (ROOT / name).unlink()
    print(f"stale: {', '.join(stale)}" if stale else "every page is as the code says")
    return 1 if stale and "--check" in sys.argv else 0


if __name__ == "__main__":
    sys.exit(main())
