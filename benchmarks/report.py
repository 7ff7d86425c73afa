"""`python -m benchmarks.report`: docs/performance.md, from the results of the last runs.

`results/servers.<section>.jsonl` is what `bench_servers` saved, `results/<name>.jsonl` what any
other benchmark printed; `notes.md` has the prose: a heading for each, and what bounds its numbers.
"""

import json
from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path
from typing import Any

HERE = Path(__file__).parent
PAGE = HERE.parent / "docs" / "performance.md"
SECTIONS = {
    "small_json": "Small call: 32 x 10 in JSON, value, rows and gradients, 16 connections",
    "small_latency": "Small call, one connection",
    "large_binary": "Large call: 64 x 32000 float32, value and gradients, in binary",
    "large_json": "Large call in JSON",
    "shared_memory": "64 x 1000 through system shared memory, two connections",
    "formats": "Every format",
    "load": "More connections, and memory over time",
    "workers": "Two workers",
}
UNTOLD = {"machine", "setting"}  # kinds of lines that are in the results only
Line = Mapping[str, Any]
HEAD = """<!-- Written by python -m benchmarks.report from benchmarks/results. -->
# Performance

lossd against other servers that compute the same cross-entropy and its gradients.
`make bench` measures again and rewrites this page; `python -m benchmarks servers --only small_json`
runs one section.

Every answer is compared with torch before the clock starts. The contenders then take turns: each is
pinned to one core, the load generator to another, and those whose turn it is not are stopped.
Figures are medians of rounds. A ratio is the median of the ratios round by round; its quartiles are
in brackets. The load generator sends bytes that are ready and reads each answer to its end.
Peak memory is the sum over the server's processes, pages that they share counted in each.
"""


def page(results: Path = HERE / "results", notes: Path = HERE / "notes.md") -> str:
    """The whole page."""
    runs = {name: _lines(results / f"servers.{name}.jsonl") for name in SECTIONS}
    prose = _prose(notes.read_text())
    parts = [HEAD, *_summary(runs), *_machines(runs)]
    for name, title in SECTIONS.items():
        parts += [f"## {title}", ""]
        if not runs[name]:
            parts += ["Not measured yet.", ""]
        parts += _section(runs[name])
        if name in prose:
            parts += [prose[name], ""]
    for path in sorted(results.glob("*.jsonl")):
        if not path.name.startswith("servers."):
            parts += [f"## `bench_{path.stem}`", "", *_plain(_lines(path))]
            parts += ["", prose.get(f"bench_{path.stem}", ""), ""]
    return "\n".join(parts).rstrip() + "\n"


def _plain(lines: Sequence[Line]) -> list[str]:
    """Lines of any benchmark, a table for each kind of them."""
    lines = [line for line in lines if line.get("kind") not in UNTOLD]
    kinds = list(dict.fromkeys(line.get("kind") for line in lines))
    return [
        text
        for kind in kinds
        for text in (*_one_kind([line for line in lines if line.get("kind") == kind]), "")
    ][:-1]


def _one_kind(lines: Sequence[Line]) -> list[str]:
    """A column for each figure. What all lines share stands above."""
    keys = list(dict.fromkeys(key for line in lines for key in line if key != "bench"))
    shared = [key for key in keys if len({json.dumps(line.get(key)) for line in lines}) == 1]
    own = [key for key in keys if key not in shared]
    said = ", ".join(f"{key} {lines[0][key]}" for key in shared)
    if not own:
        return [f"{said}."]
    rows = [[str(line.get(key, "")) for key in own] for line in lines]
    return [f"In all lines: {said}.", "", *_table(own, rows)]


def _lines(path: Path) -> list[Line]:
    return [json.loads(line) for line in path.read_text().splitlines()] if path.exists() else []


def _of(lines: Iterable[Line], kind: str) -> list[Line]:
    return [line for line in lines if line["kind"] == kind]


def _summary(runs: Mapping[str, Sequence[Line]]) -> list[str]:
    """Every target of every section."""
    rows = [
        [
            line["section"],
            line["target"],
            f"{'at most' if line['reach'] < line['floor'] else 'at least'} {line['reach']:g}",
            f"{line['floor']:g}",
            _ratio(line),
            line["verdict"],
        ]
        for lines in runs.values()
        for line in _of(lines, "target")
    ]
    head = ["section", "ratio of lossd's", "reach", "floor", "measured", "verdict"]
    return ["## Targets", "", *_table(head, rows), ""]


def _ratio(line: Line) -> str:
    if line["ratio"] is None:
        return "-"
    low, high = line.get("quartiles", (line["ratio"], line["ratio"]))
    return f"{line['ratio']:.3g} ({low:.3g} to {high:.3g})"


