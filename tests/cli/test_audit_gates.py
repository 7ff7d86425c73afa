"""What an audit says to a pipeline: gates, comparisons, exit codes, forms, all label issues."""

import csv
import json
import subprocess
import sys
import xml.etree.ElementTree as ElementTree
from pathlib import Path

import numpy as np
import pyarrow.parquet as pq
import pytest

from audit.chunks import outputs
from cli.prediction_files import FORMATS, LABELS, LOGITS, ROWS, lossd
from lossd.audit import Audit
from lossd.audit.second_pass import SecondPass
from lossd.cli.audit import FORMATS as FORMS

ACCURACY = float((LOGITS.argmax(1) == LABELS).mean())


@pytest.fixture
def file(tmp_path: Path) -> Path:
    FORMATS["p.npz"](tmp_path / "p.npz")
    return tmp_path / "p.npz"


def gates(tmp_path: Path, text: str) -> Path:
    path = tmp_path / "gates.toml"
    path.write_text(text)
    return path


def accuracy_of_at_least(share: float, more: str = "") -> str:
    return f'[gates."accuracy.top_1.value"]\nmin = {share}\n{more}\n'


def test_a_gate_that_passes_is_0_and_one_that_fails_is_1(
    capsys: pytest.CaptureFixture[str], tmp_path: Path, file: Path
) -> None:
    for share, wanted in ((ACCURACY - 0.01, 0), (ACCURACY + 0.01, 1)):
        path = gates(tmp_path, accuracy_of_at_least(share))
        code, out, err = lossd(capsys, "audit", file, "--gates", path)
        assert code == wanted and not err
        assert out.startswith("FAIL" if wanted else "PASS")


def test_a_warning_is_0(capsys: pytest.CaptureFixture[str], tmp_path: Path, file: Path) -> None:
    path = gates(tmp_path, f'[gates."accuracy.top_1.value"]\nwarn_min = {ACCURACY + 0.01}\n')
    code, out, _ = lossd(capsys, "audit", file, "--gates", path)
    assert code == 0 and out.startswith("WARN")


def test_inconclusive_is_4_when_asked_for(
    capsys: pytest.CaptureFixture[str], tmp_path: Path, file: Path
) -> None:
    text = '[gates."accuracy.top_1.value"]\nmax_drop = 0.0001\nstatistical = true\n'
    path = gates(tmp_path, text)
    shard = ("--shard", "0/1", "--out", tmp_path / "before.state")
    assert lossd(capsys, "audit", file, *shard)[0] == 0
    other = outputs(ROWS, LOGITS.shape[1], seed=5)
    np.savez(tmp_path / "other.npz", logits=other["scores"], label=other["labels"])
    words = ("audit", tmp_path / "other.npz", "--baseline", tmp_path / "before.state")
    code, out, _ = lossd(capsys, *words, "--gates", path)
    assert code == 0 and out.startswith("INCONCLUSIVE")
    assert lossd(capsys, *words, "--gates", path, "--inconclusive-fails")[0] == 4


def test_merged_states_are_judged(
    capsys: pytest.CaptureFixture[str], tmp_path: Path, file: Path
) -> None:
    path = gates(tmp_path, accuracy_of_at_least(0.99))
    for i in range(2):
        shard = ("--shard", f"{i}/2", "--out", tmp_path / f"{i}.state", "--quiet")
        assert lossd(capsys, "audit", file, *shard) == (0, "", "")
    code, out, _ = lossd(capsys, "audit", "merge", tmp_path / "*.state", "--gates", path)
    assert code == 1 and out.startswith("FAIL")


@pytest.mark.parametrize("as_state", [True, False])
def test_two_models_are_compared(
    capsys: pytest.CaptureFixture[str], tmp_path: Path, file: Path, as_state: bool
) -> None:
    worse = LOGITS.copy()
    worse[:200] = worse[:200, ::-1]
    np.savez(tmp_path / "worse.npz", logits=worse, label=LABELS)
    both: list[Path] = [file, tmp_path / "worse.npz"]
    if as_state:
        for i, name in enumerate(both):
            assert lossd(capsys, "audit", name, "--out", tmp_path / f"{i}", "--quiet")[0] == 0
        both = [tmp_path / "0", tmp_path / "1" / "audit.state"]
    code, out, err = lossd(capsys, "compare", *both, "--format", "json")
    assert code == 0 and not err
    report = json.loads(out)
    accuracy = float((worse.argmax(1) == LABELS).mean())
    assert report["metrics"]["accuracy"]["top_1"]["value"] == pytest.approx(accuracy)
    assert report["comparison"]
    path = gates(tmp_path, '[gates."accuracy.top_1.value"]\nmax_drop = 0.01\n')
    assert lossd(capsys, "compare", *both, "--gates", path)[0] == 1
    assert lossd(capsys, "compare", *both[::-1], "--gates", path)[0] == 0


def test_a_mistake_in_gates_does_not_cost_the_reading(
    capsys: pytest.CaptureFixture[str], tmp_path: Path, file: Path
) -> None:
    path = gates(tmp_path, '[gates."accuracy.top_1.value"]\nmax_drop = 0.01\n')
    code, _, err = lossd(capsys, "audit", file, "--gates", path, "--out", tmp_path / "o")
    assert code == 2 and "a change needs a baseline" in err
    assert lossd(capsys, "audit", "merge", tmp_path / "o" / "audit.state")[0] == 0


