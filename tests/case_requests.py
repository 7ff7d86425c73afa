"""Requests made from the reference cases, for tests that go through the whole path."""

import math
from typing import Any

import torch
from catalog_cases import Case, load
from torch import Tensor

from lossd.engine import compute
from lossd.engine.together import company_of, compute_together
from lossd.losses import CATALOG
from lossd.schema import Call, Result, parse_call
from lossd.schema.describe import example_call
from lossd.wire import Message

CASES = load()
CPU = torch.device("cpu")


def message_of(case: Case, dtype: torch.dtype = torch.float64, **fields: Any) -> Message:
    """The case as a request. Groups are `name/member` tensors."""
    tensors: dict[str, Tensor] = {}
    for key, x in case.tensors(dtype).items():
        given = case.inputs[key]
        if isinstance(given, dict):
            tensors |= {f"{key}/{name}": each for name, each in zip(given, x, strict=True)}
        else:
            tensors[key] = x[0] if isinstance(x, tuple) else x
    params = case.params.model_dump(mode="json")
    return Message(tensors, {"params": params, "outputs": ["value", "rows", "gradients"], **fields})


def run(case: Case, message: Message) -> Result:
    return compute(parse_call(case.spec.name, message), CPU)


def served(call: Call) -> Result:
    """What the service answers: small calls are padded, which may cost the last bit."""
    if company_of(call, CPU) is None:
        return compute(call, CPU)
    (outcome,) = compute_together([call])
    assert isinstance(outcome, Result), outcome
    return outcome


def call_of(case: Case, **fields: Any) -> Call:
    return parse_call(case.spec.name, message_of(case, **fields))


def finite(case: Case) -> bool:
    """Whether every value and gradient of a case is a number."""
    return all(math.isfinite(x) for x in _flat([case.values, *case.gradients.values()]))


def _flat(x: Any) -> list[float]:
    if isinstance(x, dict):
        return _flat(list(x.values()))
    if isinstance(x, list):
        return [each for part in x for each in _flat(part)]
    return [float(x)]


def rows_of(case: Case, message: Message, rows: Any) -> Message:
    """The same request with other rows, everything shared left alone."""
    tensors = {
        key: x[rows] if case.spec.inputs[key].scope == "row" else x
        for key, x in message.tensors.items()
    }
    return Message(tensors, message.fields)


def example(name: str) -> Call:
    """The call of a loss's own example."""
    return example_call(CATALOG[name])