def _machines(runs: Mapping[str, Sequence[Line]]) -> list[str]:
    """Where each section was run; those of one machine and day in one line."""
    found: dict[str, list[str]] = {}
    busy: dict[str, float] = {}
    for name, lines in runs.items():
        for line in _of(lines, "machine"):
            versions = ", ".join(f"{key} {text}" for key, text in line["versions"].items())
            text = (
                f"{line['date']}: {line['cores']} cores of {line['cpu']}, "
                f"{line['memory_gib']} GiB, {line['system']}"
                f"{', quick rounds' if line['quick'] else ''}; {versions}"
            )
            found.setdefault(text, []).append(name)
            busy[name] = line["load_1min_at_start"]
    parts = [f"- {', '.join(names)}. {text}." for text, names in found.items()]
    most = max(busy.values(), default=0.0)
    if most > 1:
        parts.append(
            f"- Other work ran on the machine: its load was up to {most:g} as a section began."
        )
    return ["## Machine and versions", "", *parts, ""]


def _section(lines: Sequence[Line]) -> list[str]:
    parts: list[str] = []
    for kind, table in TABLES.items():
        if chosen := _of(lines, kind):
            parts += [*table(chosen), ""]
    for line in _of(lines, "defeat"):
        why = " ".join(line["why"].split())
        parts += [
            f"Not measured here: {line['contender']}, because this benchmark failed: {why}",
            "",
        ]
    return parts


def _contenders(lines: Sequence[Line]) -> list[str]:
    head = ["contender", "requests/s", "rows/s", "p50 ms", "p99 ms", "server CPU ms/request",
            "generator's CPU share", "peak memory MiB", "rounds"]  # fmt: skip
    rows = [
        [
            f"`{line['contender']}`",
            _number(line["requests_per_s"]),
            _number(line["rows_per_s"]),
            _number(line["p50_us"] / 1e3),
            _number(line["p99_us"] / 1e3),
            _number(line["server_cpu_us_per_request"] / 1e3),
            f"{line['generator_cpu_share']:.0%}",
            _number(line["peak_rss_mib"]),
            str(line["rounds"]),
        ]
        for line in lines
    ]
    return _table(head, rows)


def _formats(lines: Sequence[Line]) -> list[str]:
    phases = [key for key in lines[0] if key.endswith("_us") and key != "p50_us"]
    head = ["shape", "format", "request bytes", "answer bytes", "p50 ms",
            *(f"{key.removesuffix('_us')} ms" for key in phases)]  # fmt: skip
    rows = [
        [
            " x ".join(map(str, line["shape"])),
            line["format"],
            f"{line['request_bytes']:,}",
            f"{line['response_bytes']:,}",
            _number(line["p50_us"] / 1e3),
            *(_number(line.get(key, 0) / 1e3) for key in phases),
        ]
        for line in lines
    ]
    return _table(head, rows)


def _concurrency(lines: Sequence[Line]) -> list[str]:
    head = ["connections", "requests/s", "p50 ms", "p99 ms", "generator's CPU share"]
    rows = [
        [
            str(line["connections"]),
            _number(line["requests_per_s"]),
            _number(line["p50_us"] / 1e3),
            _number(line["p99_us"] / 1e3),
            f"{line['generator_cpu_share']:.0%}",
        ]
        for line in lines
    ]
    return _table(head, rows)


def _memory(lines: Sequence[Line]) -> list[str]:
    head = ["seconds", "connections", "requests", "memory MiB at start", "at half", "at the end",
            "growth in the second half, MiB per minute"]  # fmt: skip
    rows = [
        [
            str(line["duration_s"]),
            str(line["connections"]),
            f"{line['requests']:,}",
            _number(line["rss_at_start_mib"]),
            _number(line["rss_at_half_mib"]),
            _number(line["rss_at_end_mib"]),
            f"{line['growth_in_second_half_mib_per_min']:.2f}",
        ]
        for line in lines
    ]
    return _table(head, rows)


TABLES = {
    "contender": _contenders,
    "format": _formats,
    "concurrency": _concurrency,
    "memory": _memory,
}


def _table(head: Sequence[str], rows: Iterable[Sequence[str]]) -> list[str]:
    lines = [head, ["---"] * len(head), *rows]
    return [f"| {' | '.join(cells)} |" for cells in lines]


def _number(x: float) -> str:
    """Three digits that count, thousands apart."""
    if x == 0:
        return "0"
    return f"{x:,.0f}" if abs(x) >= 100 else f"{x:.3g}"


def _prose(text: str) -> dict[str, str]:
    """What stands below each `## section`."""
    parts = text.split("\n## ")[1:]
    return {part.partition("\n")[0].strip(): part.partition("\n")[2].strip() for part in parts}


def write() -> None:
    PAGE.write_text(page())


if __name__ == "__main__":
    write()
