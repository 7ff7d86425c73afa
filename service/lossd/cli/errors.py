"""Errors, as the command line says them."""

import sys
from typing import NoReturn

from lossd.errors import LossdError

USAGE = 2


def explain(err: LossdError) -> str:
    """An error in one line: what, where, expected, got."""
    parts = [f"{err.code}: {err.message}"]
    parts += [f"at {err.at}"] if err.at else []
    parts += [f"expected {err.expected}"] if err.expected else []
    parts += [f"got {err.got}"] if err.got else []
    parts += [f"indices {[list(each) for each in err.indices]}"] if err.indices else []
    return "; ".join(parts)


def mistaken(said: str) -> NoReturn:
    """End the process as for a mistake in the command, with one line."""
    print(f"lossd: {said}", file=sys.stderr)
    raise SystemExit(USAGE)
