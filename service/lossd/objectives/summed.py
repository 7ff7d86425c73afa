"""Terms of one tensor that are computed together by kernels: one softmax, one sum of gradients."""

from collections.abc import Hashable, Iterator

from torch import Tensor

from lossd.engine import Bench
from lossd.engine.summed import Part, compute_summed, part_of
from lossd.objectives.gradients import Gradients, scattered
from lossd.objectives.objective import Objective, Term
from lossd.schema import Result


def compute_in_groups(
    objective: Objective, bench: Bench
) -> Iterator[tuple[dict[str, Result], Gradients]]:
    """Several terms at a time: their results, and the gradient of all, weights included.

    Of terms whose weights do not follow from values, and whose own gradients nobody needs. Their
    values are checked on the way: where they are not right, as with every other term that is not
    among these, the term is to be computed another way.
    """
    if objective.compares or objective.balance is not None:
        return
    alike: dict[Hashable, list[tuple[Term, Part]]] = {}
    for term in objective.terms:
        if not isinstance(term.weight, float):
            continue
        part = part_of(term.call, term.weight, bench.device)
        if part is not None:
            # Terms keep the tensors that they take, and those that take one alike have the same.
            taken, axis = id(term.call.inputs[part.key]), term.call.options.class_axis
            key = term.sources[part.key], taken, axis
            alike.setdefault(key, []).append((term, part))
    for group in alike.values():
        found = None
        if len(group) > 1:
            found = compute_summed([part for _, part in group], bench.buffers, bench.slices)
        if found is not None:
            results, gradient = found
            yield (
                {term.name: x for (term, _), x in zip(group, results, strict=True)},
                _posted(objective, *group[0], gradient),
            )


def _posted(objective: Objective, term: Term, part: Part, gradient: Tensor) -> Gradients:
    """A gradient of what a part takes, in the shape of the posted tensor."""
    name = term.sources[part.key]
    sent = term.call.as_sent(part.key, gradient)
    return {name: scattered(term, part.key, sent, objective.tensors[name])}
