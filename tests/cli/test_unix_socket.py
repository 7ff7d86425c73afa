"""`lossd serve --uds`: who may connect, what is replaced, what is left behind."""

import asyncio
import json
import os
import signal
import socket
import stat
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import numpy as np
import pytest

from lossd.cli import main
from lossd_client import AsyncClient, Client, Retry

ROOT = Path(__file__).parents[2]


@contextmanager
def serving(path: Path) -> Iterator[subprocess.Popen[str]]:
    """A service on this Unix socket and on a free port, ready."""
    environment = os.environ | {"PYTHONPATH": str(ROOT / "service"), "LOSSD_UDS": str(path)}
    environment |= {"LOSSD_LOG_LEVEL": "error", "LOSSD_MAX_BODY_BYTES": "33554432"}
    command = [sys.executable, "-u", "-m", "lossd", "serve", "--port", "0"]
    with subprocess.Popen(
        command, stdout=subprocess.PIPE, text=True, env=environment, cwd=ROOT
    ) as process:
        try:
            assert process.stdout is not None
            lines = [process.stdout.readline() for _ in range(4)]
            assert lines[3].strip() == f"also on the Unix socket {path}"
            with Client(uds=str(path), retry=Retry(times=20)) as client:
                assert client.is_ready()
            with Client(lines[0].split()[-1], retry=Retry(times=20)) as client:
                assert client.is_ready()
            yield process
        finally:
            process.kill()


def dead_socket(path: Path) -> None:
    """What a server that was killed leaves behind."""
    with socket.socket(socket.AF_UNIX) as sock:
        sock.bind(str(path))


def test_it_takes_the_place_of_a_dead_server_and_leaves_nothing(tmp_path: Path) -> None:
    path = tmp_path / "lossd.sock"
    dead_socket(path)
    with serving(path) as process:
        assert stat.S_IMODE(path.stat().st_mode) == 0o600
        process.send_signal(signal.SIGTERM)
        assert process.wait(timeout=20) in (0, -signal.SIGTERM)
        assert not path.exists()


def test_a_live_server_is_not_displaced(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    path = tmp_path / "lossd.sock"
    with socket.socket(socket.AF_UNIX) as live:
        live.bind(str(path))
        live.listen()
        assert main(["serve", "--port", "0", "--uds", str(path)]) == 3
    err = capsys.readouterr().err
    assert "cannot bind" in err and str(path) in err and "a server listens there" in err
    assert path.exists()


@pytest.mark.parametrize("name", ["a file", "a folder", "nowhere/x", "x" * 200])
def test_what_is_no_socket_is_left_alone(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], name: str
) -> None:
    (tmp_path / "a file").write_text("precious")
    (tmp_path / "a folder").mkdir()
    assert main(["serve", "--port", "0", "--uds", str(tmp_path / name)]) == 3
    assert "cannot bind" in capsys.readouterr().err
    assert (tmp_path / "a file").read_text() == "precious" and (tmp_path / "a folder").is_dir()


def test_an_empty_path_is_a_mistake(
    capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("LOSSD_UDS", "")
    assert main(["serve"]) == 2 and "LOSSD_UDS" in capsys.readouterr().err


def test_the_path_is_a_setting_that_is_shown(
    capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    monkeypatch.setenv("LOSSD_UDS", str(tmp_path / "x"))
    assert main(["settings", "--format", "json"]) == 0
    rows = {row["name"]: row for row in json.loads(capsys.readouterr().out)["settings"]}
    assert rows["LOSSD_UDS"]["value"] == str(tmp_path / "x")
    assert rows["LOSSD_UDS"]["default"] is None


def test_large_tensors_go_and_come_over_it(tmp_path: Path) -> None:
    path = tmp_path / "lossd.sock"
    rng = np.random.default_rng(0)
    x, y = (rng.standard_normal((1024, 1024), np.float32) for _ in range(2))
    with serving(path), Client(uds=str(path)) as client:
        got = client.compute("mse", prediction=x, target=y, reduction="sum", outputs=["gradients"])
        assert np.array_equal(got.gradients["prediction"], 2 * (x - y))

        async def asynchronously() -> None:
            async with AsyncClient(uds=str(path)) as other:
                assert (await other.compute("mse", prediction=x, target=y)).count == x.size

        asyncio.run(asynchronously())
