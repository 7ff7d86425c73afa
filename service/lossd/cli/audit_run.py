"""What `lossd audit`, `lossd audit merge` and `lossd compare` do."""

import argparse
import io
import itertools
import sys
import time
from dataclasses import replace
from pathlib import Path
from typing import Any

from lossd import __version__
from lossd.audit import Audit, State, load, report_of
from lossd.audit.compare import compare
from lossd.audit.gates import Gates, judge, read_gates
from lossd.audit.second_pass import SecondPass
from lossd.cli.audit_issues import issue_files
from lossd.cli.audit_output import (
    STATE,
    Output,
    exit_code,
    make_folder,
    write,
    write_shard,
    write_state,
)
from lossd.cli.audit_setup import classes_of, setup_of, wanted_of
from lossd.cli.errors import explain, mistaken
from lossd.cli.predictions import Predictions, Shard
from lossd.cli.predictions.opening import files_of
from lossd.cli.progress import Progress
from lossd.errors import BadOption, LossdError, UnreadableBody

_MOST_STATE_BYTES = 8 << 30
_MOST_NAMED = 20  # files that the notes name


def audit(arguments: argparse.Namespace) -> int:
    """Read files and report; or write the state of a shard. Returns the exit code."""
    gates = _gates(arguments)
    baseline = _state_of(arguments, arguments.baseline) if arguments.baseline else None
    started_s = time.monotonic()
    state, predictions = _audited(arguments, arguments.files, _shard(arguments))
    if arguments.shard:
        return write_shard(arguments, state)
    second = _second_pass(arguments, state, predictions) if arguments.two_pass else None
    notes = _notes(predictions.files, state, started_s)
    return _finish(arguments, state, baseline, gates, notes, second)


def merge(arguments: argparse.Namespace) -> int:
    """Merge states and report. Returns the exit code."""
    gates = _gates(arguments)
    baseline = _state_of(arguments, arguments.baseline) if arguments.baseline else None
    started_s = time.monotonic()
    files = files_of(arguments.files)
    whole = _loaded(files[0])
    for name in files[1:]:
        other = _loaded(name)
        try:
            whole.merge(other)
        except LossdError as err:
            err.at = f"{name}: {err.at}"
            raise
    return _finish(arguments, whole, baseline, gates, _notes(files, whole, started_s))


def compare_files(arguments: argparse.Namespace) -> int:
    """Compare two models and report. Returns the exit code."""
    gates = _gates(arguments)
    started_s = time.monotonic()
    baseline = _state_of(arguments, arguments.baseline)
    candidate = _state_of(arguments, arguments.candidate)
    notes = _notes([arguments.baseline, arguments.candidate], candidate, started_s)
    return _finish(arguments, candidate, baseline, gates, notes)


def _finish(
    arguments: argparse.Namespace,
    state: State,
    baseline: State | None,
    gates: Gates | None,
    notes: dict[str, Any],
    second: dict[str, Any] | None = None,
) -> int:
    if arguments.out is not None:
        write_state(arguments.out, state)  # first: a mistake in gates shall not cost the reading
    report = replace(report_of(state), notes=notes)
    if second is not None:
        issues = dict(report.results["label_issues"]) | {"second_pass": second}
        report = replace(report, results=dict(report.results) | {"label_issues": issues})
    comparison = None if baseline is None else compare(baseline, state)
    report = replace(report, comparison=comparison)
    if gates is not None:
        try:
            before = None if baseline is None else report_of(baseline)
            report = judge(report, gates, before, comparison)
        except BadOption as err:  # a path that leads nowhere
            mistaken(explain(err))
    write(arguments, Output(report, second is not None))
    return exit_code(report, arguments.inconclusive_fails)


def _audited(
    arguments: argparse.Namespace, names: list[str], shard: Shard
) -> tuple[State, Predictions]:
    """The state of files' rows, and these files."""
    predictions = Predictions(
        files_of(names), wanted_of(arguments), arguments.input_format, classes_of(arguments)
    )
    has_embedding = predictions.wanted.embedding is not None
    setup_of(arguments, predictions.classes, 1 if has_embedding else None)  # before rows are read
    blocks = predictions.blocks(shard)
    first = next(blocks, None)
    size = None
    if has_embedding:
        found = first.fields["embeddings"].shape[1] if first else predictions.embedding_size()
        size = max(1, found or 0)
    setup = setup_of(arguments, predictions.classes, size)
    with Audit(setup) as audit, _progress(arguments, predictions, shard) as progress:
        for block in itertools.chain([] if first is None else [first], blocks):
            with block.placed():
                audit.add(**block.fields, first_row=block.first_row)
            progress.add(len(block))
        return audit.state(), predictions


def _second_pass(
    arguments: argparse.Namespace, state: State, predictions: Predictions
) -> dict[str, Any]:
    """List every label issue into the folder; what it came to."""
    make_folder(arguments.out)
    with (
        SecondPass(state, rule=arguments.rule) as second,
        issue_files(arguments.out) as files,
        _progress(arguments, predictions, Shard()) as progress,
    ):
        for block in predictions.blocks(Shard()):
            fields: dict[str, Any] = {
                key: block.fields.get(key) for key in ("scores", "labels", "ids")
            }
            with block.placed():
                issues = second.add(**fields, first_row=block.first_row)
            files.write(issues, state.setup.classes)
            progress.add(len(block))
        return second.result()


def _progress(arguments: argparse.Namespace, predictions: Predictions, shard: Shard) -> Progress:
    total = None if predictions.rows is None else predictions.rows // shard.of
    return Progress(total, io.StringIO() if arguments.quiet else sys.stderr)


def _shard(arguments: argparse.Namespace) -> Shard:
    try:
        return Shard.parse(arguments.shard) if arguments.shard else Shard()
    except BadOption as err:
        mistaken(explain(err))


def _gates(arguments: argparse.Namespace) -> Gates | None:
    """The gates, read before any row is, so that a mistake in them costs no time."""
    path: Path | None = arguments.gates
    if path is None:
        return None
    try:
        is_yaml = path.suffix.lower() in (".yaml", ".yml")
        return read_gates(path.read_text(encoding="utf-8"), "yaml" if is_yaml else "toml")
    except (OSError, UnicodeDecodeError) as err:
        mistaken(f"--gates {path}: cannot be read: {err}")
    except LossdError as err:
        mistaken(f"--gates {path}: {explain(err)}")


def _state_of(arguments: argparse.Namespace, name: str) -> State:
    """A state from its file or from the folder of a report; or predictions, audited."""
    path = Path(name)
    if path.is_dir() or path.suffix == ".state":
        return _loaded(name)
    return _audited(arguments, [name], Shard())[0]


def _loaded(name: str) -> State:
    """A state from its file, or from the folder of a report."""
    path = Path(name) / STATE if Path(name).is_dir() else Path(name)
    try:
        if path.stat().st_size > _MOST_STATE_BYTES:
            raise UnreadableBody("larger than any state", at=name)
        return load(path.read_bytes(), name)
    except OSError as err:
        raise UnreadableBody(f"cannot be read: {err.strerror or err}", at=name) from err


def _notes(files: list[str], state: State, started_s: float) -> dict[str, Any]:
    seconds = time.monotonic() - started_s
    return {
        "lossd": __version__,
        "files": files[:_MOST_NAMED],
        "file_count": len(files),
        "seconds": round(seconds, 3),
        "rows_per_second": round(state.rows / max(seconds, 1e-9)),
    }
