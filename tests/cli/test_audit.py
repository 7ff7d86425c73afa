"""`lossd audit`, `lossd audit merge`: files in, reports out."""

import io
import json
import os
import signal
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.csv
import pyarrow.parquet as pq
import pytest
import safetensors.numpy

from cli.prediction_files import (
    CLASSES,
    FIELDS,
    FORMATS,
    LABELS,
    LOGITS,
    NAMES,
    ROOT,
    ROWS,
    expected,
    found_by,
    json_lines,
    lists,
    lossd,
    table,
    wide,
    write_parquet,
)
from lossd.audit import load
from lossd.cli.predictions import arrays, texts


@pytest.mark.parametrize("name", FORMATS)
def test_every_format_gives_what_the_arrays_give(
    capsys: pytest.CaptureFixture[str], tmp_path: Path, name: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(arrays, "MOST_ROWS", 100)
    monkeypatch.setattr(texts, "BLOCK_BYTES", 2000)
    FORMATS[name](tmp_path / name)
    assert found_by(capsys, tmp_path / name) == expected()


@pytest.mark.parametrize("name", ["p.csv", "p.csv.gz", "p.tsv"])
def test_a_csv_of_a_column_per_class_names_the_classes(
    capsys: pytest.CaptureFixture[str], tmp_path: Path, name: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(texts, "BLOCK_BYTES", 2000)
    delimiter = "\t" if name.endswith(".tsv") else ","
    options = pyarrow.csv.WriteOptions(delimiter=delimiter)
    with pa.output_stream(str(tmp_path / name), compression="detect") as stream:
        pyarrow.csv.write_csv(wide(), stream, options)
    report = found_by(capsys, tmp_path / name, "--logits", "p_*")
    scores = LOGITS.astype(np.float64)
    assert report == expected({"scores": scores, "labels": LABELS}, classes=NAMES)


def test_columns_of_a_pattern_are_sorted_as_people_count(
    capsys: pytest.CaptureFixture[str], tmp_path: Path
) -> None:
    logits = np.random.default_rng(0).normal(size=(50, 12))
    labels = logits.argmax(1)
    columns = {f"z{j}": logits[:, j] for j in reversed(range(12))}
    pq.write_table(pa.table({**columns, "label": labels}), tmp_path / "p.parquet")
    report = found_by(capsys, tmp_path / "p.parquet", "--logits", "z*")
    assert report["metrics"]["accuracy"]["top_1"]["value"] == 1.0
    assert report["setup"]["classes"] is None


def test_ids_weights_slices_and_embeddings_are_read(
    capsys: pytest.CaptureFixture[str], tmp_path: Path
) -> None:
    country, device = FIELDS["slices"].values()
    found = table(
        key=FIELDS["ids"], w=FIELDS["weights"], country=pa.array(country).dictionary_encode(),
        device=device, h=lists(FIELDS["embeddings"]),
    )  # fmt: skip
    pq.write_table(found, tmp_path / "p.parquet", row_group_size=100)
    words = ("--id", "key", "--weight", "w", "--slice", "country", "device", "--embedding", "h")
    wanted = expected(
        FIELDS, has_ids=True, has_weights=True, slices=("country", "device"), embedding_size=3
    )
    assert found_by(capsys, tmp_path / "p.parquet", *words) == wanted


def test_probabilities_are_read_as_such(capsys: pytest.CaptureFixture[str], tmp_path: Path) -> None:
    p = np.exp(LOGITS) / np.exp(LOGITS).sum(1, keepdims=True)
    pq.write_table(pa.table({"p": lists(p), "label": LABELS}), tmp_path / "p.parquet")
    report = found_by(capsys, tmp_path / "p.parquet", "--probabilities", "p")
    assert report == expected({"scores": p, "labels": LABELS}, scores="probabilities")


@pytest.mark.parametrize("kind", [pa.string(), pa.large_string(), "dictionary", pa.string_view()])
@pytest.mark.parametrize("as_file", [False, True])
def test_labels_may_be_names(
    capsys: pytest.CaptureFixture[str], tmp_path: Path, kind: Any, as_file: bool
) -> None:
    names = pa.array(np.array(NAMES)[LABELS])
    column = names.dictionary_encode() if kind == "dictionary" else names.cast(kind)
    found = pa.table({"y": column, "z": lists(LOGITS)})
    with pa.ipc.new_file(str(tmp_path / "p.arrow"), found.schema) as writer:
        writer.write_table(found)
    classes: object = ",".join(NAMES)
    if as_file:
        classes = tmp_path / "names.txt"
        (tmp_path / "names.txt").write_text("\n".join(NAMES) + "\n")
    words = ("--label", "y", "--logits", "z", "--classes", classes)
    assert found_by(capsys, tmp_path / "p.arrow", *words) == expected(classes=NAMES)


@pytest.mark.parametrize(
    "column",
    [
        lambda z: pa.array(z.tolist(), pa.list_(pa.float32())),
        lambda z: pa.array(z.tolist(), pa.large_list(pa.float32())),
        lambda z: pa.array(z.tolist(), pa.list_(pa.float32()))[1:].cast(pa.list_(pa.float32())),
        lambda z: pa.FixedShapeTensorArray.from_numpy_ndarray(z),
        lambda z: lists(z.astype(np.float16)).cast(pa.list_(pa.float16(), CLASSES)),
    ],
    ids=["list", "large list", "a slice", "tensor", "half"],
)
def test_scores_may_be_lists_of_any_kind(
    capsys: pytest.CaptureFixture[str], tmp_path: Path, column: Callable[[Any], Any]
) -> None:
    z = LOGITS.astype(np.float16).astype(np.float32)
    found = column(z)
    offset = ROWS - len(found)
    whole = pa.table({"logits": found, "label": LABELS[offset:]})
    with pa.ipc.new_file(str(tmp_path / "p.arrow"), whole.schema) as writer:
        writer.write_table(whole)
    wanted = expected({"scores": z[offset:], "labels": LABELS[offset:]})
    assert found_by(capsys, tmp_path / "p.arrow") == wanted


@pytest.mark.parametrize("shards", [1, 3, 50])
@pytest.mark.parametrize("name", ["p.parquet", "p.arrow", "p.jsonl", "q.npz", "p.safetensors"])
def test_shards_come_to_what_one_go_gives(
    capsys: pytest.CaptureFixture[str],
    tmp_path: Path,
    name: str,
    shards: int,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(arrays, "MOST_ROWS", 100)
    monkeypatch.setattr(texts, "BLOCK_BYTES", 2000)
    for copy in ("a", "b"):
        FORMATS[name](tmp_path / f"{copy}{name}")
    files = str(tmp_path / f"*{name}")
    for i in range(shards):
        words = ("--shard", f"{i}/{shards}", "--out", tmp_path / "states")
        code, out, err = lossd(capsys, "audit", files, *words)
        assert code == 0 and "rows: " in out, err
    whole = tmp_path / "whole"
    assert lossd(capsys, "audit", files, "--out", whole)[0] == 0
    parts = tmp_path / "parts"
    merged = lossd(capsys, "audit", "merge", tmp_path / "states/*.state", "--out", parts)
    assert merged[0] == 0, merged[2]
    assert (parts / "audit.state").read_bytes() == (whole / "audit.state").read_bytes()
    assert load((parts / "audit.state").read_bytes()).rows == 2 * ROWS
    texts_of = [json.loads((each / "report.json").read_text()) for each in (parts, whole)]
    assert texts_of[0].pop("notes") != texts_of[1].pop("notes")
    assert json.dumps(texts_of[0]) == json.dumps(texts_of[1])


def test_rows_without_ids_are_numbered_over_all_files_by_name(
    capsys: pytest.CaptureFixture[str], tmp_path: Path
) -> None:
    for name, bad in (("b", 3), ("a", None)):
        logits = LOGITS.copy()
        if bad is not None:
            logits[bad] = np.nan
        np.savez(tmp_path / f"{name}.npz", logits=logits, label=LABELS)
    report = found_by(capsys, tmp_path / "b.npz", tmp_path / "a.npz", tmp_path / "b.npz")
    assert report["metrics"]["rows"]["seen"] == 2 * ROWS
    assert report["metrics"]["rows"]["rejected"]["not_finite"]["ids"] == [ROWS + 3]


@pytest.mark.parametrize("kind", ["arrow", "jsonl", "csv"])
def test_standard_input_is_read(tmp_path: Path, kind: str) -> None:
    stream = io.BytesIO()
    words = ["--input-format", kind]
    wanted = expected()
    if kind == "arrow":
        with pa.ipc.new_stream(stream, table().schema) as writer:
            writer.write_table(table(), max_chunksize=64)
    elif kind == "jsonl":
        stream.write(json_lines())
    else:
        pyarrow.csv.write_csv(wide(), stream)
        words += ["--logits", "p_*"]
        scores = LOGITS.astype(np.float64)
        wanted = expected({"scores": scores, "labels": LABELS}, classes=NAMES)
    done = subprocess.run(
        [sys.executable, "-m", "lossd", "audit", "-", *words, "--format", "json"],
        input=stream.getvalue(), capture_output=True, cwd=tmp_path,
    )  # fmt: skip
    assert done.returncode == 0 and not done.stderr, done.stderr
    report = json.loads(done.stdout)
    del report["notes"]
    assert report == wanted


@pytest.mark.parametrize(
    "words",
    [
        (),
        ("p.npz", "--shard", "3/3"),
        ("p.npz", "--shard", "1"),
        ("p.npz", "--metric", "acuracy"),
        ("p.npz", "--loss", "nope"),
        ("p.npz", "--set", "colour=3"),
        ("p.npz", "--set", "most_listed=0"),
        ("p.npz", "--set", "has_ids=true"),
        ("p.npz", "--params", "{"),
        ("p.npz", "--classes", "a"),
        ("p.npz", "--classes", "a,b,a"),
        ("p.npz", "--logits", "z", "--probabilities", "p"),
        ("p.npz", "--shard", "0/2", "--two-pass"),
        ("p.npz", "--gates", "missing.toml"),
        ("p.npz", "--gates", "broken.toml"),
        ("p.npz", "--gates", "nowhere.toml"),
        ("-", "--two-pass", "--input-format", "csv"),
        ("merge",),
        ("merge", "a.state", "--two-pass"),
    ],
)
def test_a_mistake_in_the_command_is_2(
    capsys: pytest.CaptureFixture[str],
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    words: tuple[str, ...],
) -> None:
    monkeypatch.chdir(tmp_path)
    FORMATS["p.npz"](Path("p.npz"))
    Path("broken.toml").write_text("[[gate\n")
    Path("nowhere.toml").write_text('[[gate]]\nmetric = "acuracy.top_1.value"\nmin = 0.5\n')
    code, out, err = lossd(capsys, "audit", *words)
    assert (code, out) == (2, "") and err


@pytest.mark.parametrize("name", ["a.state", "noise.state", "other.state"])
def test_a_state_that_is_none_is_refused(
    capsys: pytest.CaptureFixture[str], tmp_path: Path, name: str
) -> None:
    (tmp_path / "noise.state").write_bytes(os.urandom(1000))
    safetensors.numpy.save_file({"x": LOGITS}, tmp_path / "other.state")
    code, out, err = lossd(capsys, "audit", "merge", tmp_path / name)
    assert (code, out) == (3, "") and str(tmp_path / name) in err


def test_states_of_different_audits_do_not_merge(
    capsys: pytest.CaptureFixture[str], tmp_path: Path
) -> None:
    FORMATS["p.npz"](tmp_path / "p.npz")
    for i, words in enumerate([(), ("--set", "most_listed=5")]):
        shard = ("--shard", "0/1", "--out", tmp_path / f"{i}.state")
        assert lossd(capsys, "audit", tmp_path / "p.npz", *words, *shard)[0] == 0
    code, _, err = lossd(capsys, "audit", "merge", tmp_path / "*.state")
    assert code == 3 and "1.state: state.setup" in err


def test_a_folder_gets_every_form(capsys: pytest.CaptureFixture[str], tmp_path: Path) -> None:
    FORMATS["p.npz"](tmp_path / "p.npz")
    out = tmp_path / "deep" / "out"
    code, said, err = lossd(capsys, "audit", tmp_path / "p.npz", "--out", out)
    assert code == 0 and not err and said == f"pass: {out / 'report.html'}\n"
    names = {"report.json", "report.html", "report.md", "junit.xml", "audit.state"}
    assert names <= {each.name for each in out.iterdir()}
    assert all(each.stat().st_size for each in out.iterdir())


def test_quiet_prints_nothing(capsys: pytest.CaptureFixture[str], tmp_path: Path) -> None:
    FORMATS["p.npz"](tmp_path / "p.npz")
    assert lossd(capsys, "audit", tmp_path / "p.npz", "--quiet") == (0, "", "")


def test_a_folder_that_cannot_be_written_is_3(
    capsys: pytest.CaptureFixture[str], tmp_path: Path
) -> None:
    FORMATS["p.npz"](tmp_path / "p.npz")
    (tmp_path / "file").write_text("")
    for out in (tmp_path / "file", tmp_path / "file" / "below", Path("/proc/none")):
        code, said, err = lossd(capsys, "audit", tmp_path / "p.npz", "--out", out)
        assert (code, said) == (3, "") and str(out) in err


def test_killed_it_leaves_no_half_report(tmp_path: Path) -> None:
    """Killed at many moments, the folder holds whole files or none."""
    FORMATS["p.npz"](tmp_path / "p.npz")
    program = (
        "import os, signal, sys, pathlib\n"
        "from lossd.cli import main\n"
        "kept = pathlib.Path.write_bytes\n"
        "def half(path, content):\n"
        "    if sys.argv[1] in path.name:\n"
        "        kept(path, content[: len(content) // 2])\n"
        "        os.kill(os.getpid(), signal.SIGKILL)\n"
        "    return kept(path, content)\n"
        "pathlib.Path.write_bytes = half\n"
        "main(['audit', sys.argv[2], '--out', sys.argv[3]])\n"
    )
    names = ("report.json", "report.html", "audit.state")
    for name in names:
        out = tmp_path / name
        command = [sys.executable, "-c", program, name, str(tmp_path / "p.npz"), str(out)]
        assert subprocess.run(command, cwd=ROOT).returncode == -signal.SIGKILL
        assert not (out / name).exists()
        for whole in out.glob("*.json"):
            json.loads(whole.read_text())


def test_memory_does_not_grow_with_the_rows(tmp_path: Path) -> None:
    """Peak memory of many rows in one row group, above that of few, is far below their size."""
    peaks = []
    for rows in (20_000, 1_000_000):
        z = np.zeros((rows, 20), np.float32)
        z[:, 0] = np.random.default_rng(0).normal(size=rows)
        found = pa.table({"logits": lists(z), "label": np.zeros(rows, np.int64)})
        pq.write_table(found, tmp_path / "p.parquet", row_group_size=rows)
        program = (
            "import re, sys; from lossd.cli import main; assert main(sys.argv[1:]) == 0;"
            "print(re.search(r'VmHWM:\\s*(\\d+)', open('/proc/self/status').read())[1])"
        )
        words = ["audit", str(tmp_path / "p.parquet"), "--quiet", "--metric", "accuracy"]
        done = subprocess.run(
            [sys.executable, "-c", program, *words], cwd=ROOT, capture_output=True, text=True
        )
        assert done.returncode == 0, done.stderr
        peaks.append(int(done.stdout) // 1024)
    assert peaks[1] - peaks[0] < 140, peaks


def test_a_mistake_in_the_setup_is_known_before_rows_are_read(
    capsys: pytest.CaptureFixture[str], tmp_path: Path
) -> None:
    (tmp_path / "p.csv").write_text("l_0,l_1,label\n1,2,x\n")
    words = ("--logits", "l_*", "--loss", "nope")
    code, _, err = lossd(capsys, "audit", tmp_path / "p.csv", *words)
    assert code == 2 and "nope" in err


def test_a_list_may_be_set(capsys: pytest.CaptureFixture[str], tmp_path: Path) -> None:
    FORMATS["p.npz"](tmp_path / "p.npz")
    report = found_by(capsys, tmp_path / "p.npz", "--set", "class_counts=[1, 2, 3, 4]")
    assert report["setup"]["class_counts"] == [1, 2, 3, 4]


@pytest.mark.parametrize(
    ("command", "says"),
    [
        (("p.parquet", "--two-pass", "--out", "o", "--metric", "accuracy"), "label_issues"),
        (("merge", "a.state", "--slice", "s", "--loss", "focal"), "--slice, --loss"),
    ],
)
def test_what_would_be_ignored_is_a_mistake(
    capsys: pytest.CaptureFixture[str], command: tuple[str, ...], says: str
) -> None:
    code, _, err = lossd(capsys, "audit", *command)
    assert code == 2 and says in err


def test_one_file_by_two_names_is_not_counted_twice(
    capsys: pytest.CaptureFixture[str], tmp_path: Path
) -> None:
    write_parquet(tmp_path / "p.parquet")
    (tmp_path / "link.parquet").symlink_to(tmp_path / "p.parquet")
    code, _, err = lossd(capsys, "audit", tmp_path / "p.parquet", tmp_path / "link.parquet")
    assert code == 3 and "two names" in err


def test_a_run_without_issues_leaves_none_of_another(
    capsys: pytest.CaptureFixture[str], tmp_path: Path
) -> None:
    write_parquet(tmp_path / "p.parquet")
    command = ("audit", tmp_path / "p.parquet", "--out", tmp_path / "o")
    assert lossd(capsys, *command)[0] == 0 and (tmp_path / "o/issues.csv").exists()
    assert lossd(capsys, *command, "--metric", "accuracy")[0] == 0
    assert not list((tmp_path / "o").glob("issues.*"))
