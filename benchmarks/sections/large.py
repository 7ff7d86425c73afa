"""The large call: 64 x 32000, value and gradients, in binary and in JSON, one connection."""

from collections.abc import Callable, Iterator
from contextlib import ExitStack
from typing import Any

from tritonclient.http import InferenceServerClient

from benchmarks._calls import Answer, Call, call_of, check
from benchmarks._dialects import (
    LOSSD_JSON,
    OIP_BINARY,
    OIP_JSON,
    SAFETENSORS,
    flat,
    oip_answer,
    oip_inputs,
    oip_outputs,
)
from benchmarks._load import Slot
from benchmarks._processes import Server
from benchmarks._rounds import Run, Way, compare, http_way, timed
from lossd_client import Client

ROWS, CLASSES = 64, 32_000
Ask = Callable[[], Answer]


def large_binary(run: Run) -> Iterator[dict[str, Any]]:
    """64 x 32000 float32, value and gradients, binary over HTTP, one connection.

    `_sdk` and `_tritonclient` go from arrays to arrays; `_bytes` is the load generator, which has
    the request ready and leaves the answer as it is.
    """
    call = call_of(ROWS, CLASSES)
    times = 2 if run.quick else 5
    bytes_of = {
        "lossd_safetensors_bytes": ("lossd", SAFETENSORS),
        "lossd_oip_bytes": ("lossd", OIP_BINARY),
        "triton_oip_bytes": ("triton", OIP_BINARY),
    }
    ways = [
        client_way("lossd_sdk", "lossd", sdk_asking, call, times),
        client_way("lossd_tritonclient", "lossd", tritonclient, call, times),
        client_way("triton_tritonclient", "triton", tritonclient, call, times),
        *(
            http_way(name, server, dialect, call, connections=1, run=run,
                     slot_s=60, most_requests=times)
            for name, (server, dialect) in bytes_of.items()
        ),
    ]  # fmt: skip
    return compare("large_binary", ways, run)


def large_json(run: Run) -> Iterator[dict[str, Any]]:
    """64 x 32000 in JSON, value and gradients, one connection: about 20 MB each way.

    A slot is one call, about a second long, without another to warm up.
    """
    call = call_of(ROWS, CLASSES)
    how = {
        "lossd": ("lossd", LOSSD_JSON),
        "lossd_oip": ("lossd", OIP_JSON),
        "plain": ("plain", flat("/cross_entropy")),
        "mlserver": ("mlserver", OIP_JSON),
    }
    ways = [
        http_way(
            name, server, dialect, call, connections=1, run=run, slot_s=60, most_requests=1,
            warm_up=False,
        )
        for name, (server, dialect) in how.items()
    ]  # fmt: skip
    return compare("large_json", ways, run)


def client_way(
    name: str, server: str, opened: Callable[[int, Call, ExitStack], Ask], call: Call, times: int
) -> Way:
    """By a client library, opened for each slot and warmed up by one call."""

    def verify(target: Server) -> None:
        with ExitStack() as stack:
            check(name, call, opened(target.port, call, stack)())

    def slot(target: Server) -> Slot:
        with ExitStack() as stack:
            return timed(opened(target.port, call, stack), times)

    return Way(name, server, slot, verify, len(call.labels))


def sdk_asking(port: int, call: Call, stack: ExitStack, **options: Any) -> Ask:
    """lossd's own client, with options of it: arrays in, arrays out."""
    client = stack.enter_context(Client(f"http://127.0.0.1:{port}", **options))

    def ask() -> Answer:
        got = client.compute("cross_entropy", inputs=call.tensors, outputs=call.outputs)
        return Answer(got.value, got.gradients["logits"], got.rows)

    return ask


def tritonclient(port: int, call: Call, stack: ExitStack) -> Ask:
    """tritonclient: arrays in, arrays out."""
    client = stack.enter_context(InferenceServerClient(f"127.0.0.1:{port}"))

    def ask() -> Answer:
        got = client.infer("cross_entropy", oip_inputs(call), outputs=oip_outputs(call))
        return oip_answer(got)

    return ask
