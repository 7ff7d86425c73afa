"""A sweep of 20 parameters in one batch, against 20 calls, over HTTP on loopback.

Answers are compared first, bit for bit; then the two alternate, and the median of each is reported.
`way`: how the loss is computed (by its kernel, or in float64 by its plain function, whose softmax
the batch computes once). One JSON line per format, way, shape and what is asked for.
"""

import json
import statistics
import time
from collections.abc import Callable
from typing import Any

import httpx
import numpy as np

from benchmarks.bench_streams import service
from lossd_client import Call, Client

POINTS = [{"gamma": 0.2 * i} for i in range(20)]
SHAPES = ((2, 2), (64, 10), (256, 1000))
OUTPUTS = (["value"], ["value", "gradients"])
WAYS = {"kernel": "float32", "plain": "float64"}
ROUNDS = 9


def given(rows: int, classes: int, dtype: str) -> dict[str, Any]:
    draw = np.random.default_rng(0)
    logits = draw.standard_normal((rows, classes)).astype(dtype)
    return {"logits": logits, "labels": draw.integers(classes, size=rows)}


def by_sdk(
    client: Client, inputs: dict[str, Any], outputs: list[str]
) -> tuple[Callable[[], Any], Callable[[], Any]]:
    def sweep() -> Any:
        return [each.sum for each in client.sweep(Call("focal", inputs, outputs=outputs), POINTS)]

    def calls() -> Any:
        return [client.compute("focal", inputs=inputs, params=each, outputs=outputs).sum
                for each in POINTS]  # fmt: skip

    return sweep, calls


def by_json(
    http: httpx.Client, inputs: dict[str, Any], outputs: list[str], dtype: str
) -> tuple[Callable[[], Any], Callable[[], Any]]:
    tensors = {name: x.tolist() for name, x in inputs.items()}
    said = {"outputs": outputs, "dtype": dtype}
    call = {"name": "s", "loss": "focal", "inputs": {name: name for name in inputs}, **said}

    def sweep() -> Any:
        body = {"tensors": tensors, "calls": [call | {"sweep": POINTS}]}
        answers = http.post("/v1/losses:batch", json=body).json()["answers"]
        return [answers[f"s[{i}]"]["sum"] for i in range(len(POINTS))]

    def calls() -> Any:
        return [http.post("/v1/losses/focal", json={"inputs": tensors, "params": each, **said})
                .json()["sum"] for each in POINTS]  # fmt: skip

    return sweep, calls


def alternate(sweep: Callable[[], Any], calls: Callable[[], Any]) -> tuple[float, float]:
    """The median of each, in seconds."""
    assert sweep() == calls()
    took_s: tuple[list[float], list[float]] = ([], [])
    for _ in range(ROUNDS):
        for work, noted_s in zip((sweep, calls), took_s, strict=True):
            started_s = time.perf_counter()
            work()
            noted_s.append(time.perf_counter() - started_s)
    return statistics.median(took_s[0]), statistics.median(took_s[1])


def main() -> None:
    with service() as (url, _), Client(url) as client, httpx.Client(base_url=url) as http:
        while not client.is_ready():
            time.sleep(0.05)
        for way, dtype in WAYS.items():
            for shape in SHAPES:
                inputs = given(*shape, dtype)
                for outputs in OUTPUTS:
                    pairs = {"safetensors": by_sdk(client, inputs, outputs),
                             "json": by_json(http, inputs, outputs, dtype)}  # fmt: skip
                    for form, pair in pairs.items():
                        sweep_s, calls_s = alternate(*pair)
                        line = {"format": form, "way": way, "shape": shape, "outputs": outputs,
                                "sweep_ms": 1e3 * sweep_s, "calls_ms": 1e3 * calls_s,
                                "calls_to_sweep": calls_s / sweep_s}  # fmt: skip
                        print(json.dumps(line), flush=True)


if __name__ == "__main__":
    main()
