"""Several calls of the same tensors: a batch to its calls, each of which stands alone."""

from collections.abc import Iterator, Mapping
from dataclasses import dataclass, replace
from typing import Any

from torch import Tensor

from lossd.errors import BadOption, BadParams, LossdError, TooLarge
from lossd.losses import LossParams, Shared, find
from lossd.schema.call import Call
from lossd.schema.check import parse_call
from lossd.schema.named import loss_of, names_of, sources_of, within
from lossd.schema.options import parse_params
from lossd.schema.plan import BESIDE
from lossd.wire import Message

_OWN = frozenset({"name", "loss", "inputs", "params", "sweep", *BESIDE})


@dataclass(frozen=True, slots=True)
class Entry:
    """One call of a batch, or why it is none. It is answered by `name`; `at` is its place."""

    name: str
    at: str
    outcome: Call | LossdError


def parse_batch(message: Message, *, most_calls: int) -> list[Entry]:
    """The calls of a batch, points of sweeps each as one.

    Raises `BadOption` where it is no list of named calls, and `TooLarge`; whatever else is wrong
    with a call is its entry's.
    """
    for key in message.fields:
        if key != "calls":
            raise BadOption(
                f"unknown field {key[:100]!r}", at=key[:100], expected="tensors and calls"
            )
    calls = message.fields.get("calls")
    if not isinstance(calls, list) or not calls:
        raise BadOption("no calls", at="calls", expected="a list of calls", got=repr(calls)[:100])
    _check_count(calls, most_calls)
    names = names_of(calls, "calls")
    parser = _Parser(message)
    return [
        entry
        for i, (name, call) in enumerate(zip(names, calls, strict=True))
        for entry in parser.entries(name, f"calls[{i}]", call)
    ]


def _check_count(calls: list[Any], most: int) -> None:
    points = (call.get("sweep") if isinstance(call, dict) else None for call in calls)
    count = sum(len(each) if isinstance(each, list) else 1 for each in points)
    if count > most:
        raise TooLarge(
            "too many calls in one batch",
            at="calls",
            expected=f"at most {most}, points of sweeps included (LOSSD_MAX_BATCH_CALLS)",
            got=str(count),
        )


class _Parser:
    """Reads the calls of one message; those that take a tensor alike get the same one."""

    def __init__(self, message: Message) -> None:
        self._message = message
        self._shared = Shared()
        self._read: dict[Any, Tensor] = {}

    def entries(self, name: str, at: str, call: Any) -> Iterator[Entry]:
        """A call's entry, or those of its sweep."""
        try:
            if not isinstance(call, dict):
                raise BadOption("not a call", expected="an object", got=repr(call)[:100])
            if "sweep" not in call:
                yield Entry(name, at, self._call(call))
                return
            points = _points(call["sweep"])
        except LossdError as err:
            yield Entry(name, at, within(at, err))
            return
        yield from self._sweep(name, at, call, points)

    def _sweep(
        self, name: str, at: str, call: dict[str, Any], points: list[dict[str, Any]]
    ) -> Iterator[Entry]:
        known: dict[tuple[int, ...], Call | LossdError] = {}
        for j, point in enumerate(points):
            outcome: Call | LossdError
            try:
                params = _params_at(call, point, j)
            except LossdError as err:
                outcome = within(at, err)
            else:
                sizes = _sizes_of(call, params)
                if sizes not in known:
                    known[sizes] = self._first(at, call, params)
                outcome = known[sizes]
            if isinstance(outcome, Call):  # whose plan has the parameters of another point
                outcome = replace(outcome, params=params, plan=None)
            yield Entry(f"{name}[{j}]", at, outcome)

    def _first(self, at: str, call: dict[str, Any], params: LossParams) -> Call | LossdError:
        try:
            return self._call(call | {"params": params.model_dump(mode="json")})
        except LossdError as err:
            return within(at, err)

    def _call(self, call: dict[str, Any]) -> Call:
        loss = find(loss_of(call)).name
        sources = sources_of(self._message, call)
        tensors = {key: self._message.tensors[name] for key, name in sources.items()}
        untyped = {key for key, name in sources.items() if name in self._message.untyped}
        fields = {key: x for key, x in call.items() if key not in _OWN}
        fields["params"] = call.get("params", {})
        parsed = parse_call(loss, Message(tensors, fields, frozenset(untyped)))
        inputs = {
            key: self._read.setdefault((sources[key], x.dtype, x.shape, x.stride()), x)
            for key, x in parsed.inputs.items()
        }
        return replace(parsed, inputs=inputs, shared=self._shared)


def _points(sweep: Any) -> list[dict[str, Any]]:
    if isinstance(sweep, list) and sweep and all(isinstance(each, dict) for each in sweep):
        return sweep
    raise BadOption(
        "not a sweep", at="sweep", expected="a list of objects of parameters", got=repr(sweep)[:100]
    )


def _sizes_of(call: Mapping[str, Any], params: LossParams) -> tuple[int, ...]:
    """The parameters that are sizes of inputs: where they differ, shapes must too."""
    return tuple(getattr(params, name) for name in find(loss_of(call)).dims_of_params)


def _params_at(call: dict[str, Any], point: dict[str, Any], j: int) -> LossParams:
    """The parameters of one point. Errors of what the point says are at the point."""
    spec, base = find(loss_of(call)), call.get("params", {})
    if not isinstance(base, dict):
        return parse_params(spec, base)
    try:
        return parse_params(spec, base | point)
    except BadParams as err:
        head = err.at.removeprefix("params.").partition(".")[0].partition("[")[0]
        if head in point:
            err.at = f"sweep[{j}].{err.at.removeprefix('params.')}"
        raise


def elements_of(entries: list[Entry]) -> int:
    """What the calls of a batch take and pair, added up."""
    calls = [entry.outcome for entry in entries if isinstance(entry.outcome, Call)]
    given = sum(x.numel() for call in calls for x in call.inputs.values())
    return given + sum(call.paired_elements for call in calls if call.spec.matrices)
