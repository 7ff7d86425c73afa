"""Where a report goes: standard output in one form, a folder in all of them."""

import argparse
import csv
import os
import secrets
import sys
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, TextIO

import pyarrow as pa

from lossd.audit import Report, State
from lossd.audit.formats import github, junit, markdown, text
from lossd.cli.predictions import Shard
from lossd.cli.tables import writing
from lossd.cli.whole_file import whole_file
from lossd.errors import UnreadableBody

PASSED, GATE_FAILED, INCONCLUSIVE = 0, 1, 4
STATE = "audit.state"
_SUMMARY = "GITHUB_STEP_SUMMARY"


@dataclass(frozen=True, slots=True)
class Output:
    """What there is to write; `issues` are all label issues, where they were listed."""

    report: Report
    state: State
    issues: Sequence[Mapping[str, Any]] | None = None


def exit_code(report: Report, inconclusive_fails: bool) -> int:
    """What the verdict is to a pipeline."""
    if report.verdict == "fail":
        return GATE_FAILED
    return INCONCLUSIVE if report.verdict == "inconclusive" and inconclusive_fails else PASSED


def write(arguments: argparse.Namespace, output: Output) -> None:
    """Write the folder, if one is wanted, and standard output. Raises `UnreadableBody`."""
    folder: Path | None = arguments.out
    if folder is not None:
        _write_folder(folder, output)
    if arguments.quiet:
        return
    if folder is not None and arguments.format is None:
        print(f"{output.report.verdict}: {folder / 'report.html'}")
        return
    _FORMS[arguments.format or "text"](output.report, sys.stdout)


def write_shard(arguments: argparse.Namespace, state: State) -> int:
    """Write the state of one shard; `--out` is its file if it ends in .state, or its folder."""
    shard = Shard.parse(arguments.shard)
    path: Path = arguments.out or Path()
    if path.suffix != ".state":
        path = path / f"audit-{shard.number}-of-{shard.of}.state"
    _make(path.parent)
    _write_bytes(path, state.save())
    if not arguments.quiet:
        print(f"{state.rows} rows: {path}")
    return PASSED


def _write_folder(folder: Path, output: Output) -> None:
    _make(folder)
    report = output.report
    texts = {
        "report.json": report.to_json() + "\n",
        "report.html": _html(report),
        "report.md": markdown.render(report),
        "junit.xml": junit.render(report),
    }
    for name, each in texts.items():
        _write_bytes(folder / name, each.encode())
    _write_bytes(folder / STATE, output.state.save())
    issues = output.issues
    if issues is None:
        issues = report.results.get("label_issues", {}).get("listed")
    if issues is not None:
        _write_issues(folder, issues)


def _html(report: Report) -> str:
    from lossd.audit.html import render

    return render(report)


def _make(folder: Path) -> None:
    try:
        folder.mkdir(parents=True, exist_ok=True)
    except OSError as err:
        raise UnreadableBody(f"cannot be made: {err.strerror or err}", at=str(folder)) from err


def _write_bytes(path: Path, content: bytes) -> None:
    with whole_file(path) as part:
        part.write_bytes(content)


def _write_issues(folder: Path, issues: Sequence[Mapping[str, Any]]) -> None:
    names = list(issues[0]) if issues else ["id", "label", "suggested", "score", "probability"]
    columns = {name: pa.array([each[name] for each in issues]) for name in names}
    with writing(folder / "issues.parquet") as table:
        table.write(pa.record_batch(columns))
    with whole_file(folder / "issues.csv") as part, part.open("w", newline="") as file:
        writer = csv.DictWriter(file, names)
        writer.writeheader()
        writer.writerows(issues)


def _text(report: Report, stream: TextIO) -> None:
    stream.write(text.render(report, colours=stream.isatty()))


def _github(report: Report, stream: TextIO) -> None:
    """Annotations and the report; the step summary where GitHub says.

    The report is printed where no line of it is taken for a command of GitHub.
    """
    path = os.environ.get(_SUMMARY)
    if path:
        try:
            with Path(path).open("a", encoding="utf-8") as file:
                file.write(github.render(report))
        except OSError as err:
            raise UnreadableBody(f"cannot write: {err.strerror or err}", at=path) from err
    stream.write(github.annotations(report))
    word = secrets.token_hex(16)
    stream.write(f"::stop-commands::{word}\n{text.render(report)}\n::{word}::\n")


_FORMS = {
    "text": _text,
    "json": lambda report, stream: stream.write(report.to_json() + "\n"),
    "junit": lambda report, stream: stream.write(junit.render(report)),
    "github": _github,
    "markdown": lambda report, stream: stream.write(markdown.render(report)),
    "html": lambda report, stream: stream.write(_html(report)),
}
