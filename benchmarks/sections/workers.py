"""Two workers of lossd against one, on calls that are mostly arithmetic."""

from collections.abc import Callable, Iterator
from contextlib import ExitStack
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from safetensors.numpy import load as load_safetensors
from torch.nn.functional import binary_cross_entropy_with_logits

from benchmarks._calls import WrongAnswer
from benchmarks._contenders import start
from benchmarks._dialects import posting
from benchmarks._load import Slot, call, load
from benchmarks._processes import Server
from benchmarks._rounds import Run, Way, compare
from lossd_client._wire import encode, pack_all

ROWS, CLASSES, CONNECTIONS = 256, 1000, 16
ALPHA, GAMMA = 0.25, 2.0
# The sum: a mean's gradients would be too small for float16.
ASKED = {"outputs": ["value", "gradients"], "gradient_form": "row_norms", "reduction": "sum"}


def workers(run: Run) -> Iterator[dict[str, Any]]:
    """`sigmoid_focal`, 256 x 1000 float16, sum and norms of gradients, 16 connections.

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
    logits = random.standard_normal((ROWS, CLASSES)).astype(np.float16)
    targets = random.integers(0, 2, (ROWS, CLASSES)).astype(np.uint8)
    body = b"".join(encode(pack_all({"logits": logits, "targets": targets}), ASKED))
    request = posting("/v1/losses/sigmoid_focal", "application/vnd.safetensors", body)

    def verify(server: Server) -> None:
        got = call(server.port, request).body
        _check(name, got, logits, targets)

    def slot(server: Server) -> Slot:
        return load(server.port, request, CONNECTIONS, 2 * run.slot_s)

    return Way(name, name, slot, verify, ROWS)


def _check(name: str, body: bytes, logits: NDArray[Any], targets: NDArray[Any]) -> None:
    """Compare with the formula of the paper in torch, in float64."""
    x = torch.from_numpy(logits).double().requires_grad_()
    y = torch.from_numpy(targets).double()
    missed = torch.where(y == 1, 1 - torch.sigmoid(x), torch.sigmoid(x))
    share = torch.where(y == 1, ALPHA, 1 - ALPHA)
    value = (share * missed**GAMMA * binary_cross_entropy_with_logits(x, y, reduction="none")).sum()
    (gradients,) = torch.autograd.grad(value, x)
    got = load_safetensors(body)
    try:
        np.testing.assert_allclose(got["value"], value.item(), rtol=1e-5)
        np.testing.assert_allclose(
            got["gradient_row_norms.logits"], gradients.norm(dim=1).numpy(), rtol=1e-3
        )
    except AssertionError as err:
        raise WrongAnswer(f"{name}: {err}") from err
