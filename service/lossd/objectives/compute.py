"""An objective, start to end: values, weights, one combined gradient, and what is said of both."""

import math
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass, field
from typing import Any

import torch
from torch import Tensor

from lossd.engine import Bench
from lossd.engine.blocks import is_cuttable
from lossd.engine.compute import pick_kernel
from lossd.engine.paired import pick_paired
from lossd.engine.plain import rows_in
from lossd.engine.reduce import gradient_overflows
from lossd.errors import BadRequest, OutOfRange
from lossd.objectives.balancing import Balancing, balanced
from lossd.objectives.coefficients import Follower
from lossd.objectives.gradients import Gradients, Graph, compute_apart, posted
from lossd.objectives.gramian import Gramian, gramian_of
from lossd.objectives.objective import OF_EACH_TERM, Objective, Term
from lossd.objectives.parse import at_place
from lossd.objectives.summed import compute_in_groups
from lossd.schema import Result, Warned, check_values


@dataclass(frozen=True, slots=True)
class Computed:
    """What came of an objective.

    - `results`: of the terms, without gradients; `weights` are what their values count.
    - `gradients`: the combined ones, by the posted tensors' names.
    - `gramians`: of the terms' own gradients by each tensor, if they were needed.
    - `own`: these gradients, by the term's name, if they are wanted.
    - `state`: what goes back in at the next step, as JSON values.
    - `balancing`: what a method made of the terms, if they are balanced by one.
    """

    value: float
    results: Mapping[str, Result]
    weights: Mapping[str, float]
    gradients: Mapping[str, Tensor]
    gramians: Mapping[str, Gramian] = field(default_factory=dict)
    own: Mapping[str, Gradients] = field(default_factory=dict)
    state: Mapping[str, Any] = field(default_factory=dict)
    warnings: tuple[Warned, ...] = ()
    balancing: Balancing | None = None


def compute_objective(objective: Objective, bench: Bench | None = None) -> Computed:
    """All of an objective. Raises what `check_values` raises of a term, with the term's place."""
    try:
        return _computed(objective, bench or Bench())
    except BadRequest:
        _check_all(objective.terms)  # the first of the terms that are not right is named
        raise
    finally:
        for term in objective.terms:
            if term.call.shared is not None:
                term.call.shared.forget()  # else memory waits for the garbage collector


def _computed(objective: Objective, bench: Bench) -> Computed:
    results: dict[str, Result] = {}
    combined = _Sum()
    for found_results, found in compute_in_groups(objective, bench):
        results |= found_results
        combined.take(found)
    left = [term for term in objective.terms if term.name not in results]
    alone = {term.name for term in left if _goes_alone(term, bench)}
    apart = [term for term in left if term.name in alone]
    together = [term for term in left if term.name not in alone]
    _check_all(together)  # the others are checked where they are computed
    graph = Graph(objective, together, bench)
    results |= bench.on_device(lambda: {term.name: _forward(graph, term) for term in together})
    own: dict[str, Gradients] = {}
    for term in apart:
        with at_place(term.at):
            results[term.name], by_key = compute_apart(term, bench)
        if objective.compares or objective.balance or isinstance(term.weight, Follower):
            own[term.name] = posted(term, by_key, objective.tensors)
        else:  # at once, so that only one is held
            combined.add_of(term, by_key, objective.tensors, term.weight)
    results = {term.name: results[term.name] for term in objective.terms}
    weights, state = _weights_of(objective, results)
    if objective.compares:
        own |= bench.on_device(lambda: {term.name: _backward(graph, term) for term in together})
        own = {term.name: _filled(objective, term, own[term.name]) for term in objective.terms}
    balancing = _balanced(objective, weights, results, own)
    if balancing is not None:
        over = balancing.weights or {}
        weights = {name: x * over.get(name, 1.0) for name, x in weights.items()}
        _check_weights(objective, weights)
        state |= {"balance": balancing.answer.state} if balancing.answer.state else {}
    instead = balancing.directions if balancing is not None else {}
    for name, gradients in own.items():
        of_method = instead if name in objective.tasks else {}
        counted = {x: each for x, each in gradients.items() if x not in of_method}
        combined.add(counted, weights[name])
    if not objective.compares:
        of_graph = {term.name: weights[term.name] for term in together}
        combined.take(bench.on_device(lambda: graph.backward(of_graph, objective.wrt)))
    combined.take(instead)
    return _said(objective, results, weights, combined.total, own, state, balancing)


def _check_all(terms: Iterable[Term]) -> None:
    for term in terms:
        with at_place(term.at):
            check_values(term.call)


def _said(
    objective: Objective,
    results: Mapping[str, Result],
    weights: Mapping[str, float],
    combined: Gradients,
    own: Mapping[str, Gradients],
    state: Mapping[str, Any],
    balancing: Balancing | None,
) -> Computed:
    gradients = {name: _as_asked(objective, name, combined) for name in objective.wrt}
    value = _value(objective, weights, results, balancing)
    warnings = (*_not_finite(value), *_not_finite_gradients(gradients))
    gramians = {}
    if objective.wants(*OF_EACH_TERM):
        gramians = {name: gramian_of(name, own) for name in objective.wrt}
    return Computed(value, results, weights, gradients, gramians, own, state, warnings, balancing)


def _balanced(
    objective: Objective,
    weights: Mapping[str, float],
    results: Mapping[str, Result],
    own: Mapping[str, Gradients],
) -> Balancing | None:
    if objective.balance is None:
        return None
    values = {
        name: weighted(weights[name], results[name].value)
        for name in objective.tasks
        if weights[name] and results[name].value is not None
    }
    shapes = {name: objective.tensors[name].shape for name in objective.shared}
    at = {term.name: term.at for term in objective.terms}
    places = {name: at[name] for name in objective.tasks}
    return balanced(objective.balance, places, objective.shared, values, weights, own, shapes)


