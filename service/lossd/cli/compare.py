"""`lossd compare`: two models' outputs side by side."""

import argparse
from typing import Any

from lossd.cli.audit import add_inputs, add_outputs, needs_pyarrow

_DESCRIPTION = """\
The report is of the second, the candidate; gates on changes are judged against the first. Each is
the state of an audit (a .state file, or the folder of --out) or predictions as `lossd audit` reads
them. Exit codes are those of `lossd audit`.
"""


def add_command(commands: Any) -> None:
    """Add `compare` to the parser."""
    command = commands.add_parser(
        "compare", help="compare two models' outputs", description=_DESCRIPTION
    )
    command.add_argument("baseline", metavar="BASELINE")
    command.add_argument("candidate", metavar="CANDIDATE")
    add_inputs(command)
    add_outputs(command)
    command.set_defaults(run=run, mistake=command.error)


def run(arguments: argparse.Namespace) -> int:
    """Compare. Raises `LossdError` for data that cannot be used."""
    try:
        from lossd.cli.audit_run import compare_files
    except ModuleNotFoundError as err:
        raise needs_pyarrow() from err
    return compare_files(arguments)
