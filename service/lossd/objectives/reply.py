"""Computed to messages: one of the whole, and one of each term."""

from typing import Any

import torch
from torch import Tensor

from lossd.objectives.balancing import Balancing
from lossd.objectives.compute import Computed, weighted
from lossd.objectives.objective import Objective, Term
from lossd.schema import to_message
from lossd.wire import Message


def to_messages(objective: Objective, computed: Computed) -> tuple[Message, dict[str, Message]]:
    """What is answered of the objective, and of each term by its name."""
    fields: dict[str, Any] = {
        "step": objective.options.step,
        "state": dict(computed.state),
        "warnings": [{"code": each.code, "detail": each.detail} for each in computed.warnings],
    }
    tensors: dict[str, Tensor] = {}
    if objective.wants("gradients"):
        tensors |= {f"gradients.{name}": x for name, x in computed.gradients.items()}
    if objective.wants("cosines"):
        shared = {name: x for name, x in computed.gramians.items() if len(x.terms) > 1}
        tensors |= {f"cosines.{name}": torch.from_numpy(x.cosines) for name, x in shared.items()}
        fields["cosine_terms"] = {name: list(each.terms) for name, each in shared.items()}
        fields["conflicts"] = [
            {"tensor": name, "terms": [a, b], "cosine": cosine}
            for name, each in shared.items()
            for a, b, cosine in each.conflicts()
        ]
    if computed.balancing is not None:
        answer = computed.balancing.answer
        fields["balance"] = _of_balance(computed.balancing)
        fields["warnings"] += [{"code": x.code, "detail": x.detail} for x in answer.warnings]
    whole = Message(tensors, fields, scalars={"value": computed.value})
    return whole, {term.name: _of_term(objective, computed, term) for term in objective.terms}


def _of_term(objective: Objective, computed: Computed, term: Term) -> Message:
    result, weight = computed.results[term.name], computed.weights[term.name]
    said = to_message(term.call, result)
    tensors = {name: _whole(objective, term, name, x) for name, x in said.tensors.items()}
    if objective.wants("rows") and term.rows is not None:
        tensors["selected"] = term.rows
    if objective.wants("term_gradients"):
        for name, x in computed.own[term.name].items():
            tensors[f"gradients.{name}"] = x.to(objective.wrt[name])
    for name, gramian in computed.gramians.items():
        if term.name not in gramian.terms:
            continue
        place = gramian.terms.index(term.name)
        if objective.wants("norms"):
            tensors[f"norms.{name}"] = torch.tensor(gramian.norms[place], dtype=torch.float64)
        if objective.wants("shares"):
            share = gramian.shares(computed.weights)[place]
            tensors[f"shares.{name}"] = torch.tensor(share, dtype=torch.float64)
    scalars = {"weight": weight, "weighted_value": weighted(weight, result.value)}
    return Message(tensors, said.fields, scalars={**said.scalars, **scalars})


def _whole(objective: Objective, term: Term, name: str, x: Tensor) -> Tensor:
    """A new state in the shape of the posted one: rows that the term does not take stay."""
    holder, _, key = name.partition(".")
    if holder != "state" or term.rows is None or not term.has_rows(key):
        return x
    posted = objective.tensors[term.sources[key]] if key in term.sources else None
    if posted is None:
        return x
    whole = posted.to(x.dtype, copy=True)
    whole[term.rows] = x.reshape(len(term.rows), *whole.shape[1:])
    return whole


def _of_balance(balancing: Balancing) -> dict[str, Any]:
    answer = balancing.answer
    return {
        "method": answer.method,
        "params": answer.params.model_dump(mode="json"),
        "weights": None if balancing.weights is None else dict(balancing.weights),
        "group_weights": {name: x.tolist() for name, x in answer.group_weights.items()},
        "param_gradients": {name: x.tolist() for name, x in answer.param_gradients.items()},
        "certificate": answer.certificate.as_json(),
    }
