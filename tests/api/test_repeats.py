"""The same inference request again and again, with other numbers in shared memory."""

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import httpx
import numpy as np
import pytest

from conftest import running
from lossd.api.oip.repeats import Repeats
from lossd.settings import Settings

PREFIX = "lossd_test_repeats"
ROWS, CLASSES = 6, 40
LOGITS_BYTES, LABELS_BYTES = ROWS * CLASSES * 4, ROWS * 8


@pytest.fixture(scope="module")
def http() -> Iterator[httpx.Client]:
    settings = Settings(shared_memory=True, shared_memory_prefix=PREFIX, threads=1)
    with running(settings) as url, httpx.Client(base_url=url, timeout=30) as client:
        yield client


@contextmanager
def region(http: httpx.Client) -> Iterator[Path]:
    path = Path(f"/dev/shm/{PREFIX}_block")
    size = 2 * LOGITS_BYTES + LABELS_BYTES
    path.write_bytes(bytes(size))
    key = {"key": f"/{path.name}", "byte_size": size}
    assert http.post("/v2/systemsharedmemory/region/r/register", json=key).is_success
    try:
        yield path
    finally:
        http.post("/v2/systemsharedmemory/unregister")
        path.unlink(missing_ok=True)


def put(path: Path, logits: np.ndarray, labels: np.ndarray) -> None:
    with path.open("r+b") as file:
        file.write(logits.astype(np.float32).tobytes() + labels.astype(np.int64).tobytes())


def gradients_in(path: Path) -> np.ndarray:
    return np.frombuffer(path.read_bytes()[-LOGITS_BYTES:], np.float32).reshape(ROWS, CLASSES)


def place(name: str, datatype: str, shape: list[int], offset: int, size: int) -> dict[str, Any]:
    parameters = {
        "shared_memory_region": "r",
        "shared_memory_offset": offset,
        "shared_memory_byte_size": size,
    }
    return {"name": name, "datatype": datatype, "shape": shape, "parameters": parameters}


def body(**parameters: Any) -> dict[str, Any]:
    gradient = place("gradients.logits", "FP32", [], LOGITS_BYTES + LABELS_BYTES, LOGITS_BYTES)
    return {
        "id": "again",
        "parameters": parameters,
        "inputs": [
            place("logits", "FP32", [ROWS, CLASSES], 0, LOGITS_BYTES),
            place("labels", "INT64", [ROWS], LOGITS_BYTES, LABELS_BYTES),
        ],
        "outputs": [
            {"name": "value"},
            {"name": "count"},
            {"name": "gradients.logits", "parameters": gradient["parameters"]},
        ],
    }


def ask(http: httpx.Client, **parameters: Any) -> httpx.Response:
    return http.post("/v2/models/cross_entropy/infer", json=body(**parameters))


@pytest.fixture
def went_straight(monkeypatch: pytest.MonkeyPatch) -> Iterator[list[bool]]:
    """Whether each request took the short way."""
    found: list[bool] = []
    usual = Repeats.answer

    def watched(self: Repeats, *args: Any) -> Any:
        answer = usual(self, *args)
        found.append(answer is not None)
        return answer

    monkeypatch.setattr(Repeats, "answer", watched)
    return found


@pytest.mark.parametrize("parameters", [{}, {"label_smoothing": 0.1, "reduction": "sum"}], ids=str)
def test_a_repeated_request_has_the_bits_of_a_first_one(
    http: httpx.Client, went_straight: list[bool], parameters: dict[str, Any]
) -> None:
    random = np.random.default_rng(1)
    with region(http) as path:
        for _ in range(3):
            put(path, random.normal(size=(ROWS, CLASSES)), random.integers(0, CLASSES, ROWS))
            again = ask(http, **parameters)
            gradients = gradients_in(path)
            # An unknown protocol parameter makes it another request of the same meaning.
            first = ask(http, **parameters, priority=int(random.integers(1 << 30)))
            assert again.json() == first.json()
            assert np.array_equal(gradients, gradients_in(path)) and gradients.any()
            assert "compute" in again.headers["server-timing"]
    assert went_straight.count(True) == 2


def test_what_must_be_refused_is_refused_however_often_it_went_well(
    http: httpx.Client, went_straight: list[bool]
) -> None:
    logits, labels = np.zeros((ROWS, CLASSES)), np.zeros(ROWS)
    with region(http) as path:
        for _ in range(2):
            put(path, logits, labels)
            assert ask(http).is_success
        put(path, np.full_like(logits, np.nan), labels)
        assert ask(http).json()["code"] == "not_finite"
        put(path, logits, labels + CLASSES)
        assert ask(http).json()["code"] == "out_of_range"
        path.write_bytes(b"")
        assert ask(http).json()["code"] == "out_of_range"
    got = ask(http)
    assert got.status_code == 404 and got.json()["code"] == "unknown_region"
    assert any(went_straight) and not any(went_straight[-2:])


def test_repeated_requests_are_counted(http: httpx.Client) -> None:
    def successes() -> int:
        stats = http.get("/v2/models/cross_entropy/stats").json()["model_stats"][0]
        count: int = stats["inference_stats"]["success"]["count"]
        return count

    before = successes()
    with region(http) as path:
        put(path, np.zeros((ROWS, CLASSES)), np.zeros(ROWS))
        assert all(ask(http).is_success for _ in range(4))
    assert successes() == before + 4
