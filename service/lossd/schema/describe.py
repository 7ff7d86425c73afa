"""A loss's own account of itself: what `GET /v1/losses` and the CLI answer."""

import functools
import inspect
import shlex
from dataclasses import asdict
from typing import Any

import orjson

from lossd.errors import BadOption
from lossd.losses import CATALOG, InputSpec, LossSpec, count_cost, find, topics_of
from lossd.schema.body import body_schema
from lossd.schema.call import Call
from lossd.schema.check import parse_call
from lossd.wire import CODECS

_MOST_ELEMENTS = 1_000_000


def summarize(spec: LossSpec) -> dict[str, Any]:
    """One entry of the list of losses."""
    return {
        "name": spec.name,
        "family": spec.family,
        "summary": spec.summary,
        "topics": [topic.name for topic in topics_of(spec)],
        "formula": spec.formula,
        "inputs": {name: _short(each) for name, each in spec.inputs.items()},
        "gradients": list(spec.gradients),
        "params": list(spec.params.model_fields),
        "default_reduction": spec.reduction,
    }


def _short(spec: InputSpec) -> str:
    return f"{spec.kind} ({', '.join(spec.dims)}){' optional' if spec.optional else ''}"


def list_losses(
    *, family: str | None = None, search: str | None = None, kind: str | None = None
) -> list[dict[str, Any]]:
    """The catalog, narrowed by family, by words (all of them must occur), by kind of input.

    Of losses that are found by words, those come first whose name, summary or topics have them. A
    kind is the name of an input: logits, embeddings, weights, ... Raises `BadOption` for a
    family that does not exist.
    """
    families = sorted({spec.family for spec in CATALOG.values()})
    if family is not None and family not in families:
        raise BadOption("no such family", at="family", expected=", ".join(families), got=family)
    words = (search or "").lower().split()
    found = [
        (not all(word in _headline(name) for word in words), name)
        for name, spec in CATALOG.items()
        if (family is None or spec.family == family)
        and (kind is None or kind in spec.inputs)
        and all(word in _headline(name) + _card(name) for word in words)
    ]
    return [dict(_summary(name)) for _, name in sorted(found)]


@functools.cache
def _summary(name: str) -> dict[str, Any]:
    return summarize(CATALOG[name])


@functools.cache
def _headline(name: str) -> str:
    spec = CATALOG[name]
    topics = [text for topic in topics_of(spec) for text in (topic.name, *topic.also)]
    names = (spec.name, spec.name.replace("_", " "), spec.family, spec.summary, *topics)
    return " ".join(names).lower() + " "


@functools.cache
def _card(name: str) -> str:
    return " ".join(asdict(CATALOG[name].card).values()).lower()


def describe(name: str, base_url: str) -> dict[str, Any]:
    """Everything a loss's file declares, the schema of its body, and a call that works when pasted.

    Raises `UnknownLoss`.
    """
    spec = find(name)
    request = example_request(spec)
    return summarize(spec) | {
        "version": spec.version,
        "description": inspect.getdoc(spec.fn),
        "source": spec.source,
        "units": spec.units,
        "items": list(spec.items),
        "coupling": spec.coupling,
        "matrices": [list(dims) for dims in spec.matrices],
        "inputs": {key: _describe_input(each) for key, each in spec.inputs.items()},
        "extra_outputs": list(spec.extra_outputs),
        "exactly_one_of": [list(names) for names in spec.exactly_one_of],
        "continuous_params": list(spec.continuous),
        "params_schema": spec.params.model_json_schema(),
        "card": asdict(spec.card) | {"cost_per_element": cost_of(spec.name)},
        "body_schema": _body_schema(spec.name),
        "example": {"request": request, "curl": curl(spec, request, base_url)},
    }


def _describe_input(spec: InputSpec) -> dict[str, Any]:
    return {
        "dims": list(spec.dims),
        "kind": spec.kind,
        "scope": spec.scope,
        "optional": spec.optional,
        "group": spec.group,
        "needs": list(spec.needs),
        **asdict(spec.arg),
    }


def example_request(spec: LossSpec) -> dict[str, Any]:
    """The JSON body of the loss's example."""
    request: dict[str, Any] = {"inputs": dict(spec.example.inputs)}
    if spec.example.params:
        request["params"] = dict(spec.example.params)
    return request


def example_call(spec: LossSpec) -> Call:
    """The loss's example, checked as any call is."""
    body = orjson.dumps(example_request(spec))
    return parse_call(spec.name, CODECS["application/json"].decode(body, _MOST_ELEMENTS))


def curl(spec: LossSpec, request: dict[str, Any], base_url: str) -> str:
    """A shell line that makes a call."""
    address = shlex.quote(f"{base_url}/v1/losses/{spec.name}")
    body = shlex.quote(orjson.dumps(request).decode())
    return f"curl -s {address} -H 'Content-Type: application/json' -d {body}"


@functools.cache
def cost_of(name: str) -> dict[str, float]:
    """Counted, per element of the differentiable inputs, on the loss's example."""
    spec = find(name)
    call = example_call(spec)
    return asdict(count_cost(spec, call.arguments(call.inputs), call.params))


@functools.cache
def _body_schema(name: str) -> dict[str, Any]:
    return body_schema(find(name))
