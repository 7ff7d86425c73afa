"""The command line as a person meets it."""

import json
import os
import signal
import subprocess
import sys
from pathlib import Path
from typing import Any

import httpx
import numpy as np
import pytest
import safetensors.numpy

from lossd.cli import main
from lossd.losses import CATALOG
from lossd_client import Client

LOGITS = np.array([[2.0, 0.5], [0.1, 1.2]], dtype=np.float32)
LABELS = np.array([0, 1])


def lossd(capsys: pytest.CaptureFixture[str], *words: str) -> tuple[int, str, str]:
    code = main(words)
    out, err = capsys.readouterr()
    return code, out, err


@pytest.fixture
def files(tmp_path: Path) -> Path:
    np.save(tmp_path / "logits.npy", LOGITS)
    np.save(tmp_path / "labels.npy", LABELS)
    both = {"logits": LOGITS, "labels": LABELS}
    np.savez(tmp_path / "both.npz", **both)
    safetensors.numpy.save_file(both, tmp_path / "both.safetensors")
    (tmp_path / "both.json").write_text(json.dumps({k: x.tolist() for k, x in both.items()}))
    (tmp_path / "logits.csv").write_text("cat,dog\n2.0,0.5\n0.1,1.2\n")
    (tmp_path / "labels.csv").write_text("0\n1\n")
    np.savez(tmp_path / "weights.npz", a=np.float32([1.0]), b=np.float32([2.0]))
    return tmp_path


@pytest.mark.parametrize(
    ("logits", "labels"),
    [
        ("logits.npy", "labels.npy"),
        ("both.npz:logits", "both.npz:labels"),
        ("both.safetensors:logits", "both.safetensors:labels"),
        ("both.json:logits", "both.json:labels"),
        ("logits.csv", "labels.csv"),
    ],
)
@pytest.mark.parametrize("remote", [False, True], ids=["in process", "on a service"])
def test_a_loss_of_files_is_that_of_the_service(
    capsys: pytest.CaptureFixture[str],
    files: Path,
    url: str,
    logits: str,
    labels: str,
    remote: bool,
) -> None:
    words = ["eval", "cross_entropy", "--input", f"logits={files / logits}", "--input"]
    words += [f"labels={files / labels}", "--param", "label_smoothing=0.1", "--format", "json"]
    words += ["--rows", "--gradients", *(["--url", url] if remote else [])]
    code, out, _ = lossd(capsys, *words)
    with Client(url) as client:
        want = client.compute(
            "cross_entropy",
            params={"label_smoothing": 0.1},
            outputs=["rows", "gradients"],
            logits=LOGITS,
            labels=LABELS,
        )
    got = json.loads(out)
    assert code == 0 and got["value"] == want.value
    assert np.array_equal(np.float32(got["rows"]), want.rows)
    assert np.array_equal(np.float32(got["gradients"]["logits"]), want.gradients["logits"])


def test_integers_where_reals_are_wanted_are_read_as_reals_on_a_service_too(
    capsys: pytest.CaptureFixture[str], tmp_path: Path, url: str
) -> None:
    (tmp_path / "x.csv").write_text("1\n2\n")
    one = f"prediction={tmp_path / 'x.csv'}", f"target={tmp_path / 'x.csv'}"
    for more in ([], ["--url", url]):
        words = ["eval", "mse", "--input", one[0], "--input", one[1], *more]
        assert lossd(capsys, *words)[0] == 0


def test_a_file_of_several_tensors_is_a_group(
    capsys: pytest.CaptureFixture[str], files: Path
) -> None:
    words = ("eval", "l2_penalty", "--input", f"weights={files / 'weights.npz'}", "--gradients")
    code, out, _ = lossd(capsys, *words)
    assert code == 0 and "gradients.weights/b" in out
    assert "value        5" in out


def test_the_whole_answer_can_be_written(capsys: pytest.CaptureFixture[str], files: Path) -> None:
    words = ["eval", "cross_entropy", "--input", f"logits={files / 'logits.npy'}", "--gradients"]
    words += ["--input", f"labels={files / 'labels.npy'}", "--out", str(files / "out.safetensors")]
    assert lossd(capsys, *words)[0] == 0
    written = safetensors.numpy.load_file(files / "out.safetensors")
    assert written["gradients.logits"].shape == (2, 2)


@pytest.mark.parametrize(
    ("words", "says"),
    [
        (["eval", "cros_entropy"], "cross_entropy"),
        (["eval", "mse", "--input", "prediction=nowhere.npy"], "nowhere.npy"),
        (["eval", "mse", "--input", "prediction=a.pickle"], ".npy"),
        (["eval", "mse", "--input", "prediction={}/both.npz:nope"], "nope"),
        (["eval", "mse", "--input", "prediction={}/text.npy"], "not a .npy file"),
        (["eval", "mse", "--input", "prediction={}/ragged.json"], "ragged.json"),
        (["eval", "mse", "--input", "prediction={}/logits.npy"], "missing_input"),
        (["eval", "mse", "--url", "http://127.0.0.1:9"], "cannot be reached"),
        (["losses", "nope"], "unknown_loss"),
        (["losses", "--family", "nope"], "regression"),
    ],
)
def test_an_error_in_the_data_is_one_line_and_3(
    capsys: pytest.CaptureFixture[str], files: Path, words: list[str], says: str
) -> None:
    (files / "text.npy").write_text("not numpy")
    (files / "ragged.json").write_text("[[1, 2], [3]]")
    code, out, err = lossd(capsys, *(word.format(files) for word in words))
    assert code == 3 and not out
    assert err.startswith("lossd: ") and err.count("\n") == 1 and says in err


