"""64 x 1000 through system shared memory, two calls at a time."""

import inspect
import json
import threading
import time
from collections.abc import Iterator
from contextlib import ExitStack
from dataclasses import dataclass
from typing import Any

import numpy as np
import tritonclient.utils.shared_memory as shm
from tritonclient.http import InferenceServerClient

from benchmarks._calls import Answer, Call, call_of, check
from benchmarks._contenders import SHARED_MEMORY_PREFIX
from benchmarks._dialects import GRADIENTS, MODEL, posting
from benchmarks._load import Request, Slot, call, load
from benchmarks._processes import Server
from benchmarks._rounds import Run, Way, compare
from benchmarks.sections.large import sdk_asking
from lossd_client import Client

ROWS, CLASSES, CONCURRENCY = 64, 1000, 2


def shared_memory(run: Run) -> Iterator[dict[str, Any]]:
    """64 x 1000, value and gradients, through system shared memory, two connections.

    Regions are made and registered by tritonclient. The tensors stay where they are, as with
    perf_analyzer: what is timed is the call. `_sdk` writes and reads them at each call.
    """
    given = call_of(ROWS, CLASSES)
    ways = [_in_regions("lossd", given, run), _in_regions("triton", given, run)]
    if "shared_memory" in inspect.signature(Client.__init__).parameters:
        ways.append(_by_sdk(given, run))
    return compare("shared_memory", ways, run)


@dataclass(frozen=True)
class Regions:
    """One region for the inputs and one for the gradients, registered with a server."""

    request: Request
    handles: tuple[Any, Any]
    call: Call

    def answer(self, body: bytes) -> Answer:
        outputs = {each["name"]: each for each in json.loads(body)["outputs"]}
        value = outputs["value"]["data"][0]
        gradients = shm.get_contents_as_numpy(self.handles[1], np.float32, self.call.logits.shape)
        return Answer(value, gradients.copy())


def registered(server: Server, given: Call, stack: ExitStack) -> Regions:
    """Regions with the inputs in them, gone when the stack closes."""
    client = stack.enter_context(InferenceServerClient(f"127.0.0.1:{server.port}"))
    inputs_bytes = given.logits.nbytes + given.labels.nbytes
    handles = []
    for name, size in (("inputs", inputs_bytes), ("gradients", given.logits.nbytes)):
        key = f"/{SHARED_MEMORY_PREFIX}_{server.name}_{server.port}_{name}"
        handle = shm.create_shared_memory_region(name, key, size, create_only=True)
        stack.callback(shm.destroy_shared_memory_region, handle)
        client.register_system_shared_memory(name, key, size)
        stack.callback(client.unregister_system_shared_memory, name)
        handles.append(handle)
    shm.set_shared_memory_region(handles[0], [given.logits, given.labels])
    inputs = [
        _placed("logits", "FP32", given.logits, "inputs", 0),
        _placed("labels", "INT64", given.labels, "inputs", given.logits.nbytes),
    ]
    out = {"shared_memory_region": "gradients", "shared_memory_byte_size": given.logits.nbytes}
    outputs = [{"name": "value"}, {"name": GRADIENTS, "parameters": out}]
    body = json.dumps({"inputs": inputs, "outputs": outputs}).encode()
    return Regions(posting(MODEL, "application/json", body), tuple(handles), given)


def _placed(name: str, datatype: str, x: Any, region: str, offset: int) -> dict[str, Any]:
    place = {
        "shared_memory_region": region,
        "shared_memory_offset": offset,
        "shared_memory_byte_size": x.nbytes,
    }
    return {"name": name, "datatype": datatype, "shape": list(x.shape), "parameters": place}


def _in_regions(name: str, given: Call, run: Run) -> Way:
    def verify(server: Server) -> None:
        with ExitStack() as stack:
            regions = registered(server, given, stack)
            check(name, given, regions.answer(call(server.port, regions.request).body))

    def slot(server: Server) -> Slot:
        with ExitStack() as stack:
            regions = registered(server, given, stack)
            return load(server.port, regions.request, CONCURRENCY, run.slot_s)

    return Way(name, name, slot, verify, ROWS)


def _by_sdk(given: Call, run: Run) -> Way:
    def verify(server: Server) -> None:
        with ExitStack() as stack:
            check("lossd_sdk", given, sdk_asking(server.port, given, stack, shared_memory=True)())

    def slot(server: Server) -> Slot:
        with ExitStack() as stack:
            asks = [sdk_asking(server.port, given, stack, shared_memory=True)
                    for _ in range(CONCURRENCY)]  # fmt: skip
            return _in_threads(asks, run.slot_s)

    return Way("lossd_sdk", "lossd", slot, verify, ROWS)


def _in_threads(asks: list[Any], duration_s: float) -> Slot:
    """Each thread calls again and again; one call each before the clock starts."""
    latencies_us: list[float] = []
    for ask in asks:
        ask()
    end_s = time.perf_counter() + duration_s

    def repeat(ask: Any) -> None:
        while (before_s := time.perf_counter()) < end_s:
            ask()
            latencies_us.append(1e6 * (time.perf_counter() - before_s))

    threads = [threading.Thread(target=repeat, args=(ask,)) for ask in asks]
    cpu_s, started_s = time.process_time(), time.perf_counter()
    for each in threads:
        each.start()
    for each in threads:
        each.join()
    elapsed_s = time.perf_counter() - started_s
    return Slot(len(latencies_us), elapsed_s, latencies_us, time.process_time() - cpu_s)
