"""`lossd audit` of files that are wrong: what is said, and what is counted."""

import gzip
import io
import json
import os
import zipfile
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.csv
import pyarrow.parquet as pq
import pytest
from safetensors.numpy import save_file

from cli.prediction_files import (
    FORMATS,
    LABELS,
    LOGITS,
    NAMES,
    ROWS,
    found_by,
    json_lines,
    lists,
    lossd,
    table,
    wide,
    write_parquet,
)
from lossd.cli.predictions import texts
from lossd.cli.predictions._source import BATCH_BYTES, cut


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


@pytest.mark.parametrize("delimiter", [",", "\t"])
@pytest.mark.parametrize("block_bytes", [2000, 1 << 22])
def test_a_quotation_mark_left_open_does_not_drop_the_rest_of_the_file(
    capsys: pytest.CaptureFixture[str],
    tmp_path: Path,
    delimiter: str,
    block_bytes: int,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """In the last column, where the rest of the file is a value of a row that seems whole."""
    monkeypatch.setattr(texts, "BLOCK_BYTES", block_bytes)
    path = tmp_path / ("p.csv" if delimiter == "," else "p.tsv")
    rows = [["0.5", f"{k % 7}", f"{k % 2}", '"oops' if k == 480 else "x"] for k in range(500)]
    lines = [delimiter.join(row) for row in [["l_0", "l_1", "label", "note"], *rows]]
    path.write_text("\n".join(lines) + "\n")
    code, out, err = lossd(capsys, "audit", path, "--logits", "l_*")
    assert (code, out) == (3, "") and f"at {path}: row 480" in err, err
    assert "quotation mark is not closed" in err and err.count("\n") == 1


@pytest.mark.parametrize("end", ["", "\n", "\r\n", "\n\n\n"])
def test_a_csv_may_end_and_quote_as_csv_does(
    capsys: pytest.CaptureFixture[str], tmp_path: Path, end: str
) -> None:
    text = 'l_0,l_1,label,note\n1,2,1,"a ""word"" of\nlines, two"\n2,1,0,""\n3,1,1,"x"' + end
    (tmp_path / "p.csv").write_text(text, newline="")
    report = found_by(capsys, tmp_path / "p.csv", "--logits", "l_*", "--slice", "note")
    assert report["metrics"]["rows"]["seen"] == 3
    found = report["metrics"]["per_slice"]["columns"]["note"]["values"]
    assert {each["value"] for each in found} == {'a "word" of\nlines, two', "", "x"}


@pytest.mark.parametrize(
    ("words", "column"),
    [
        (("--logits", "l*"), "label"),
        (("--logits", "*"), "label"),
        (("--logits", "l_*", "--id", "l_1"), "l_1"),
        (("--logits", "l_*", "--weight", "l_0"), "l_0"),
        (("--logits", "l_*", "--slice", "l_1"), "l_1"),
        (("--logits", "l_*", "--embedding", "l_?"), "l_0"),
        (("--logits", "l_*", "--embedding", "h*", "--weight", "h1"), "h1"),
    ],
)
def test_a_pattern_that_takes_in_another_column_is_refused(
    capsys: pytest.CaptureFixture[str], tmp_path: Path, words: tuple[str, ...], column: str
) -> None:
    (tmp_path / "p.csv").write_text("l_0,l_1,h0,h1,label\n1,2,3,4,0\n1,2,3,4,1\n")
    code, out, err = lossd(capsys, "audit", tmp_path / "p.csv", *words)
    assert (code, out) == (3, "") and f"p.csv: column {column}" in err, err
    assert "another thing" in err


@pytest.mark.parametrize(
    ("header", "written", "words"),
    [
        ("q_0,q_1", ("true", "false"), ("--logits", "q_*", "--classes", "true,false")),
        ("q_0,q_1", ("True", "False"), ("--logits", "q_*", "--classes", "true,false")),
        ("p_yes,p_no", ("False", "True"), ("--logits", "p_*")),
        ("p_true,p_false", ("true", "false"), ("--logits", "p_*")),
        ("p_1,p_2", ("1", "2"), ("--logits", "p_*")),
        ("p_1,p_2", ("1.0", "2.0"), ("--logits", "p_*")),
        ("p_cat,p_dog", ("0", "1"), ("--logits", "p_*")),
        ("p_0,p_1", ("0", "1"), ("--logits", "p_*", "--classes", "cat,dog")),
    ],
)
def test_a_label_in_csv_is_the_class_of_its_name_or_else_of_its_number(
    capsys: pytest.CaptureFixture[str],
    tmp_path: Path,
    header: str,
    written: tuple[str, str],
    words: tuple[str, ...],
) -> None:
    """Columns of a pattern are sorted: p_false comes before p_true, p_no before p_yes."""
    names = header.split(",")
    order = sorted(names)
    lines = [f"{header},label"]
    for row in range(60):
        y = row % 2
        scores = {names[0]: 5.0 * (y == 0), names[1]: 5.0 * (y == 1)}
        if names != order and written[0] == "False":  # False is class 0, the column p_no
            scores = {order[0]: 5.0 * (y == 0), order[1]: 5.0 * (y == 1)}
        lines.append(",".join([*(str(scores[name]) for name in names), written[y]]))
    (tmp_path / "p.csv").write_text("\n".join(lines) + "\n")
    code, out, err = lossd(
        capsys, "audit", tmp_path / "p.csv", *words, "--metric", "accuracy", "--metric", "rows",
        "--format", "json",
    )  # fmt: skip
    assert code == 0, err
    metrics = json.loads(out)["metrics"]
    assert metrics["accuracy"]["top_1"]["value"] == 1.0 and metrics["rows"]["seen"] == 60
    assert metrics["rows"]["rejected"]["label_out_of_range"]["count"] == 0


def test_numbers_are_no_labels_of_classes_named_by_other_numbers(
    capsys: pytest.CaptureFixture[str], tmp_path: Path
) -> None:
    pq.write_table(table(), tmp_path / "p.parquet")
    code, out, err = lossd(capsys, "audit", tmp_path / "p.parquet", "--classes", "1,2,3,4")
    assert (code, out) == (3, "") and "names of the classes" in err


@pytest.mark.parametrize("classes", ["dog,cat,eel,fox", "wolf,cat,dog,fox"])
def test_classes_in_another_order_than_the_columns_are_refused(
    capsys: pytest.CaptureFixture[str], tmp_path: Path, classes: str
) -> None:
    pq.write_table(wide(), tmp_path / "p.parquet")
    words = ("--logits", "p_*", "--classes", classes)
    code, out, err = lossd(capsys, "audit", tmp_path / "p.parquet", *words)
    assert (code, out) == (3, "") and "another order" in err and "cat,dog,eel,fox" in err


def _wide_npz(path: Path) -> None:
    np.savez_compressed(path, logits=np.zeros((2, 1_000_001), np.float32), label=np.zeros(2, int))


def _long_npz(path: Path) -> None:
    np.savez_compressed(path, logits=np.zeros((1, 2)), label=np.array(["x" * 4_000_001]))


def _wide_safetensors(path: Path) -> None:
    logits = np.zeros((2, 1_000_001), np.float32)
    save_file({"logits": logits, "label": np.zeros(2, np.int64)}, path)


def _wide_parquet(path: Path) -> None:
    ends = np.arange(3) * 1_000_001
    logits = pa.LargeListArray.from_arrays(ends, pa.array(np.zeros(ends[-1], np.float32)))
    pq.write_table(pa.table({"logits": logits, "label": [0, 1]}), path)


@pytest.mark.parametrize(
    ("ending", "write", "says"),
    [
        ("npz", _wide_npz, "logits has 1000001 columns"),
        ("npz", _long_npz, "a row of label is larger than"),
        ("safetensors", _wide_safetensors, "logits has 1000001 columns"),
        ("parquet", _wide_parquet, "has more than 1000000 values a row"),
    ],
)
def test_rows_wider_than_scores_can_be_are_refused_by_what_the_file_says_of_itself(
    capsys: pytest.CaptureFixture[str],
    tmp_path: Path,
    ending: str,
    write: Callable[[Path], None],
    says: str,
) -> None:
    path = tmp_path / f"p.{ending}"
    write(path)
    code, out, err = lossd(capsys, "audit", path)
    assert (code, out) == (3, "")
    assert str(path) in err and says in err


def test_one_long_id_makes_blocks_of_fewer_rows() -> None:
    ids = ["x" * 200, *map(str, range(99_999))]
    pieces = list(cut(7, pa.RecordBatch.from_pydict({"id": ids})))
    assert all(4 * 200 * piece.num_rows <= BATCH_BYTES for _, piece in pieces)
    assert [each for _, piece in pieces for each in piece.column("id").to_pylist()] == ids


@pytest.mark.parametrize("size", [50, 100, ROWS])
@pytest.mark.parametrize("kind", ["lists", "lines"])
def test_rows_without_scores_do_not_stop_it_however_they_are_cut(
    capsys: pytest.CaptureFixture[str], tmp_path: Path, kind: str, size: int,
    monkeypatch: pytest.MonkeyPatch,
) -> None:  # fmt: skip
    scores = [None if i < 200 or 300 <= i < 400 else row for i, row in enumerate(LOGITS.tolist())]
    if kind == "lists":
        path = tmp_path / "p.parquet"
        given = pa.table({"logits": pa.array(scores, pa.list_(pa.float32())), "label": LABELS})
        pq.write_table(given, path, row_group_size=size)
    else:
        path = tmp_path / "p.jsonl"
        rows = zip(scores, LABELS.tolist(), strict=True)
        path.write_text("\n".join(json.dumps({"logits": z, "label": y}) for z, y in rows))
        monkeypatch.setattr(texts, "BLOCK_BYTES", 40 * size)
    code, out, err = lossd(capsys, "audit", path, "--format", "json", "--classes", ",".join(NAMES))
    assert code == 0, err
    rejected = json.loads(out)["metrics"]["rows"]
    assert rejected["used"] == ROWS - 300 and rejected["rejected"]["not_finite"]["count"] == 300


def test_a_file_of_no_scores_at_all_is_refused(
    capsys: pytest.CaptureFixture[str], tmp_path: Path
) -> None:
    nothing = pa.array([None] * ROWS, pa.list_(pa.float32()))
    pq.write_table(pa.table({"logits": nothing, "label": LABELS}), tmp_path / "p.parquet")
    code, _, err = lossd(capsys, "audit", tmp_path / "p.parquet")
    assert code == 3 and "every list is null" in err


@pytest.mark.parametrize(
    ("ids", "finds"),
    [
        (["0001", "1"], {"0001", "1"}),
        (["7", "-3"], {7, -3}),
        (["a", "0"], {"a", "0"}),
    ],
)
def test_ids_in_csv_stay_apart(
    capsys: pytest.CaptureFixture[str], tmp_path: Path, ids: list[str], finds: set[Any]
) -> None:
    rows = "".join(f"{each},nan,0,0\n" for each in ids)
    (tmp_path / "p.csv").write_text(f"id,z_a,z_b,label\n{rows}")
    command = ("audit", tmp_path / "p.csv", "--logits", "z_*", "--id", "id", "--format", "json")
    code, out, err = lossd(capsys, *command)
    assert code == 0, err
    assert set(json.loads(out)["metrics"]["rows"]["rejected"]["not_finite"]["ids"]) == finds


def test_an_id_that_is_not_there_is_said(
    capsys: pytest.CaptureFixture[str], tmp_path: Path
) -> None:
    (tmp_path / "p.csv").write_text("id,z_a,z_b,label\na,1,0,0\n,1,0,0\n")
    code, _, err = lossd(capsys, "audit", tmp_path / "p.csv", "--logits", "z_*", "--id", "id")
    assert code == 3 and "row 1" in err and "no id" in err
