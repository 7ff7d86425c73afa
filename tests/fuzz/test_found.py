"""What the fuzzer began with and what it found, replayed."""

from pathlib import Path

import pytest

from fuzz.targets import TARGETS, attempt

FOUND = sorted(Path(__file__).parent.glob("found/*/*"))


@pytest.mark.parametrize("reader", TARGETS)
def test_every_seed_of_the_fuzzer_can_be_read(reader: str) -> None:
    target = TARGETS[reader]()
    for seed in target.seeds:
        target.read(seed)


@pytest.mark.parametrize("file", FOUND, ids=lambda file: f"{file.parent.name}-{file.name[:12]}")
def test_what_the_fuzzer_found_is_read_or_refused(file: Path) -> None:
    attempt(TARGETS[file.parent.name](), file.read_bytes())
