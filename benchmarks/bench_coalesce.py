"""What small calls of a loss without a kernel would gain if they were computed together.

The service does not do this: these numbers say what it could gain at most, HTTP left out. For each
loss whose rows stand alone: `CALLS` calls of different numbers of rows through the engine, one by
one; and a prototype that pads each to a multiple of `PAD_ROWS` rows with its own last row, runs
them as one, and reduces each by itself in float64. Times are the best of all rounds, per call.
`differing_widths` are those at which a call gets other bits in company than alone, padded alike;
the number of classes is that of the example. One JSON line per loss; units are in the names.
"""

import json
import platform
import time
from collections.abc import Callable, Sequence
from functools import partial
from typing import Any

import torch
from torch import Tensor

from lossd.engine import compute
from lossd.engine.compute import pick_kernel
from lossd.engine.plain import denominator_of
from lossd.engine.reduce import reduce_sums
from lossd.losses import CATALOG
from lossd.schema import Call, check_values, parse_call
from lossd.schema.describe import example_call
from lossd.wire import Message

CALLS, PAD_ROWS, ALTERNATIONS = 16, 32, 20
WIDTHS = (1, 2, 3, 7, 10, 31, 33, 100, 129, 1000)
CPU = torch.device("cpu")
Answer = tuple[float | None, tuple[Tensor, ...]]


def calls_of(name: str, width: int) -> list[Call]:
    """The loss's example, its rows made wider and noisy: some whole, some of odd lengths."""
    spec, example = CATALOG[name], example_call(CATALOG[name])
    draw = torch.Generator().manual_seed(width)
    made = []
    for i in range(CALLS):
        rows, tensors = (32, 5, 64, 33)[i % 4], {}
        for key, x in example.inputs.items():
            pick = torch.randint(len(x), (rows,), generator=draw)
            x = x[pick]
            if "classes" not in spec.inputs[key].dims and x.ndim == 2:
                x = x[:, torch.randint(x.shape[1], (width,), generator=draw)]
            is_free = spec.inputs[key].arg.gradient and spec.inputs[key].arg.high is None
            tensors[key] = x + torch.rand(x.shape, generator=draw) if is_free else x
        params = example.params.model_dump(mode="json")
        made.append(parse_call(name, Message(tensors, {"params": params})))
    return made


def padded(x: Tensor) -> Tensor:
    more = -len(x) % PAD_ROWS
    return torch.cat([x, x[-1:].expand(more, *x.shape[1:])]) if more else x


def together(calls: Sequence[Call]) -> list[Answer]:
    """The answers of calls that differ in nothing but their rows."""
    first, places, at = calls[0], [], 0
    for call in calls:
        check_values(call)
        places.append(slice(at, at + call.item_shape[0]))
        at += -(-call.item_shape[0] // PAD_ROWS) * PAD_ROWS
    joined = {key: torch.cat([padded(c.inputs[key]) for c in calls]) for key in first.inputs}
    leaves = {key: x.detach().requires_grad_(key in first.wrt) for key, x in joined.items()}
    values = first.spec.fn(**first.arguments(leaves), params=first.params)
    outer, found = torch.zeros_like(values), []
    for call, place in zip(calls, places, strict=True):
        mine = values.detach()[place]
        total = mine.sum(dtype=torch.float64).item()
        denominator = denominator_of(call, call.inputs, mine.numel(), None)
        value, scale, _ = reduce_sums(call.reduction, total, denominator)
        outer[place] = scale or 0.0
        found.append(value)
    of_all = torch.autograd.grad(values, [leaves[key] for key in first.wrt], outer)
    return [(v, tuple(x[p] for x in of_all)) for v, p in zip(found, places, strict=True)]


def differs(calls: Sequence[Call]) -> bool:
    alone = [together([call])[0] for call in calls]
    for (value, own), (other, shared) in zip(alone, together(calls), strict=True):
        if value != other or not all(map(torch.equal, own, shared)):
            return True
    return False


def took_us(step: Callable[[], Any]) -> float:
    started_s = time.perf_counter()
    step()
    return 1e6 * (time.perf_counter() - started_s)


def measure(name: str) -> dict[str, Any]:
    calls = calls_of(name, 10)
    alone_us: list[list[float]] = []
    together_us: list[float] = []
    for _ in range(ALTERNATIONS):
        alone_us.append([took_us(partial(compute, call, CPU)) for call in calls])
        together_us.append(took_us(partial(together, calls)) / CALLS)
    best = sum(map(min, zip(*alone_us, strict=True))) / CALLS, min(together_us)
    return {
        "bench": "coalesce",
        "loss": name,
        "calls": CALLS,
        "alone_best_us": round(best[0], 1),
        "together_best_us": round(best[1], 1),
        "ratio": round(best[0] / best[1], 2),
        "differing_widths": [width for width in WIDTHS if differs(calls_of(name, width))],
        "torch": torch.__version__,
        "machine": platform.machine(),
    }


def may_share(name: str) -> bool:
    spec, call = CATALOG[name], example_call(CATALOG[name])
    has_rows = all(spec.inputs[key.partition("/")[0]].scope == "row" for key in call.inputs)
    return spec.coupling == "independent" and has_rows and pick_kernel(call, CPU) is None


def main() -> None:
    torch.set_num_threads(1)
    for name in filter(may_share, CATALOG):
        print(json.dumps(measure(name)), flush=True)


if __name__ == "__main__":
    main()
