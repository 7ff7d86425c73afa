"""`lossd audit`: a classifier's outputs in, a verdict and a report out."""

import argparse
import json
from pathlib import Path
from typing import Any

from lossd.errors import UnreadableBody

FORMATS = ("text", "json", "junit", "github", "markdown", "html")
MERGE = "merge"
_WITH_ISSUES = frozenset({"label_issues", "default"})
# What says how rows are read and measured.
_OF_ROWS = (
    "logits", "probabilities", "id", "weight", "slice", "embedding", "classes", "loss", "params",
    "metric", "set",
)  # fmt: skip
_DESCRIPTION = """\
Files: .parquet, .arrow, .feather, .csv, .tsv, .jsonl, .ndjson (text also .gz, .zst), .npz,
.safetensors; patterns of names; or - for standard input. `lossd audit merge A.state B.state`
finishes what shards began. Exit codes: 0 pass, 1 a gate failed, 2 a mistake in the command,
3 data that cannot be read, 4 inconclusive (with --inconclusive-fails).
"""


def add_command(commands: Any) -> None:
    """Add `audit` to the parser."""
    command = commands.add_parser(
        "audit", help="judge a classifier's outputs in files", description=_DESCRIPTION
    )
    command.add_argument("files", nargs="+", metavar="FILE", help="or: merge STATE...")
    add_inputs(command)
    add_outputs(command)
    command.add_argument(
        "--baseline", metavar="STATE", help="compare with this: a state, or predictions"
    )
    command.add_argument(
        "--shard", metavar="I/N",
        help="read one part of N (I from 0) and write its state; `audit merge` finishes",
    )  # fmt: skip
    command.add_argument(
        "--two-pass", action="store_true",
        help="read twice, to list every label issue in issues.parquet and issues.csv of --out",
    )  # fmt: skip
    command.add_argument(
        "--rule", choices=("cleanlab", "argmax", "paper"), default="cleanlab",
        help="what a label issue is to the second pass (default: cleanlab)",
    )  # fmt: skip
    command.set_defaults(run=run, mistake=command.error)


def add_inputs(command: argparse.ArgumentParser) -> None:
    """Add what says how files are read and what is asked of them."""
    columns = command.add_argument_group("columns")
    scores = columns.add_mutually_exclusive_group()
    scores.add_argument(
        "--logits", metavar="NAME",
        help="column of lists, or a pattern over columns, as 'p_*' (default: logits)",
    )  # fmt: skip
    scores.add_argument("--probabilities", metavar="NAME", help="the same, of probabilities")
    columns.add_argument("--label", metavar="NAME", default="label")
    columns.add_argument("--id", metavar="NAME", help="without it, rows are numbered")
    columns.add_argument("--weight", metavar="NAME")
    columns.add_argument("--slice", metavar="NAME", nargs="+", action="extend", default=[])
    columns.add_argument("--embedding", metavar="NAME", help="column of lists, or a pattern")
    columns.add_argument(
        "--classes", metavar="NAMES", help="in their order: a file with a name a line, or a,b,c"
    )
    columns.add_argument(
        "--input-format", choices=("arrow", "jsonl", "csv"), help="of standard input"
    )
    asked = command.add_argument_group("what is measured")
    asked.add_argument("--loss", metavar="NAME", help="of the catalog (default: cross_entropy)")
    asked.add_argument("--params", metavar="JSON", type=json.loads, help="of the loss")
    asked.add_argument(
        "--metric", metavar="NAME", action="append", default=[],
        help="only this one; may be repeated; `default` stands for the default ones",
    )  # fmt: skip
    asked.add_argument(
        "--set", metavar="NAME=VALUE", action="append", default=[],
        help="another field of the setup, such as most_listed=100000",
    )  # fmt: skip


def add_outputs(command: argparse.ArgumentParser) -> None:
    """Add what says which gates there are, and where a report goes."""
    written = command.add_argument_group("what comes out")
    written.add_argument("--gates", metavar="FILE", type=Path, help="TOML or YAML")
    written.add_argument(
        "--inconclusive-fails", action="store_true", help="exit 4 where a gate cannot tell"
    )
    written.add_argument(
        "--out", metavar="DIR", type=Path, help="write the report in every form, and the state"
    )
    written.add_argument("--format", choices=FORMATS, help="of standard output (default: text)")
    written.add_argument("--quiet", action="store_true", help="print nothing but errors")


def run(arguments: argparse.Namespace) -> int:
    """Audit, or merge. Raises `LossdError` for data that cannot be used."""
    if arguments.shard and (arguments.gates or arguments.baseline or arguments.two_pass):
        arguments.mistake("--gates, --baseline and --two-pass go with `lossd audit merge`")
    if arguments.two_pass and (arguments.out is None or "-" in arguments.files):
        arguments.mistake("--two-pass reads files, and writes to --out")
    if arguments.two_pass and arguments.metric and not _WITH_ISSUES & {*arguments.metric}:
        arguments.mistake("--two-pass needs --metric label_issues")
    try:
        from lossd.cli.audit_run import audit, merge
    except ModuleNotFoundError as err:
        raise needs_pyarrow() from err
    if arguments.files[0] != MERGE:
        return audit(arguments)
    arguments.files = arguments.files[1:]
    if arguments.two_pass or arguments.shard or not arguments.files:
        arguments.mistake("merge takes states, and neither --two-pass nor --shard")
    said = [f"--{name}" for name in _OF_ROWS if getattr(arguments, name)]
    if said and not arguments.baseline:  # which may be read by them
        arguments.mistake(f"states have their setup, which {', '.join(said)} cannot change")
    return merge(arguments)


def needs_pyarrow() -> UnreadableBody:
    """What is said where the extra is not installed."""
    return UnreadableBody("files are read with pyarrow: pip install 'lossd[arrow]'", at="files")
