"""The command line: `lossd serve|losses|eval|settings`.

Exit codes: 0; 2 for a mistake in the command; 3 for an error in the data or of the service.
"""

import argparse
import sys
from collections.abc import Sequence

from lossd import __version__
from lossd.cli import evaluate, listing, serve
from lossd.errors import LossdError

USAGE, FAILED = 2, 3


def main(argv: Sequence[str] | None = None) -> int:
    """Run one command; returns its exit code."""
    parser = argparse.ArgumentParser(prog="lossd", description="A loss server.")
    parser.add_argument("--version", action="version", version=f"lossd {__version__}")
    commands = parser.add_subparsers(title="commands", required=True, metavar="COMMAND")
    serve.add_command(commands)
    listing.add_losses_command(commands)
    evaluate.add_command(commands)
    listing.add_settings_command(commands)
    arguments = parser.parse_args(argv)
    try:
        code: int = arguments.run(arguments)
    except LossdError as err:
        print(f"lossd: {explain(err)}", file=sys.stderr)
        return FAILED
    return code


def explain(err: LossdError) -> str:
    """An error in one line: what, where, expected, got."""
    parts = [f"{err.code}: {err.message}"]
    parts += [f"at {err.at}"] if err.at else []
    parts += [f"expected {err.expected}"] if err.expected else []
    parts += [f"got {err.got}"] if err.got else []
    parts += [f"indices {[list(each) for each in err.indices]}"] if err.indices else []
    return "; ".join(parts)