@pytest.mark.parametrize("form", FORMS)
def test_standard_output_takes_every_form(
    capsys: pytest.CaptureFixture[str],
    tmp_path: Path,
    file: Path,
    form: str,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setenv("GITHUB_STEP_SUMMARY", str(tmp_path / "summary.md"))
    path = gates(tmp_path, accuracy_of_at_least(0.99))
    code, out, err = lossd(capsys, "audit", file, "--gates", path, "--format", form)
    assert code == 1 and not err
    if form == "json":
        assert json.loads(out)["verdict"] == "fail"
    elif form == "junit":
        assert ElementTree.fromstring(out).find(".//failure") is not None
    elif form == "html":
        assert out.lower().startswith("<!doctype html>")
    elif form == "github":
        assert out.startswith("::error") and "fail" in (tmp_path / "summary.md").read_text().lower()
    else:
        assert "0.99" in out


def test_no_line_of_a_report_is_a_command_to_github(
    capsys: pytest.CaptureFixture[str], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.delenv("GITHUB_STEP_SUMMARY", raising=False)
    names = ["::error::owned", "b", "c", "d"]
    (tmp_path / "names.txt").write_text("\n".join(names))
    np.savez(tmp_path / "p.npz", logits=LOGITS[:, ::-1], label=LABELS)
    words = ("--classes", tmp_path / "names.txt", "--format", "github")
    _, out, _ = lossd(capsys, "audit", tmp_path / "p.npz", *words)
    lines = [line.strip() for line in out.splitlines()]
    stops = [i for i, line in enumerate(lines) if line.startswith("::stop-commands::")]
    assert len(stops) == 1
    word = lines[stops[0]].removeprefix("::stop-commands::")
    assert len(word) == 32 and lines[-1] == f"::{word}::"
    assert not any("owned" in line.partition("::error")[0] for line in lines[: stops[0]])


@pytest.mark.parametrize("rule", ["cleanlab", "argmax", "paper"])
@pytest.mark.parametrize("with_names", [True, False])
def test_two_passes_write_every_label_issue(
    capsys: pytest.CaptureFixture[str], tmp_path: Path, rule: str, with_names: bool
) -> None:
    given = outputs(3000, 4, seed=2)
    logits, labels = given["scores"], given["labels"]
    wrong = np.random.default_rng(0).choice(3000, 300, replace=False)
    labels[wrong] = (labels[wrong] + 1) % 4
    np.savez(tmp_path / "p.npz", logits=logits, label=labels)
    names = ("cat", "dog", "eel", "fox") if with_names else ("0", "1", "2", "3")
    words = ["--classes", ",".join(names)] if with_names else []
    words += ["--set", "most_listed=5", "--two-pass", "--rule", rule]
    code, _, err = lossd(capsys, "audit", tmp_path / "p.npz", "--out", tmp_path / "o", *words)
    assert code == 0 and not err
    with Audit(most_listed=5) as audit:
        audit.add(logits, labels)
        with SecondPass(audit.state(), rule=rule) as second:  # type: ignore[arg-type]
            wanted = second.add(logits, labels)
    table = pq.read_table(tmp_path / "o" / "issues.parquet")
    assert len(wanted) > 50
    assert table["id"].to_pylist() == wanted.ids.tolist()
    assert table["label"].to_pylist() == [names[i] for i in wanted.label]
    assert table["suggested"].to_pylist() == [names[i] for i in wanted.suggested]
    assert table["score"].to_pylist() == wanted.score.tolist()
    with (tmp_path / "o" / "issues.csv").open() as file:
        lines = list(csv.DictReader(file))
    assert [int(line["id"]) for line in lines] == wanted.ids.tolist()
    report = json.loads((tmp_path / "o" / "report.json").read_text())
    second_pass = report["metrics"]["label_issues"]["second_pass"]
    assert second_pass["count"] == len(wanted) and second_pass["rule"] == rule


def test_one_pass_writes_the_issues_that_it_lists(
    capsys: pytest.CaptureFixture[str], tmp_path: Path, file: Path
) -> None:
    assert lossd(capsys, "audit", file, "--out", tmp_path / "o")[0] == 0
    report = json.loads((tmp_path / "o" / "report.json").read_text())
    listed = report["metrics"]["label_issues"]["listed"]
    assert listed and pq.read_table(tmp_path / "o" / "issues.parquet").to_pylist() == listed


def test_a_reader_that_goes_away_is_no_failed_gate(tmp_path: Path, file: Path) -> None:
    words = ["audit", str(file), "--format", "json"]
    process = subprocess.Popen(
        [sys.executable, "-m", "lossd", *words], stdout=subprocess.PIPE, stderr=subprocess.PIPE
    )
    assert process.stdout is not None and process.stderr is not None
    process.stdout.close()
    said = process.stderr.read()
    process.stderr.close()
    assert process.wait() == 3 and said == b""


def test_what_nobody_foresaw_is_no_failed_gate(
    capsys: pytest.CaptureFixture[str], file: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def explode(*_: object, **__: object) -> None:
        raise ZeroDivisionError("unforeseen")

    monkeypatch.setattr(Audit, "add", explode)
    code, out, err = lossd(capsys, "audit", file)
    assert (code, out) == (3, "") and "ZeroDivisionError: unforeseen" in err
