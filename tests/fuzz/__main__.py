"""Coverage-guided fuzzing of one reader: `python -m fuzz json --seconds 600` from `tests/`.

Needs atheris (`pip install 'lossd[fuzz]'`). An input that crashes, takes more than ten seconds or
2 GiB, or leads to an answer other than a 4xx, is written to the working folder; keep it in
`tests/fuzz/found/<reader>/`, where the test suite replays it. `--plant` puts a bug behind the
reader, to show that the fuzzer gets there; `--coverage` runs the corpus and says which lines ran.
"""

import argparse
import sys
import tempfile
from pathlib import Path

import atheris

with atheris.instrument_imports(include=["lossd.wire"]):
    import lossd.wire
    import lossd.wire.oip  # noqa: F401

from fuzz.targets import TARGETS, attempt


class PlantedBug(Exception):
    """What `--plant` makes the fuzzer look for."""


def main() -> None:
    parser = argparse.ArgumentParser()
    parser.add_argument("reader", choices=TARGETS)
    parser.add_argument("--seconds", type=int, default=600)
    parser.add_argument("--corpus", type=Path)
    parser.add_argument("--plant", action="store_true")
    options = parser.parse_args()
    target = TARGETS[options.reader]()
    corpus = options.corpus or Path(tempfile.mkdtemp())
    corpus.mkdir(parents=True, exist_ok=True)
    for i, seed in enumerate(target.seeds):
        (corpus / f"seed{i}").write_bytes(seed)

    def one(data: bytes) -> None:
        tensors = attempt(target, data)
        # No seed holds the number 7; the reader must accept one that does to get here.
        if options.plant and any(bool((x.double() == 7).any()) for x in tensors.values()):
            raise PlantedBug

    words = [f"-max_total_time={options.seconds}", "-timeout=10", "-rss_limit_mb=2048",
             "-max_len=4096", "-print_final_stats=1", "-verbosity=1"]  # fmt: skip
    atheris.Setup([sys.argv[0], *words, str(corpus)], one)
    atheris.Fuzz()


main()
