"""Several calls of the same tensors: a batch to its calls, each of which stands alone."""

import re
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, replace
from typing import Any

from torch import Tensor

from lossd.errors import BadOption, BadParams, LossdError, MissingInput, TooLarge
from lossd.losses import LossParams, Shared, find
from lossd.schema.call import Call
from lossd.schema.check import parse_call
from lossd.schema.options import parse_params
from lossd.schema.plan import BESIDE
from lossd.wire import Message

_NAME = re.compile(r"[A-Za-z0-9_-]{1,64}")
_OWN = frozenset({"name", "loss", "inputs", "params", "sweep", *BESIDE})


@dataclass(frozen=True, slots=True)
class Entry:
    """One call of a batch, or why it is none. It is answered by `name`; `at` is its place."""

    name: str
    at: str
    outcome: Call | LossdError


def within(at: str, err: LossdError) -> LossdError:
    """The error, with its place in the batch in front of its place in the call."""
    err.at = f"{at}.{err.at}" if err.at else at
    return err


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
    names = [_name_of(call, i) for i, call in enumerate(calls)]
    for i, name in enumerate(names):
        if name in names[:i]:
            raise BadOption(
                "two calls of one name", at=f"calls[{i}].name", expected="another", got=name
            )
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


def _name_of(call: Any, i: int) -> str:
    name = call.get("name") if isinstance(call, dict) else None
    if name is None:
        return str(i)
    if isinstance(name, str) and _NAME.fullmatch(name):
        return name
    raise BadOption(
        "not a name",
        at=f"calls[{i}].name",
        expected="1 to 64 of A to Z, a to z, 0 to 9, _ and -",
        got=repr(name)[:100],
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
        loss = find(_loss_of(call)).name
        sources = dict(self._sources(call))
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

    def _sources(self, call: dict[str, Any]) -> Iterator[tuple[str, str]]:
        """The name of the tensor that each input is, by the input's key."""
        inputs = call.get("inputs", {})
        if not isinstance(inputs, dict):
            raise BadOption(
                "inputs are not an object",
                at="inputs",
                expected="the name of a tensor for each input",
                got=repr(inputs)[:100],
            )
        for key, name in inputs.items():
            yield from self._named(key, name, f"inputs.{key}"[:200])
        for key in BESIDE:
            if key in call:
                yield from self._named(key, call[key], key)

    def _named(self, key: str, name: Any, at: str) -> Iterator[tuple[str, str]]:
        """One tensor, or the members of a group: one of the file's, or one that is put together."""
        if isinstance(name, dict):
            for member, each in name.items():
                yield f"{key}/{member}", self._known(each, f"{at}.{member}"[:200])
            return
        group = f"{name}/" if isinstance(name, str) else ""
        members = [each for each in self._message.tensors if group and each.startswith(group)]
        if members and name not in self._message.tensors:
            yield from ((f"{key}/{each[len(group) :]}", each) for each in members)
            return
        yield key, self._known(name, at)

    def _known(self, name: Any, at: str) -> str:
        if isinstance(name, str) and name in self._message.tensors:
            return name
        raise MissingInput(
            "no tensor of that name is in the batch",
            at=at,
            expected=f"one of {', '.join(self._message.tensors)}"[:200],
            got=repr(name)[:100],
        )


def _loss_of(call: Mapping[str, Any]) -> str:
    loss = call.get("loss")
    if isinstance(loss, str):
        return loss
    raise BadOption("no loss is named", at="loss", expected="a name", got=repr(loss)[:100])


def _points(sweep: Any) -> list[dict[str, Any]]:
    if isinstance(sweep, list) and sweep and all(isinstance(each, dict) for each in sweep):
        return sweep
    raise BadOption(
        "not a sweep", at="sweep", expected="a list of objects of parameters", got=repr(sweep)[:100]
    )


def _sizes_of(call: Mapping[str, Any], params: LossParams) -> tuple[int, ...]:
    """The parameters that are sizes of inputs: where they differ, shapes must too."""
    return tuple(getattr(params, name) for name in find(_loss_of(call)).dims_of_params)


def _params_at(call: dict[str, Any], point: dict[str, Any], j: int) -> LossParams:
    """The parameters of one point. Errors of what the point says are at the point."""
    spec, base = find(_loss_of(call)), call.get("params", {})
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
