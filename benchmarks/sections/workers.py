"""Two workers of lossd against one, on calls that are mostly arithmetic."""

from collections.abc import Callable, Iterator
from contextlib import ExitStack
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from safetensors.numpy import load as load_safetensors
from torch.nn.functional import cross_entropy, normalize

from benchmarks._calls import WrongAnswer
from benchmarks._contenders import start
from benchmarks._dialects import posting
from benchmarks._load import Slot, call, load
from benchmarks._processes import Server
from benchmarks._rounds import Run, Way, compare
from lossd_client._wire import encode, pack_all

ROWS, FEATURES, CONNECTIONS = 512, 64, 16
TEMPERATURE = 0.5
ASKED = {
    "outputs": ["value", "gradients"],
    "gradient_form": "row_norms",
    "params": {"temperature": TEMPERATURE},
}


def workers(run: Run) -> Iterator[dict[str, Any]]:
    """`info_nce`, 512 x 64 float32, value and norms of gradients, 16 connections.

    One thread per call. Nothing is pinned: two workers and the load generator share the cores, so
    the ratio cannot reach 2 where there are only two of them.
    """
    ways = [_way("one_worker", run), _way("two_workers", run)]
    starts = {"one_worker": _started(1, run), "two_workers": _started(2, run)}
    return compare("workers", ways, run, pinned=False, starts=starts)


def _started(count: int, run: Run) -> Callable[[ExitStack], Server]:
    return lambda stack: start(
        "lossd", stack, run.venvs, cpus=None, environment={"LOSSD_THREADS": "1"},
        options=("--workers", str(count)),
    )  # fmt: skip


def _way(name: str, run: Run) -> Way:
    random = np.random.default_rng(0)
    queries, keys = random.standard_normal((2, ROWS, FEATURES)).astype(np.float32)
    body = b"".join(encode(pack_all({"queries": queries, "keys": keys}), ASKED))
    request = posting("/v1/losses/info_nce", "application/vnd.safetensors", body)

    def verify(server: Server) -> None:
        got = call(server.port, request).body
        _check(name, got, queries, keys)

    def slot(server: Server) -> Slot:
        return load(server.port, request, CONNECTIONS, 2 * run.slot_s)

    return Way(name, name, slot, verify, ROWS)


def _check(name: str, body: bytes, queries: NDArray[Any], keys: NDArray[Any]) -> None:
    """Compare with cross-entropy over cosines in torch, in float64."""
    q = torch.from_numpy(queries).double().requires_grad_()
    k = torch.from_numpy(keys).double()
    value = cross_entropy(normalize(q) @ normalize(k).T / TEMPERATURE, torch.arange(len(q)))
    (gradients,) = torch.autograd.grad(value, q)
    got = load_safetensors(body)
    try:
        np.testing.assert_allclose(got["value"], value.item(), rtol=1e-5)
        np.testing.assert_allclose(
            got["gradient_row_norms.queries"], gradients.norm(dim=1).numpy(), rtol=1e-3
        )
    except (AssertionError, KeyError) as err:
        raise WrongAnswer(f"{name}: {err}") from err
