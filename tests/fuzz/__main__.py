"""Coverage-guided fuzzing of one reader: `python -m fuzz json --seconds 600` from `tests/`.

Needs atheris (`pip install 'lossd[fuzz]'`). An input that crashes, takes more than ten seconds or
2 GiB, or leads to an answer other than a 4xx, is written to the working folder; keep it in
`tests/fuzz/found/<reader>/`, where the test suite replays it. `--plant` puts a bug behind the
reader, to show that the fuzzer gets there. `--coverage` fuzzes nothing and needs no atheris: it
reads the seeds, and the corpus if there is one, and says which lines of the codec ran.
"""

import argparse
import hashlib
import itertools
import os
import sys
import tempfile
from pathlib import Path

# What is compiled cannot be instrumented: here the scan of large JSON runs as Python.
os.environ["NUMBA_DISABLE_JIT"] = "1"

if "--coverage" not in sys.argv:
    import atheris

    with atheris.instrument_imports(include=["lossd.wire"]):
        import lossd.wire.arrow_stream
        import lossd.wire.oip  # noqa: F401 # imports all other readers

from fuzz.coverage import coverage_of
from fuzz.targets import TARGETS, Target, attempt, holds_planted_number


class PlantedBug(Exception):
    """What `--plant` makes the fuzzer look for; says after how many executions it was found."""


def main() -> None:
    parser = argparse.ArgumentParser()
    parser.add_argument("reader", choices=TARGETS)
    parser.add_argument("--seconds", type=int, default=600)
    parser.add_argument("--corpus", type=Path, help="a folder; seeds are added, and what is new")
    parser.add_argument("--plant", action="store_true")
    parser.add_argument("--coverage", action="store_true")
    options = parser.parse_args()
    if options.coverage:
        say_coverage(options.reader, options.corpus)
        return
    target = TARGETS[options.reader]()
    folder = Path(tempfile.mkdtemp())
    corpus = options.corpus or folder / "corpus"
    corpus.mkdir(parents=True, exist_ok=True)
    for i, seed in enumerate(target.seeds):
        (corpus / f"seed{i}").write_bytes(seed)
    limits = [f"-max_total_time={options.seconds}", "-timeout=10", "-rss_limit_mb=2048",
              "-max_len=4096", *words_option(target, folder)]  # fmt: skip
    fuzz(target, [*limits, "-print_final_stats=1", "-verbosity=1", str(corpus)], options.plant)


def say_coverage(reader: str, corpus: Path | None) -> None:
    inputs = list(TARGETS[reader]().seeds)
    if corpus is not None:
        inputs += [file.read_bytes() for file in sorted(corpus.iterdir())]
    found = coverage_of(reader, inputs)
    for each in found:
        print(each)
    ran, lines = sum(len(each.ran) for each in found), sum(len(each.lines) for each in found)
    print(f"{reader}: {len(inputs)} inputs, {ran} of {lines} lines, {100 * ran / lines:.1f} %")


def words_option(target: Target, folder: Path) -> list[str]:
    """Writes the target's words as libFuzzer reads them, which is not for none."""
    if not target.words:
        return []
    path = folder / "words"
    lines = ("".join(f"\\x{byte:02x}" for byte in word.encode("latin-1")) for word in target.words)
    path.write_text("".join(f'"{line}"\n' for line in lines))
    return [f"-dict={path}"]


def fuzz(target: Target, options: list[str], plant: bool) -> None:
    executions = itertools.count(1)

    def one(data: bytes) -> None:
        count = next(executions)
        try:
            tensors = attempt(target, data)
            if plant and holds_planted_number(tensors):
                raise PlantedBug(f"found after {count} executions")
        except BaseException:
            # libFuzzer would write it too, but for its own alarm, which may come first.
            Path(f"crash-{hashlib.sha1(data).hexdigest()}").write_bytes(data)
            raise

    atheris.Setup([sys.argv[0], *options], one)
    atheris.Fuzz()


main()
