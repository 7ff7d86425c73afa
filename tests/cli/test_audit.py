"""`lossd audit`, `lossd audit merge`, `lossd compare`: files in, reports out."""

import gzip
import io
import json
import os
import signal
import subprocess
import sys
import zipfile
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.csv
import pyarrow.parquet as pq
import pytest
import safetensors.numpy

from audit.chunks import everything
from lossd.audit import Audit, Setup, load
from lossd.cli import main
from lossd.cli.predictions import arrays, texts

ROOT = Path(__file__).parents[2]
ROWS, CLASSES = 700, 4
FIELDS = everything(ROWS, CLASSES)
LOGITS, LABELS = FIELDS["scores"], FIELDS["labels"]
NAMES = ("cat", "dog", "eel", "fox")


def lossd(capsys: pytest.CaptureFixture[str], *words: object) -> tuple[int, str, str]:
    try:
        code = main([str(word) for word in words])
    except SystemExit as end:
        code = int(str(end.code))
    out, err = capsys.readouterr()
    return code, out, err


def found_by(capsys: pytest.CaptureFixture[str], *words: object) -> dict[str, Any]:
    """The report as JSON, without what may differ each time."""
    code, out, err = lossd(capsys, "audit", *words, "--format", "json")
    assert code == 0, err
    report: dict[str, Any] = json.loads(out)
    assert report.pop("notes")["seconds"] >= 0
    return report


def expected(fields: dict[str, Any] | None = None, **options: Any) -> dict[str, Any]:
    with Audit(Setup(**options)) as audit:
        audit.add(**(fields or {"scores": LOGITS, "labels": LABELS}))
        report = json.loads(audit.report().to_json())
    del report["notes"]
    return dict(report)


def lists(x: Any) -> Any:
    return pa.FixedSizeListArray.from_arrays(pa.array(x.reshape(-1)), x.shape[1])


def table(**more: Any) -> Any:
    return pa.table({"logits": lists(LOGITS), "label": LABELS, **more})


def wide() -> Any:
    """A column for each class, as people have them in CSV; the tenth after the ninth."""
    columns = {f"p_{name}": LOGITS[:, j].astype(np.float64) for j, name in enumerate(NAMES)}
    return pa.table({**columns, "label": np.array(NAMES)[LABELS]})


def write_parquet(path: Path) -> None:
    pq.write_table(table(), path, row_group_size=64)


def write_ipc(path: Path) -> None:
    with pa.ipc.new_file(str(path), table().schema) as writer:
        writer.write_table(table(), max_chunksize=64)


def json_lines() -> bytes:
    rows = zip(LOGITS.tolist(), LABELS.tolist(), strict=True)
    return "".join(json.dumps({"logits": z, "label": y}) + "\n" for z, y in rows).encode()


FORMATS: dict[str, Callable[[Path], Any]] = {
    "p.parquet": write_parquet,
    "p.arrow": write_ipc,
    "p.feather": write_ipc,
    "p.jsonl": lambda path: path.write_bytes(json_lines()),
    "p.ndjson.gz": lambda path: path.write_bytes(gzip.compress(json_lines())),
    "p.npz": lambda path: np.savez(path, logits=LOGITS, label=LABELS),
    "q.npz": lambda path: np.savez_compressed(path, logits=LOGITS, label=LABELS),
    "p.safetensors": lambda path: safetensors.numpy.save_file(
        {"logits": LOGITS, "label": LABELS}, path
    ),
}


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


def _one_bad(column: str, row: int, value: Any) -> Any:
    found = table(id=[f"r{i}" for i in range(ROWS)], w=[1.0] * ROWS, s=["x"] * ROWS)
    values = found[column].to_pylist()
    values[row] = value
    place = found.column_names.index(column)
    return found.set_column(place, column, pa.array(values))


