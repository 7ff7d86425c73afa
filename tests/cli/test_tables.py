"""`lossd eval --inputs`: tables in, tables out, in process and on a service."""

import io
import json
import os
import subprocess
import sys
import threading
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from conftest import running
from lossd.cli import main
from lossd.cli.progress import Progress
from lossd.cli.tables import BATCH_BYTES
from lossd.settings import Settings
from lossd_client import Client

ROOT = Path(__file__).parents[2]
ROWS, CLASSES = 700, 5
LOGITS = np.random.default_rng(0).standard_normal((ROWS, CLASSES), np.float32)
LABELS = np.random.default_rng(1).integers(0, CLASSES, ROWS)
IN_BOTH_PLACES = pytest.mark.parametrize("remote", [False, True], ids=["in process", "service"])


def lossd(capsys: pytest.CaptureFixture[str], *words: object) -> tuple[int, str, str]:
    code = main([str(word) for word in words])
    out, err = capsys.readouterr()
    return code, out, err


def logits_column(logits: Any = LOGITS) -> Any:
    return pa.FixedSizeListArray.from_arrays(pa.array(logits.ravel()), logits.shape[1])


def table(**more: Any) -> Any:
    columns = {"id": pa.array([f"row {i}" for i in range(ROWS)]), "logits": logits_column()}
    return pa.table({**columns, "labels": pa.array(LABELS), **more})


def save(found: Any, path: Path) -> Path:
    if path.suffix == ".parquet":
        pq.write_table(found, path, row_group_size=256)
    else:
        with pa.ipc.new_file(str(path), found.schema) as writer:
            writer.write_table(found, max_chunksize=256)
    return path


def load(path: Path) -> Any:
    if path.suffix == ".parquet":
        return pq.read_table(path)
    with pa.OSFile(str(path)) as file:
        return pa.ipc.open_file(file).read_all()


def dense(column: Any) -> Any:
    flat = column.combine_chunks().flatten().to_numpy()
    return flat.reshape(len(column), -1)


@pytest.fixture
def whole(url: str) -> Any:
    with Client(url) as client:
        return client.compute(
            "cross_entropy", logits=LOGITS, labels=LABELS, params={"label_smoothing": 0.1},
            class_weights=np.arange(1.0, 6.0), outputs=["rows", "gradients"], reduction="sum",
        )  # fmt: skip