def _value(
    objective: Objective,
    weights: Mapping[str, float],
    results: Mapping[str, Result],
    balancing: Balancing | None,
) -> float:
    """The weighted sum, in which a method's own value stands for the terms that it balances."""
    of_method = None if balancing is None else balancing.answer.value
    added = 0.0 if of_method is None else of_method
    for name, result in results.items():
        if of_method is None or name not in objective.tasks:
            added += weighted(weights[name], result.value)
    return added


def _forward(graph: Graph, term: Term) -> Result:
    with at_place(term.at):
        return graph.forward(term)


def _backward(graph: Graph, term: Term) -> Gradients:
    return graph.backward({term.name: 1.0}, term.leaves, keep=True)


def _filled(objective: Objective, term: Term, gradients: Gradients) -> Gradients:
    """With the zeros that no pass back brought."""
    dtype = term.call.compute_dtype
    zeros = {name: torch.zeros(objective.tensors[name].shape, dtype=dtype)
             for name in term.leaves if name not in gradients}  # fmt: skip
    return {**gradients, **zeros}


def _not_finite(value: float) -> tuple[Warned, ...]:
    return () if math.isfinite(value) else (Warned("nonfinite_value", f"the value is {value}"),)


def _not_finite_gradients(gradients: Mapping[str, Tensor]) -> Iterator[Warned]:
    """A warning for each gradient that is not finite, whatever made it so."""
    overflows = gradient_overflows(gradients)
    yield from overflows
    for name, x in gradients.items():
        if _is_finite(x) or any(y.detail.startswith(f"{name}: ") for y in overflows):
            continue
        yield Warned("nonfinite_gradient", f"{name}: some gradients are not finite")


def _is_finite(x: Tensor) -> bool:
    """One pass that writes nothing; where a sum of finite numbers overflows, another one."""
    return math.isfinite(x.sum().item()) or bool(x.isfinite().all())


def _check_weights(objective: Objective, weights: Mapping[str, float]) -> None:
    """Raises `OutOfRange` where a term's weight times the method's is too large for float64."""
    for term in objective.terms:
        if not math.isfinite(weights[term.name]):
            raise OutOfRange(
                "the weight times that of the method is not finite",
                at=f"{term.at}.weight",
                expected="a weight of a size nearer to 1",
            )


def _goes_alone(term: Term, bench: Bench) -> bool:
    """Whether a term is not in the graph: a kernel is faster, or memory would not hold it."""
    call = term.call
    if call.is_linear or pick_kernel(call, bench.device) is not None:
        return True
    if call.options.mining is None and pick_paired(call, bench.device) is not None:
        return True
    plain = call.options.mining is None and not call.extras and is_cuttable(call)
    return plain and rows_in(bench.block_bytes, call) < call.item_shape[0]


def _weights_of(
    objective: Objective, results: Mapping[str, Result]
) -> tuple[dict[str, float], dict[str, Any]]:
    """Each term's weight, and the new states of those that follow values."""
    weights: dict[str, float] = {}
    states: dict[str, Any] = {}
    for term in objective.terms:
        weight = term.weight
        if isinstance(weight, Follower):
            found, state = weight.controller.step(
                weight.params, weight.state, results[term.name].value, results[weight.of].value
            )
            weights[term.name], states[term.name] = found, state.model_dump(mode="json")
        else:
            weights[term.name] = weight
    return weights, {"weights": states} if states else {}


def weighted(weight: float, value: float | None) -> float:
    """What a term adds to the value: 0 where nothing counts, or it has no weight."""
    return weight * value if weight and value is not None else 0.0


class _Sum:
    """A sum of gradients. Its tensors are its own until the last ones are added."""

    def __init__(self) -> None:
        self.total: Gradients = {}

    def add(self, gradients: Gradients, weight: float) -> None:
        """Add a term's gradients times its weight; of a weight of 0 nothing, whatever they are."""
        if not weight:
            return
        for name, x in gradients.items():
            held = self.total.get(name)
            if held is None:
                self.total[name] = x * weight
            elif held.dtype == x.dtype and abs(weight) < torch.finfo(x.dtype).max:
                held.add_(x, alpha=weight)
            else:
                self.total[name] = held + x * weight

    def add_of(
        self, term: Term, found: Mapping[str, Tensor], like: Mapping[str, Tensor], weight: float
    ) -> None:
        """The same, of a term's gradients by its keys; where it has chosen rows, to these only."""
        for key, x in found.items():
            name = term.sources[key]
            held = self.total.get(name)
            fits = held is not None and held.dtype == x.dtype
            if weight and fits and term.has_rows(key) and abs(weight) < torch.finfo(x.dtype).max:
                assert held is not None and term.rows is not None
                held.index_add_(0, term.rows, x.reshape(-1, *held.shape[1:]), alpha=weight)
            else:
                self.add(posted(term, {key: x}, like), weight)

    def take(self, gradients: Mapping[str, Tensor]) -> None:
        """Add gradients that are weighed already; last those that others may hold."""
        for name, x in gradients.items():
            held = self.total.get(name)
            self.total[name] = x if held is None else held + x


def _as_asked(objective: Objective, name: str, gradients: Gradients) -> Tensor:
    dtype = objective.wrt[name]
    found = gradients.get(name)
    if found is None:
        return torch.zeros(objective.tensors[name].shape, dtype=dtype)
    return found.to(dtype)