@pytest.mark.parametrize(
    ("column", "value", "says"),
    [
        ("logits", [1.0, 2.0], "expected 4 numbers; got 2"),
        ("id", None, "a row has no id"),
        ("id", "x" * 300, "expected 256 characters"),
        ("w", None, "a row has no weight"),
        ("w", -1.0, "weights are finite and not negative"),
        ("w", float("nan"), "weights are finite and not negative"),
        ("s", "x" * 300, "expected 256 characters"),
    ],
)
def test_what_is_wrong_with_a_row_is_said_with_file_row_and_column(
    capsys: pytest.CaptureFixture[str], tmp_path: Path, column: str, value: Any, says: str
) -> None:
    pq.write_table(table(), tmp_path / "a.parquet")
    path = tmp_path / "p.parquet"
    pq.write_table(_one_bad(column, 604, value), path, row_group_size=100)
    words = ("--id", "id", "--weight", "w", "--slice", "s")
    code, out, err = lossd(capsys, "audit", path, *words)
    assert (code, out) == (3, "")
    assert f"at {path}: row 604, column {column}" in err and says in err
    assert err.startswith("lossd: ") and err.count("\n") == 1


@pytest.mark.parametrize("value", [None, [1.0, None, 2.0, 3.0], [1.0, float("nan"), 2.0, 3.0]])
def test_scores_that_are_not_there_are_counted_and_do_not_stop_it(
    capsys: pytest.CaptureFixture[str], tmp_path: Path, value: Any
) -> None:
    pq.write_table(_one_bad("logits", 604, value), tmp_path / "p.parquet")
    rejected = found_by(capsys, tmp_path / "p.parquet")["metrics"]["rows"]["rejected"]
    assert rejected["not_finite"] == {"count": 1, "ids": [604]}


@pytest.mark.parametrize(
    ("labels", "words"),
    [
        (lambda y: pa.array([None if i == 604 else v for i, v in enumerate(y)]), ()),
        (lambda y: pa.array([float("nan") if i == 604 else float(v) for i, v in enumerate(y)]), ()),
        (lambda y: pa.array([9 if i == 604 else v for i, v in enumerate(y)], pa.uint8()), ()),
        (
            lambda y: pa.array(["?" if i == 604 else NAMES[v] for i, v in enumerate(y)]),
            ("--classes", ",".join(NAMES)),
        ),
    ],
    ids=["null", "nan", "no class", "no name"],
)
def test_labels_that_are_no_class_are_counted_and_do_not_stop_it(
    capsys: pytest.CaptureFixture[str], tmp_path: Path, labels: Any, words: tuple[str, ...]
) -> None:
    found = pa.table({"logits": lists(LOGITS), "label": labels(LABELS.tolist())})
    pq.write_table(found, tmp_path / "p.parquet")
    rejected = found_by(capsys, tmp_path / "p.parquet", *words)["metrics"]["rows"]["rejected"]
    assert rejected["label_out_of_range"] == {"count": 1, "ids": [604]}


@pytest.mark.parametrize(
    ("columns", "words", "says"),
    [
        ({"label": LABELS}, (), "column logits; expected one of label"),
        ({"logits": lists(LOGITS)}, (), "column label; expected one of logits"),
        ({"label": LABELS}, ("--logits", "p_*"), "column p_*"),
        ({"label": LABELS, "logits": LABELS}, (), "column logits; expected lists"),
        ({"label": [["a"]] * ROWS, "logits": lists(LOGITS)}, (), "expected integers or text"),
        ({"label": ["a"] * ROWS, "logits": lists(LOGITS)}, (), "--classes"),
        ({"label": LABELS + 0.5, "logits": lists(LOGITS)}, (), "row 0, column label"),
        ({"label": LABELS, "logits": [["a"]] * ROWS}, (), "expected numbers; got string"),
        ({"label": LABELS, "logits": lists(LOGITS)}, ("--slice", "land"), "column land"),
        ({"label": LABELS, "logits": lists(LOGITS[:, :1])}, (), "column logits"),
        ({"label": LABELS, "logits": lists(LOGITS)}, ("--classes", "a,b"), "got 4"),
        ({"label": LABELS, "logits": [[]] * ROWS}, (), "column logits"),
        ({"label": LABELS, "logits": [None] * ROWS}, (), "column logits"),
        ({"label": np.full(ROWS, 2**64 - 1, np.uint64), "logits": lists(LOGITS)}, (), "64 bits"),
        ({"label": LABELS[:0], "logits": lists(LOGITS[:0])}, (), "no rows"),
    ],
)
def test_a_table_of_other_columns_is_refused(
    capsys: pytest.CaptureFixture[str],
    tmp_path: Path,
    columns: dict[str, Any],
    words: tuple[str, ...],
    says: str,
) -> None:
    pq.write_table(pa.table(columns), tmp_path / "p.parquet")
    code, out, err = lossd(capsys, "audit", tmp_path / "p.parquet", *words)
    assert (code, out) == (3, "") and says in err, err
    assert err.count("\n") == 1