@IN_BOTH_PLACES
@pytest.mark.parametrize("kind", [".parquet", ".arrow", ".feather"])
def test_a_table_goes_through_whole(
    capsys: pytest.CaptureFixture[str], tmp_path: Path, url: str, whole: Any, kind: str,
    remote: bool,
) -> None:  # fmt: skip
    (tmp_path / "weights.json").write_text("[1, 2, 3, 4, 5]")
    tagged = table(
        when=pa.array([None, *range(ROWS - 1)], pa.timestamp("us", "Europe/Rome")),
        tags=pa.array([["x"], []] * (ROWS // 2)),
        source=pa.array(["a", "b"] * (ROWS // 2)).dictionary_encode(),
    )
    given, out = save(tagged, tmp_path / f"in{kind}"), tmp_path / f"out{kind}"
    words = ["eval", "cross_entropy", "--inputs", given, "--out", out, "--gradients"]
    words += ["--input", f"class_weights={tmp_path / 'weights.json'}", "--format", "json"]
    words += ["--param", "label_smoothing=0.1", *(["--url", url] if remote else [])]
    code, text, err = lossd(capsys, *words)
    got, written = json.loads(text), load(out)
    assert code == 0 and not err
    assert got["sum"] == pytest.approx(whole.sum, rel=1e-6) and got["count"] == ROWS
    assert got["denominator"] == pytest.approx(whole.denominator)
    assert got["value"] == got["sum"] / got["denominator"] and got["params"] == whole.params
    for name in ("id", "when", "tags"):
        assert written[name].combine_chunks() == tagged[name].combine_chunks()
    assert written["source"].to_pylist() == tagged["source"].to_pylist()
    names = ["id", "when", "tags", "source", "rows", "gradients.logits"]
    assert written.schema.names == names
    np.testing.assert_allclose(written["rows"].to_numpy(), whole.rows, rtol=1e-6)
    gradients = dense(written["gradients.logits"])
    np.testing.assert_allclose(gradients, whole.gradients["logits"], rtol=1e-5, atol=1e-7)
    left = {"weights.json", given.name, out.name}
    assert {each.name for each in tmp_path.iterdir()} == left


@IN_BOTH_PLACES
def test_the_summary_alone_needs_no_output(
    capsys: pytest.CaptureFixture[str], tmp_path: Path, url: str, remote: bool
) -> None:
    given = save(table(), tmp_path / "in.parquet")
    words = ["eval", "cross_entropy", "--inputs", given, *(["--url", url] if remote else [])]
    code, text, err = lossd(capsys, *words, "--reduction", "sum")
    lines = dict(line.split(maxsplit=1) for line in text.splitlines())
    assert code == 0 and not err and lines["count"] == str(ROWS)
    assert lines["value"] == lines["sum"] and {"loss", "denominator", "params"} <= lines.keys()


@IN_BOTH_PLACES
@pytest.mark.parametrize("variable", [False, True], ids=["fixed-size lists", "lists"])
def test_a_table_without_rows_has_an_answer_without_rows(
    capsys: pytest.CaptureFixture[str], tmp_path: Path, url: str, remote: bool, variable: bool
) -> None:
    none = table().slice(0, 0)
    if variable:
        none = none.set_column(1, "logits", pa.chunked_array([[]], pa.list_(pa.float32())))
    given, out = save(none, tmp_path / "in.parquet"), tmp_path / "out.parquet"
    words = ["eval", "cross_entropy", "--inputs", given, "--out", out]
    code, text, _ = lossd(capsys, *words, *(["--url", url] if remote else []))
    assert code == 0 and "zero_denominator" in text and "value        null" in text
    assert load(out).schema.names == ["id", "rows"] and load(out).num_rows == 0


@IN_BOTH_PLACES
def test_wide_rows_are_cut_to_what_a_service_takes(
    capsys: pytest.CaptureFixture[str], tmp_path: Path, url: str, remote: bool
) -> None:
    wide = np.zeros((4, 300_000), np.float32)
    columns = {"logits": logits_column(wide), "labels": pa.array([0, 1, 2, 3])}
    given, out = save(pa.table(columns), tmp_path / "in.parquet"), tmp_path / "out.parquet"
    assert wide.nbytes > BATCH_BYTES
    with running(Settings(max_stream_batch_bytes=BATCH_BYTES + 4096)) as other:
        words = ["eval", "cross_entropy", "--inputs", given, "--out", out]
        assert lossd(capsys, *words, *(["--url", other] if remote else []))[0] == 0
    assert load(out)["rows"].to_pylist() == pytest.approx([np.log(300_000)] * 4, rel=1e-6)


def replaced(name: str, column: Any) -> Any:
    found = table()
    return found.set_column(found.schema.get_field_index(name), name, column)


NULL = pa.array([*LABELS[:600].tolist(), None, *LABELS[601:].tolist()])
WRONG_LABEL = pa.array(np.where(np.arange(ROWS) == 613, 9, LABELS))
HOSTILE = [
    ("no such column", table().drop_columns("labels"), ["missing_input", "labels"]),
    ("a null", replaced("labels", NULL), ["null", "at columns.labels", "[[600]]"]),
    ("a wrong label", replaced("labels", WRONG_LABEL), ["out_of_range", "at columns.labels",
                                                        "got 9", "[[613]]"]),
    ("text", replaced("labels", table()["id"]), ["wrong_dtype", "at columns.labels", "string"]),
    ("labels that are real", replaced("labels", pa.array(LABELS * 1.0)), ["wrong_dtype"]),
    ("numbers for lists", replaced("logits", pa.array(LABELS * 1.0)), ["wrong_shape", "logits"]),
    ("ragged lists", replaced("logits", pa.array([[0.0] * 5] * 699 + [[1.0]])),
     ["wrong_shape", "columns.logits"]),
    ("not finite", replaced("logits", logits_column(np.full((ROWS, CLASSES), np.nan, np.float32))),
     ["not_finite", "at columns.logits", "[0, 0]"]),
    ("a column named as an answer", table(rows=table()["id"]), ["unexpected_input", "rows"]),
    ("two columns of one name", table().append_column("labels", table()["labels"]),
     ["labels"]),
]  # fmt: skip


@IN_BOTH_PLACES
@pytest.mark.parametrize(("found", "says"), [x[1:] for x in HOSTILE], ids=[x[0] for x in HOSTILE])
def test_a_wrong_table_is_one_line_and_3_and_no_output(
    capsys: pytest.CaptureFixture[str], tmp_path: Path, url: str, found: Any, says: list[str],
    remote: bool,
) -> None:  # fmt: skip
    given, out = save(found, tmp_path / "in.parquet"), tmp_path / "out.parquet"
    words = ["eval", "cross_entropy", "--inputs", given, "--out", out]
    code, text, err = lossd(capsys, *words, *(["--url", url] if remote else []))
    assert code == 3 and not text
    assert err.startswith("lossd: ") and err.count("\n") == 1
    assert all(word in err for word in says)
    assert [each.name for each in tmp_path.iterdir()] == [given.name]


def cut_short(path: Path) -> None:
    path.write_bytes(path.read_bytes()[:-200])


def damaged(path: Path) -> None:
    data = bytearray(path.read_bytes())
    data[200 : len(data) // 2] = bytes(len(data) // 2 - 200)
    path.write_bytes(data)


@pytest.mark.parametrize("kind", [".parquet", ".arrow", ".feather"])
@pytest.mark.parametrize("spoil", [cut_short, damaged, lambda p: p.write_text("no"), Path.unlink])
def test_a_file_that_is_no_table_is_one_line_and_3(
    capsys: pytest.CaptureFixture[str], tmp_path: Path, kind: str, spoil: Any
) -> None:
    given = save(table(), tmp_path / f"in{kind}")
    spoil(given)
    words = ["eval", "cross_entropy", "--inputs", given, "--out", tmp_path / "out.parquet"]
    code, text, err = lossd(capsys, *words)
    assert code == 3 and not text and err.count("\n") == 1
    assert err.startswith("lossd: ") and not list(tmp_path.glob("*out*"))


@pytest.mark.parametrize(
    ("words", "says"),
    [
        (["--inputs", "{}/in.csv", "--out", "{}/out.parquet"], ".parquet, .arrow, .feather"),
        (["--inputs", "{}/in.parquet", "--out", "{}/out.txt"], "got .txt"),
        (["--inputs", "{}/in.parquet", "--out", "{}/no/out.parquet"], "cannot write"),
        (["--inputs", "{}/in.parquet", "--url", "http://127.0.0.1:9"], "cannot be reached"),
        (["--inputs", "{}/in.parquet", "--url", "http://[::"], "not an address"),
        (["--inputs", "{}/in.parquet", "--param", "label_smoothing=2"], "bad_params"),
        (["--inputs", "{}/in.parquet", "--input", "labels={}/labels.npy"], "labels"),
    ],
)
def test_an_error_around_a_table_is_one_line_and_3(
    capsys: pytest.CaptureFixture[str], tmp_path: Path, words: list[str], says: str
) -> None:
    save(table(), tmp_path / "in.parquet")
    np.save(tmp_path / "labels.npy", LABELS)
    given = [word.format(tmp_path) for word in words]
    code, text, err = lossd(capsys, "eval", "cross_entropy", *given)
    assert code == 3 and not text and says in err and err.count("\n") == 1


def test_losses_whose_rows_do_not_stand_alone_are_refused(
    capsys: pytest.CaptureFixture[str], tmp_path: Path
) -> None:
    given = save(pa.table({"weights": [1.0, 2.0]}), tmp_path / "in.parquet")
    code, _, err = lossd(capsys, "eval", "l2_penalty", "--inputs", given)
    assert code == 3 and "cannot be streamed" in err


@pytest.mark.parametrize("more", [["--rows"], ["--gradients"]])
def test_options_that_a_table_has_no_place_for_are_a_mistake(
    capsys: pytest.CaptureFixture[str], tmp_path: Path, more: list[str]
) -> None:
    given = save(table(), tmp_path / "in.parquet")
    with pytest.raises(SystemExit) as caught:
        main(["eval", "cross_entropy", "--inputs", str(given), *more])
    assert caught.value.code == 2 and "--out" in capsys.readouterr().err


@IN_BOTH_PLACES
def test_an_output_that_is_there_stays_until_the_new_one_is_whole(
    capsys: pytest.CaptureFixture[str], tmp_path: Path, url: str, remote: bool
) -> None:
    kept = save(table(), tmp_path / "kept.parquet")
    link = tmp_path / "link.parquet"
    link.symlink_to(kept.name)
    more = ["--url", url] if remote else []
    bad = save(replaced("labels", WRONG_LABEL), tmp_path / "bad.parquet")
    before = kept.read_bytes()
    assert lossd(capsys, "eval", "cross_entropy", "--inputs", bad, "--out", link, *more)[0] == 3
    assert kept.read_bytes() == before
    assert lossd(capsys, "eval", "cross_entropy", "--inputs", kept, "--out", link, *more)[0] == 0
    assert link.is_symlink() and load(kept).schema.names == ["id", "rows"]


def test_an_output_that_is_no_file_is_written_to_and_stays(
    capsys: pytest.CaptureFixture[str], tmp_path: Path
) -> None:
    np.save(tmp_path / "x.npy", np.ones(3, np.float32))
    pipe, read = tmp_path / "out", []
    os.mkfifo(pipe)
    reader = threading.Thread(target=lambda: read.append(pipe.read_bytes()))
    reader.start()
    both = [word for name in ("prediction", "target")
            for word in ("--input", f"{name}={tmp_path / 'x.npy'}")]  # fmt: skip
    code, *_ = lossd(capsys, "eval", "mse", *both, "--out", pipe)
    reader.join()
    assert code == 0 and pipe.is_fifo() and b"denominator" in read[0]


class Terminal(io.StringIO):
    def isatty(self) -> bool:
        return True


def test_progress_is_one_line_on_a_terminal_and_nothing_elsewhere(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    clock = iter(range(100))
    monkeypatch.setattr("lossd.cli.progress.time.monotonic", lambda: next(clock))
    terminal, file, of_no_end = Terminal(), io.StringIO(), Terminal()
    for stream, total in ((terminal, 4000), (file, 4000), (of_no_end, None)):
        with Progress(total, stream) as progress:
            progress.add(1000)
            progress.add(1000)
    assert "2,000 of 4,000 rows, 50%, 1,000 rows/s" in terminal.getvalue()
    assert "2,000 rows, 1,000 rows/s" in of_no_end.getvalue()
    assert "\n" not in terminal.getvalue() and terminal.getvalue().endswith("\r\x1b[K")
    assert not file.getvalue()


def written_in_parts(path: Path, rows: int) -> Path:
    def parts() -> Iterator[Any]:
        for _ in range(0, rows, 10_000):
            logits = np.zeros((10_000, 64), np.float32)
            yield pa.table({"logits": logits_column(logits), "labels": np.zeros(10_000, np.int64)})

    with pq.ParquetWriter(path, next(parts()).schema, compression="none") as writer:
        for each in parts():
            writer.write_table(each, row_group_size=100_000)
    return path


def test_memory_does_not_grow_with_the_table(tmp_path: Path) -> None:
    """Peaks of whole processes: 26 MB of logits against 179 MB, and as much of gradients."""
    code = (
        "import resource, sys; from lossd.cli import main; assert main(sys.argv[1:]) == 0;"
        "print(resource.getrusage(resource.RUSAGE_SELF).ru_maxrss)"
    )
    peaks_kib = []
    for rows in (100_000, 700_000):
        given = written_in_parts(tmp_path / f"{rows}.parquet", rows)
        words = ["eval", "cross_entropy", "--inputs", given, "--gradients", "--out"]
        command = [sys.executable, "-c", code, *words, tmp_path / "out.parquet"]
        environment = os.environ | {"PYTHONPATH": str(ROOT / "service"), "OMP_NUM_THREADS": "1"}
        done = subprocess.run(command, env=environment, check=True, capture_output=True, text=True)
        peaks_kib.append(int(done.stdout.split()[-1]))
    assert peaks_kib[1] - peaks_kib[0] < 100 * 1024, peaks_kib


def test_without_pyarrow_it_says_what_to_install() -> None:
    code = (
        "import sys; sys.modules['pyarrow'] = None\n"
        "from lossd.cli import main\n"
        "raise SystemExit(main(['eval', 'mse', '--inputs', 'x.parquet']))"
    )
    environment = os.environ | {"PYTHONPATH": str(ROOT / "service")}
    command = [sys.executable, "-c", code]
    done = subprocess.run(command, env=environment, capture_output=True, text=True)
    assert done.returncode == 3 and "lossd[arrow]" in done.stderr