def test_an_error_of_the_service_is_told_as_the_service_told_it(
    capsys: pytest.CaptureFixture[str], files: Path, url: str
) -> None:
    np.save(files / "labels.npy", np.array([0, 7]))
    words = ["eval", "cross_entropy", "--input", f"logits={files / 'logits.npy'}"]
    words += ["--input", f"labels={files / 'labels.npy'}"]
    here, there = lossd(capsys, *words), lossd(capsys, *words, "--url", url)
    assert here == there and here[0] == 3 and "indices [[1]]" in here[2]


@pytest.mark.parametrize(
    "words", [[], ["nope"], ["eval"], ["eval", "mse", "--input", "x"], ["serve", "--port", "x"]]
)
def test_a_mistake_in_the_command_is_2(
    capsys: pytest.CaptureFixture[str], words: list[str]
) -> None:
    with pytest.raises(SystemExit) as caught:
        main(words)
    assert caught.value.code == 2 and "usage" in capsys.readouterr().err


def test_settings_that_are_wrong_are_named(
    capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("LOSSD_MAX_BODY_BYTES", "many")
    for command in ("settings", "serve"):
        code, _, err = lossd(capsys, command)
        assert code == 2 and "LOSSD_MAX_BODY_BYTES" in err


def test_settings_and_losses_are_listed(capsys: pytest.CaptureFixture[str]) -> None:
    assert "LOSSD_PORT" in lossd(capsys, "settings")[1]
    rows = json.loads(lossd(capsys, "settings", "--format", "json")[1])["settings"]
    assert {"LOSSD_HOST", "LOSSD_DEVICE"} <= {row["name"] for row in rows}
    assert len(lossd(capsys, "losses")[1].splitlines()) == len(CATALOG)
    listed = json.loads(lossd(capsys, "losses", "--search", "huber", "--format", "json")[1])
    assert "huber" in [each["name"] for each in listed["losses"]]


@pytest.mark.parametrize("name", CATALOG)
def test_every_loss_can_be_described(capsys: pytest.CaptureFixture[str], name: str) -> None:
    code, out, _ = lossd(capsys, "losses", name)
    assert code == 0 and CATALOG[name].formula in out and "curl" in out
    described: dict[str, Any] = json.loads(lossd(capsys, "losses", name, "--format", "json")[1])
    assert described["name"] == name


def test_serve_prints_where_it_is_and_stops_when_told() -> None:
    environment = os.environ | {"PYTHONPATH": "service", "LOSSD_LOG_LEVEL": "warning"}
    command = [sys.executable, "-u", "-m", "lossd", "serve", "--port", "0"]
    root = Path(__file__).parents[2]
    with subprocess.Popen(
        command, stdout=subprocess.PIPE, text=True, env=environment, cwd=root
    ) as process:
        assert process.stdout is not None
        url = process.stdout.readline().split()[-1]
        assert f"{url}/docs" in process.stdout.readline()
        curl = process.stdout.readline()
        transport = httpx.HTTPTransport(retries=30)
        with httpx.Client(transport=transport, timeout=30) as http:
            while http.get(f"{url}/readyz").status_code != 200:
                pass
        done = subprocess.run(["bash", "-c", curl], capture_output=True, text=True)
        assert json.loads(done.stdout)["loss"] == "cross_entropy"
        process.send_signal(signal.SIGTERM)
        assert process.wait(timeout=20) in (0, -signal.SIGTERM)


def test_a_draining_service_says_so_while_it_still_answers() -> None:
    environment = os.environ | {"PYTHONPATH": "service", "LOSSD_DRAIN_DELAY_S": "2"}
    command = [sys.executable, "-u", "-m", "lossd", "serve", "--port", "0"]
    with subprocess.Popen(
        command,
        stdout=subprocess.PIPE,
        stderr=subprocess.DEVNULL,
        text=True,
        env=environment,
        cwd=Path(__file__).parents[2],
    ) as process:
        assert process.stdout is not None
        url = process.stdout.readline().split()[-1]
        body = {"inputs": {"prediction": [1.0], "target": [3.0]}}
        with httpx.Client(transport=httpx.HTTPTransport(retries=30), timeout=30) as http:
            while http.get(f"{url}/readyz").status_code != 200:
                pass
            process.send_signal(signal.SIGTERM)
            while http.get(f"{url}/readyz").status_code == 200:
                pass
            assert http.get(f"{url}/readyz").json()["code"] == "not_ready"
            assert http.get(f"{url}/livez").status_code == 200
            assert http.post(f"{url}/v1/losses/mse", json=body).json()["value"] == 4
        assert process.wait(timeout=20) in (0, -signal.SIGTERM)


def test_an_address_that_is_taken_is_3(capsys: pytest.CaptureFixture[str], url: str) -> None:
    code, _, err = lossd(capsys, "serve", "--port", url.rpartition(":")[2])
    assert code == 3 and "cannot bind" in err
