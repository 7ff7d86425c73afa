"""`python -m benchmarks [--list] [name ...]`: runs the `main()` of each `bench_<name>.py` here.

`python -m benchmarks servers --quick`: options after one name are those of that benchmark. What a
benchmark without options prints is saved in `results/`, and docs/performance.md is written anew.
"""

import argparse
import contextlib
import importlib
import io
import json
import sys
from pathlib import Path

from benchmarks import _record, report

PREFIX = "bench_"
SAVES_ITSELF = "servers"


def names() -> list[str]:
    """The benchmarks in this folder, without the prefix of their files."""
    files = Path(__file__).parent.glob(f"{PREFIX}*.py")
    return sorted(file.stem.removeprefix(PREFIX) for file in files)


class Tee(io.TextIOBase):
    """Passes on what is printed, and keeps it."""

    def __init__(self) -> None:
        self.kept = ""

    def write(self, text: str) -> int:
        self.kept += text
        return sys.__stdout__.write(text)

    def flush(self) -> None:
        sys.__stdout__.flush()


def run(name: str, options: list[str]) -> None:
    print(f"# {name}", file=sys.stderr)
    main = importlib.import_module(f"benchmarks.{PREFIX}{name}").main
    if options:
        main(options)
        return
    about, tee = _record.machine(quick=False), Tee()
    with contextlib.redirect_stdout(tee):
        main()
    if name != SAVES_ITSELF:
        lines = [json.loads(line) for line in tee.kept.splitlines()]
        _record.save(_record.RESULTS, name, [about, *lines])
        report.write()


def main() -> int:
    """Exit code: 0, or 2 for a benchmark that does not exist."""
    parser = argparse.ArgumentParser(prog="python -m benchmarks", description=__doc__)
    parser.add_argument("--list", action="store_true", help="print the names and stop")
    parser.add_argument("name", nargs="*", help="which to run; all if none is named")
    words = sys.argv[1:]
    own = next((at for at in range(1, len(words)) if words[at].startswith("-")), len(words))
    arguments = parser.parse_args(words[:own])
    known = names()
    if unknown := sorted(set(arguments.name) - set(known)):
        parser.error(f"no benchmark named {', '.join(unknown)}; there are {', '.join(known)}")
    if words[own:] and len(arguments.name) != 1:
        parser.error(f"{words[own]} is an option of one benchmark: name that one")
    if arguments.list:
        print("\n".join(known))
        return 0
    for name in arguments.name or known:
        run(name, words[own:])
    return 0


if __name__ == "__main__":
    sys.exit(main())