def test_the_last_file_is_looked_at_before_the_first_is_read(
    capsys: pytest.CaptureFixture[str], tmp_path: Path
) -> None:
    pq.write_table(_one_bad("logits", 3, [1.0]), tmp_path / "a.parquet")
    pq.write_table(table().drop(["label"]), tmp_path / "b.parquet")
    code, _, err = lossd(capsys, "audit", tmp_path / "*.parquet")
    assert code == 3 and f"{tmp_path / 'b.parquet'}: column label" in err


@pytest.mark.parametrize("change", ["ids", "classes", "columns"])
def test_files_must_agree(capsys: pytest.CaptureFixture[str], tmp_path: Path, change: str) -> None:
    words: tuple[str, ...] = ()
    if change == "ids":
        first, second = table(k=np.arange(ROWS)), table(k=[f"{i}" for i in range(ROWS)])
        words = ("--id", "k")
    elif change == "classes":
        first, second = table(), pa.table({"logits": lists(LOGITS[:, :3]), "label": LABELS})
    else:
        first, second = wide(), wide().drop(["p_eel"])
        words = ("--logits", "p_*")
    pq.write_table(first, tmp_path / "a.parquet")
    pq.write_table(second, tmp_path / "b.parquet")
    code, _, err = lossd(capsys, "audit", tmp_path / "*.parquet", *words)
    assert code == 3 and f"{tmp_path / 'b.parquet'}: column" in err


