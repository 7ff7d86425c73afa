"""Terms of one tensor of logits that are computed of one softmax."""

from collections.abc import Iterator

from lossd.engine import Bench
from lossd.engine.softmaxes import Part, compute_of_one_softmax, part_of
from lossd.objectives.gradients import Gradients, scattered
from lossd.objectives.objective import Objective, Term
from lossd.schema import Result


def compute_of_softmaxes(
    objective: Objective, bench: Bench
) -> Iterator[tuple[dict[str, Result], Gradients]]:
    """Several terms at a time: their results, and the gradient of all, weights included.

    Of terms whose weights do not follow from values, and whose own gradients nobody needs. Their
    values are checked on the way: where they are not right, as with every other term that is not
    among these, the term is to be computed another way.
    """
    if objective.compares or objective.balance is not None:
        return
    alike: dict[tuple[int, int], list[tuple[Term, Part]]] = {}
    for term in objective.terms:
        logits = term.call.inputs.get("logits")
        if logits is None or not isinstance(term.weight, float):
            continue
        part = part_of(term.call, term.weight, bench.device)
        if part is not None:
            key = id(logits), term.call.options.class_axis  # terms keep the tensors that they take
            alike.setdefault(key, []).append((term, part))
    for group in alike.values():
        found = None
        if len(group) > 1:
            parts = [part for _, part in group]
            found = compute_of_one_softmax(parts, bench.buffers, bench.slices)
        if found is None:
            continue
        results, gradient = found
        wanted = [term for term, _ in group if term.call.wrt]
        gradients: Gradients = {}
        if wanted:
            sent = wanted[0].call.as_sent("logits", gradient)
            name = wanted[0].sources["logits"]
            gradients[name] = scattered(wanted[0], "logits", sent, objective.tensors[name])
        yield {term.name: x for (term, _), x in zip(group, results, strict=True)}, gradients
