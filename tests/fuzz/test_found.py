"""What the fuzzer began with and what it found, replayed; and what all that reaches."""

from pathlib import Path

import pytest

from fuzz.coverage import MODULES, coverage_of
from fuzz.targets import TARGETS, attempt, holds_planted_number

FOUND = sorted(Path(__file__).parent.glob("found/*/*"))
PLANTED = Path(__file__).parent / "planted"  # what the fuzzer found with --plant, one per reader


@pytest.mark.parametrize("reader", TARGETS)
def test_every_seed_of_the_fuzzer_can_be_read(reader: str) -> None:
    target = TARGETS[reader]()
    for seed in target.seeds:
        target.read(seed)


@pytest.mark.parametrize("file", FOUND, ids=lambda file: f"{file.parent.name}-{file.name[:12]}")
def test_what_the_fuzzer_found_is_read_or_refused(file: Path) -> None:
    attempt(TARGETS[file.parent.name](), file.read_bytes())


@pytest.mark.parametrize("reader", TARGETS)
def test_a_planted_bug_is_within_reach_and_not_among_the_seeds(reader: str) -> None:
    target = TARGETS[reader]()
    assert not any(holds_planted_number(target.read(seed)) for seed in target.seeds)
    found = (PLANTED / reader).read_bytes()
    assert holds_planted_number(attempt(target, found))


@pytest.mark.parametrize("reader", TARGETS)
def test_the_seeds_run_most_of_a_codec_and_what_they_miss_can_be_told(reader: str) -> None:
    found = coverage_of(reader, TARGETS[reader]().seeds)
    assert {each.module for each in found} == set(MODULES[reader])
    for each in found:
        assert each.ran <= each.lines and f"{len(each.ran)} of {len(each.lines)}" in str(each)
    assert sum(len(each.ran) for each in found) > sum(len(each.missed) for each in found)


def test_an_input_that_is_refused_runs_other_lines_than_one_that_is_read() -> None:
    (read,) = coverage_of("safetensors", TARGETS["safetensors"]().seeds)
    (refused,) = coverage_of("safetensors", [b"\xff" * 9])
    assert refused.ran - read.ran and read.ran - refused.ran
    assert "encode" in read.not_entered
