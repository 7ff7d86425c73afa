"""All terms in one autograd graph, over one leaf per posted tensor, and one pass back."""

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import replace
from typing import Any

import torch
from torch import Tensor

from lossd.engine import Bench
from lossd.engine.blocks import has_rows
from lossd.engine.extras import extras_of
from lossd.engine.graph import Node, node_of
from lossd.objectives.objective import Objective, Term
from lossd.schema import Call, Result

Gradients = dict[str, Tensor]  # by the posted tensor's name, in its shape


class Graph:
    """The terms that are computed together, and what is computed of them."""

    def __init__(self, objective: Objective, terms: Sequence[Term], bench: Bench) -> None:
        self._objective, self._bench = objective, bench
        self._leaves: dict[str, Tensor] = {}
        self._views: dict[Any, Tensor] = {}
        self._dtypes = _dtypes_of(terms)
        self._nodes: dict[str, Node] = {}

    def forward(self, term: Term) -> Result:
        """Add a term whose values are checked; its result has no gradients."""
        call = term.call
        tensors = {
            key: self._view(term, key) if key in call.wrt else self._constant(term, x)
            for key, x in call.inputs.items()
        }
        with torch.set_grad_enabled(bool(call.wrt)):
            node = node_of(call, tensors)
        self._nodes[term.name] = node
        if not call.extras:
            return node.result
        return replace(node.result, extras=extras_of(call, self._bench.device))

    def backward(
        self, weights: Mapping[str, float], wrt: Iterable[str], *, keep: bool = False
    ) -> Gradients:
        """The gradients of the weighted sum of some terms; without those that are 0 for sure.

        With `keep` there is another pass back to come.
        """
        values, outer = [], []
        for name, weight in weights.items():
            node = self._nodes[name]
            if weight and node.outer is not None and node.values.requires_grad:
                values.append(node.values)
                outer.append(node.outer if weight == 1.0 else node.outer * weight)
        names = [name for name in wrt if name in self._leaves]
        if not values or not names:
            return {}
        leaves = [self._leaves[name] for name in names]
        found = torch.autograd.grad(values, leaves, outer, retain_graph=keep, allow_unused=True)
        return {name: x.cpu() for name, x in zip(names, found, strict=True) if x is not None}

    def _constant(self, term: Term, x: Tensor) -> Tensor:
        """What no gradient passes through, as a term takes it."""
        if not x.is_floating_point():
            return x.to(self._bench.device)
        place = (id(x), term.call.compute_dtype)  # terms keep the tensors that they take
        if place not in self._views:
            made = x.detach().to(self._bench.device, term.call.compute_dtype)
            self._views[place] = self._lent(term, made)
        return self._views[place]

    def _lent(self, term: Term, x: Tensor) -> Tensor:
        if term.call.shared is not None:
            term.call.shared.lend(x)
        return x

    def _leaf(self, name: str) -> Tensor:
        """In the widest dtype that a term computes in: its gradient is rounded once, at the end."""
        if name not in self._leaves:
            x = self._objective.tensors[name].to(self._bench.device, self._dtypes[name])
            self._leaves[name] = x.detach().requires_grad_()
        return self._leaves[name]

    def _view(self, term: Term, key: str) -> Tensor:
        """A leaf as a term takes it: its rows, its classes on axis 1, its shape and dtype."""
        call, name = term.call, term.sources[key]
        assert call.plan is not None
        planned = next(each for each in call.plan.inputs if each.key == key)
        rows = term.rows if term.rows is not None and has_rows(call, key) else None
        axis = call.options.class_axis if planned.moves_classes else None
        dtype = call.compute_dtype
        place = (name, None if rows is None else term.selection, axis, planned.shape, dtype)
        if place not in self._views:
            x = self._leaf(name)
            if rows is not None:
                x = x.index_select(0, rows.to(x.device))
            if axis is not None:
                x = x.movedim(axis, 1).contiguous()
            elif planned.shape is not None:
                x = x.reshape(planned.shape)
            self._views[place] = self._lent(term, x.to(dtype))
        return self._views[place]


def _dtypes_of(terms: Sequence[Term]) -> dict[str, torch.dtype]:
    """The widest dtype that a tensor is computed with, by its name."""
    dtypes: dict[str, torch.dtype] = {}
    for term in terms:
        for key in term.call.wrt:
            name, dtype = term.sources[key], term.call.compute_dtype
            dtypes[name] = torch.promote_types(dtypes.get(name, dtype), dtype)
    return dtypes


def compute_apart(term: Term, bench: Bench) -> tuple[Result, dict[str, Tensor]]:
    """A term as a call of its own, with its gradients by its inputs' keys, of its rows alone."""
    result = bench.compute(_unrounded(term.call))
    return replace(result, gradients={}), dict(result.gradients)


def posted(term: Term, found: Mapping[str, Tensor], like: Mapping[str, Tensor]) -> Gradients:
    """A term's gradients in the shapes of the posted tensors, 0 in rows that it does not take."""
    gradients: Gradients = {}
    for key, x in found.items():
        name = term.sources[key]
        whole = scattered(term, key, x, like[name])
        gradients[name] = gradients[name] + whole if name in gradients else whole
    return gradients


def _unrounded(call: Call) -> Call:
    """A call whose gradients come in its compute dtype."""
    dtype, asked = call.compute_dtype, call.options.gradient_dtype
    if asked is None and all([call.inputs[key].dtype == dtype for key in call.wrt]):
        return call
    name = str(dtype).removeprefix("torch.")
    return replace(call, options=call.options.model_copy(update={"gradient_dtype": name}))


def scattered(term: Term, key: str, x: Tensor, like: Tensor) -> Tensor:
    """A gradient of an input of a term in the shape of the posted tensor, 0 in rows not chosen."""
    if not term.has_rows(key):
        return x.reshape(like.shape)
    assert term.rows is not None
    whole = torch.zeros(like.shape, dtype=x.dtype)
    whole[term.rows] = x.reshape(len(term.rows), *like.shape[1:])
    return whole