def _truncated(name: str, path: Path) -> None:
    FORMATS[name](path)
    content = path.read_bytes()
    path.write_bytes(content[: len(content) // 2])


def _lying_npz(path: Path) -> None:
    """An array that says it has more rows than there are bytes for."""
    header = io.BytesIO()
    spec = {"descr": "<f4", "fortran_order": False, "shape": (1 << 40, 4)}
    np.lib.format.write_array_header_1_0(header, spec)
    with zipfile.ZipFile(path, "w") as archive:
        archive.writestr("logits.npy", header.getvalue() + LOGITS.tobytes())
        archive.writestr(
            "label.npy", header.getvalue().replace(b", 4)", b",)  ") + LOGITS.tobytes()
        )


def _lying_parquet(path: Path) -> None:
    """Bytes of the pages are turned over, and the footer is whole."""
    write_parquet(path)
    content = bytearray(path.read_bytes())
    for i in range(4, len(content) // 2, 7):
        content[i] ^= 0xFF
    path.write_bytes(bytes(content))


HOSTILE: dict[str, Callable[[Path], Any]] = {
    "missing.parquet": lambda path: None,
    "empty.parquet": lambda path: path.write_bytes(b""),
    "empty.arrow": lambda path: path.write_bytes(b""),
    "empty.csv": lambda path: path.write_bytes(b""),
    "empty.jsonl": lambda path: path.write_bytes(b""),
    "empty.npz": lambda path: path.write_bytes(b""),
    "empty.safetensors": lambda path: path.write_bytes(b""),
    "half.parquet": lambda path: _truncated("p.parquet", path),
    "half.arrow": lambda path: _truncated("p.arrow", path),
    "half.npz": lambda path: _truncated("p.npz", path),
    "half.safetensors": lambda path: _truncated("p.safetensors", path),
    "half.jsonl": lambda path: path.write_bytes(json_lines()[:-9]),
    "half.jsonl.gz": lambda path: path.write_bytes(gzip.compress(json_lines())[:-99]),
    "lying.parquet": _lying_parquet,
    "lying.npz": _lying_npz,
    "noise.parquet": lambda path: path.write_bytes(os.urandom(5000)),
    "noise.csv": lambda path: path.write_bytes(b"logits,label\n" + os.urandom(5000)),
    "noise.jsonl": lambda path: path.write_bytes(os.urandom(5000)),
    "list.jsonl": lambda path: path.write_text("[1, 2]\n"),
    "deep.jsonl": lambda path: path.write_text("[" * 100_000 + "\n"),
    "ragged.jsonl": lambda path: path.write_bytes(json_lines() + b'{"logits": [1], "label": 0}'),
    "text.jsonl": lambda path: path.write_bytes(json_lines() + b'{"logits": ["a"], "label": 0}'),
    "kinds.jsonl": lambda path: path.write_bytes(json_lines() + b'{"logits": null, "label": "a"}'),
    "surrogate.jsonl": lambda path: path.write_bytes(b'{"logits": [1, 2], "label": "\\ud800"}'),
    "fortran.npz": lambda path: np.savez(path, logits=np.asfortranarray(LOGITS), label=LABELS),
    "objects.npz": lambda path: np.savez(path, logits=np.array([{}], object), label=LABELS),
    "uneven.npz": lambda path: np.savez(path, logits=LOGITS, label=LABELS[1:]),
    "scalar.npz": lambda path: np.savez(path, logits=np.float32(1), label=LABELS),
    "cube.npz": lambda path: np.savez(path, logits=np.zeros((2, 2, 2)), label=LABELS[:2]),
    "dates.npz": lambda path: np.savez(path, logits=LOGITS, label=np.full(ROWS, "2020", "M8[Y]")),
    "folder.parquet": lambda path: path.mkdir(),
    "other.docx": lambda path: path.write_bytes(b"x"),
    "plain": lambda path: path.write_bytes(b"x"),
}


@pytest.mark.parametrize("name", HOSTILE)
def test_a_hostile_file_is_refused_by_its_name(
    capsys: pytest.CaptureFixture[str], tmp_path: Path, name: str
) -> None:
    HOSTILE[name](tmp_path / name)
    code, out, err = lossd(capsys, "audit", tmp_path / name)
    assert (code, out) == (3, ""), err
    assert f"at {tmp_path / name}" in err and err.count("\n") == 1


@pytest.mark.parametrize(
    ("line", "says"),
    [
        ("1,x,3,4,dog", "row 700, column p_dog"),
        ("1,2,3", "row 700"),
        ("1,2,3,4,dog,6", "row 700"),
    ],
)
def test_a_csv_that_goes_wrong_late_says_where(
    capsys: pytest.CaptureFixture[str], tmp_path: Path, line: str, says: str
) -> None:
    path = tmp_path / "p.csv"
    pyarrow.csv.write_csv(wide(), path)
    path.write_bytes(path.read_bytes() + f"{line}\n1,2,3,4,dog\n".encode())
    code, out, err = lossd(capsys, "audit", path, "--logits", "p_*")
    assert (code, out) == (3, "") and str(path) in err and says in err, err


def test_two_columns_of_one_name_are_refused(
    capsys: pytest.CaptureFixture[str], tmp_path: Path
) -> None:
    (tmp_path / "p.csv").write_text("a,a,b,label\n1,2,3,0\n")
    code, _, err = lossd(capsys, "audit", tmp_path / "p.csv", "--logits", "[ab]")
    assert code == 3 and "column a" in err


@pytest.mark.parametrize(
    "words",
    [
        (),
        ("p.npz", "--shard", "3/3"),
        ("p.npz", "--shard", "1"),
        ("p.npz", "--metric", "acuracy"),
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
