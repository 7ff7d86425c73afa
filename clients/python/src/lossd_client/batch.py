"""Several calls of the same tensors, in one request."""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import Any

from lossd_client._arrays import ArrayLike
from lossd_client._calls import Answer, Request, given, seconds_of
from lossd_client._wire import MEDIA_TYPE, decode, encode, pack_all
from lossd_client.errors import LossdError, from_problem
from lossd_client.result import Result, Sent, result_of


@dataclass(frozen=True, slots=True)
class Call:
    """One call of a batch: what `Client.compute` takes, as one value.

    - `inputs`: each an array, or the name of one of the batch's `tensors`; a group is a dict. An
      array that several calls hold is sent once.
    - `name`: what it is answered by; its place in the batch, from "0", if not given. Letters,
      digits, `_` and `-`.
    - `sweep`: parameters of each point, over `params`; point i is answered by `name[i]`.
    """

    loss: str
    inputs: Mapping[str, ArrayLike]
    name: str | None = None
    params: Mapping[str, Any] | None = None
    sweep: Sequence[Mapping[str, Any]] | None = None
    reduction: str | None = None
    outputs: Sequence[str] | None = None
    wrt: Sequence[str] | None = None
    row_weights: ArrayLike | None = None
    cotangent: ArrayLike | None = None
    gradient_dtype: str | None = None
    gradient_form: str | None = None
    gradient_top_k: int | None = None
    nonfinite: str | None = None
    class_axis: int | None = None


@dataclass(frozen=True, slots=True, eq=False)
class Batch(Mapping[str, Result]):
    """The results of a batch by the calls' names, in their order.

    Reading one that failed raises its error; `problems` holds those errors.
    """

    results: Mapping[str, Result]
    problems: Mapping[str, LossdError]
    names: tuple[str, ...]

    def __getitem__(self, name: str) -> Result:
        """A call's result. Raises `LossdError` if it failed, `KeyError` if there is none."""
        if name in self.problems:
            raise self.problems[name]
        return self.results[name]

    def __iter__(self) -> Iterator[str]:
        return iter(self.names)

    def __len__(self) -> int:
        return len(self.names)


@dataclass(frozen=True, slots=True)
class Asked:
    """A request, and what its answers may refer to, by the names that they come by."""

    request: Request
    sent: Mapping[str, Sent]


@dataclass(slots=True)
class _Tensors:
    """What is sent: the tensors that are named, and each other array once."""

    named: dict[str, ArrayLike]
    given: dict[int, tuple[str, ArrayLike]] = field(default_factory=dict)

    def name_of(self, x: ArrayLike) -> Any:
        """What a call says for a tensor or a group of them."""
        if isinstance(x, str):
            return x
        if isinstance(x, Mapping):
            return {key: self.name_of(each) for key, each in x.items()}
        return self.given.setdefault(id(x), (f"given.{len(self.given)}", x))[0]

    def held_by(self, x: ArrayLike) -> ArrayLike:
        """The array that a name means; whatever is no name is one itself."""
        return self.named.get(x, x) if isinstance(x, str) else x


def ask(calls: Sequence[Call], tensors: Mapping[str, ArrayLike] | None) -> Asked:
    """The request for a batch. Raises `TypeError` for a tensor that holds no numbers."""
    held = _Tensors(dict(tensors or {}))
    said = [_fields(call, held) for call in calls]
    packed = pack_all({**held.named, **dict(held.given.values())})
    body = encode(packed, {"calls": said})
    length = sum(len(part) for part in body)
    headers = {"content-type": MEDIA_TYPE, "accept": MEDIA_TYPE, "content-length": str(length)}
    sent: dict[str, Sent] = {}
    for i, call in enumerate(calls):
        inputs = {key: held.held_by(x) for key, x in call.inputs.items()}
        name = str(i) if call.name is None else call.name
        points = [name] if call.sweep is None else [f"{name}[{j}]" for j in range(len(call.sweep))]
        sent |= dict.fromkeys(points, Sent(inputs, call.class_axis, call.gradient_dtype))
    return Asked(Request("POST", "/v1/losses:batch", body, headers), sent)


def ask_sweep(call: Call, points: Sequence[Mapping[str, Any]]) -> Asked:
    """The request for one loss at several parameters."""
    return ask([replace(call, sweep=points, name="sweep")], None)


def _fields(call: Call, held: _Tensors) -> dict[str, Any]:
    lists = {"outputs": call.outputs, "wrt": call.wrt}
    objects = [dict(each) for each in call.sweep] if call.sweep is not None else None
    beside = {"row_weights": call.row_weights, "cotangent": call.cotangent}
    return given(
        {
            "name": call.name,
            "loss": call.loss,
            "inputs": held.name_of(call.inputs),
            "params": None if call.params is None else dict(call.params),
            "sweep": objects,
            "reduction": call.reduction,
            "gradient_dtype": call.gradient_dtype,
            "gradient_form": call.gradient_form,
            "gradient_top_k": call.gradient_top_k,
            "nonfinite": call.nonfinite,
            "class_axis": call.class_axis,
            **{key: list(each) for key, each in lists.items() if each is not None},
            **{key: held.name_of(each) for key, each in beside.items() if each is not None},
        }
    )


def read(answer: Answer, asked: Asked) -> Batch:
    """The batch in an answer. Raises `LossdError` if it holds none."""
    try:
        tensors, fields = decode(answer.body)
        parts: dict[str, dict[str, Any]] = {name: {} for name in fields["answers"]}
        for key, array in tensors.items():
            name, _, rest = key.partition(".")
            parts[name][rest] = array
        seconds, tag = seconds_of(answer.headers), answer.request_id
        results = {
            name: result_of(parts[name], each, tag, seconds, asked.sent.get(name, Sent()))
            for name, each in fields["answers"].items()
        }
        problems = {
            name: from_problem(each, status=each["status"], request_id=tag, retry_after_s=None)
            for name, each in fields["problems"].items()
        }
    except (KeyError, TypeError, ValueError) as err:
        raise answer.unreadable(err) from err
    there = (*results, *problems)
    order = {name: i for i, name in enumerate(asked.sent)}
    return Batch(results, problems, tuple(sorted(there, key=lambda x: order.get(x, len(order)))))


def read_sweep(answer: Answer, asked: Asked) -> list[Result]:
    """The results of a sweep, in order. Raises the error of the first point that failed."""
    batch = read(answer, asked)
    return [batch[name] for name in batch]
