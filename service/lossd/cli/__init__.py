"""The command line: `lossd serve|losses|eval|audit|compare|settings`.

Exit codes: 0; 1 where a gate of an audit failed; 2 for a mistake in the command; 3 for an error in
the data or of the service; 4 where an audit cannot tell and was asked to say so.
"""

import argparse
import os
import sys
import traceback
from collections.abc import Sequence
from typing import Any

from lossd import __version__
from lossd.cli import audit, compare
from lossd.cli.errors import USAGE as USAGE
from lossd.cli.errors import explain
from lossd.errors import LossdError

FAILED = 3


def main(argv: Sequence[str] | None = None) -> int:
    """Run one command; returns its exit code."""
    words = sys.argv[1:] if argv is None else argv
    parser = argparse.ArgumentParser(prog="lossd", description="A loss server.")
    parser.add_argument("--version", action="version", version=f"lossd {__version__}")
    commands = parser.add_subparsers(title="commands", required=True, metavar="COMMAND")
    audit.add_command(commands)
    compare.add_command(commands)
    if words[:1] not in (["audit"], ["compare"]):
        _add_others(commands)
    arguments = parser.parse_args(words)
    try:
        code: int = arguments.run(arguments)
        sys.stdout.flush()
    except LossdError as err:
        print(f"lossd: {explain(err)}", file=sys.stderr)
        return FAILED
    except BrokenPipeError:  # who read standard output has gone
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        return FAILED
    except Exception:  # a bug, or no memory: Python would end with 1, as if a gate had failed
        traceback.print_exc()
        return FAILED
    return code


def _add_others(commands: Any) -> None:
    """Those that import torch and the service: seconds, which an audit does without."""
    from lossd.cli import evaluate, listing, serve

    serve.add_command(commands)
    listing.add_losses_command(commands)
    evaluate.add_command(commands)
    listing.add_settings_command(commands)
