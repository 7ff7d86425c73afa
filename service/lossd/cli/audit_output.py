"""Where a report goes: standard output in one form, a folder in all of them."""

import argparse
import os
import secrets
import sys
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import TextIO

from lossd.audit import Report, State, html
from lossd.audit.formats import github, junit, markdown, text
from lossd.cli.audit_issues import issue_files, paths_of_issues
from lossd.cli.predictions import Shard
from lossd.cli.whole_file import whole_file
from lossd.errors import UnreadableBody

PASSED, GATE_FAILED, INCONCLUSIVE = 0, 1, 4
STATE = "audit.state"
_SUMMARY = "GITHUB_STEP_SUMMARY"


@dataclass(frozen=True, slots=True)
class Output:
    """What there is to write; `has_issues` where the files of all label issues are written."""

    report: Report
    has_issues: bool = False


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
    make_folder(path.parent)
    _write_bytes(path, state.save())
    if not arguments.quiet:
        print(f"{state.rows} rows: {path}")
    return PASSED


def write_state(folder: Path, state: State) -> None:
    """Write the state of a whole audit. Raises `UnreadableBody`."""
    make_folder(folder)
    _write_bytes(folder / STATE, state.save())


def _write_folder(folder: Path, output: Output) -> None:
    report = output.report
    texts = {
        "report.json": report.to_json() + "\n",
        "report.html": html.render(report),
        "report.md": markdown.render(report),
        "junit.xml": junit.render(report),
    }
    for name, each in texts.items():
        _write_bytes(folder / name, each.encode())
    if output.has_issues:
        return
    if "label_issues" in report.results:
        with issue_files(folder) as files:
            files.write_listed(report.results["label_issues"]["listed"])
    else:
        for path in paths_of_issues(folder):  # of another run
            path.unlink(missing_ok=True)


def make_folder(folder: Path) -> None:
    """Make a folder and those above it. Raises `UnreadableBody`."""
    try:
        folder.mkdir(parents=True, exist_ok=True)
    except OSError as err:
        raise UnreadableBody(f"cannot be made: {err.strerror or err}", at=str(folder)) from err


def _write_bytes(path: Path, content: bytes) -> None:
    with whole_file(path) as part:
        part.write_bytes(content)


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


_FORMS: Mapping[str, Callable[[Report, TextIO], object]] = {
    "text": _text,
    "json": lambda report, stream: stream.write(report.to_json() + "\n"),
    "junit": lambda report, stream: stream.write(junit.render(report)),
    "github": _github,
    "markdown": lambda report, stream: stream.write(markdown.render(report)),
    "html": lambda report, stream: stream.write(html.render(report)),
}
