"""Logits that are made of two smaller tensors: hidden @ classifier.T + classifier_bias."""

from collections.abc import Mapping
from types import MappingProxyType

from lossd.losses._spec import Arg, InputSpec

LOGITS, HIDDEN, CLASSIFIER, CLASSIFIER_BIAS = "logits", "hidden", "classifier", "classifier_bias"

Groups = tuple[tuple[str, ...], ...]


def _input(name: str, dims: tuple[str, ...], needs: str, doc: str) -> InputSpec:
    arg = Arg(doc=doc, gradient=True)
    return InputSpec(name, dims, "float", optional=True, group=False, arg=arg, needs=(needs,))


_INPUTS = (
    _input(
        HIDDEN,
        ("rows", "features"),
        CLASSIFIER,
        "In place of logits, which are hidden @ classifier.T + classifier_bias and are made a few "
        "rows at a time.",
    ),
    _input(CLASSIFIER, ("classes", "features"), HIDDEN, "What hidden is multiplied by."),
    _input(CLASSIFIER_BIAS, ("classes",), HIDDEN, "What is added to the product, 0 if absent."),
)


def with_linear_inputs(
    inputs: Mapping[str, InputSpec], exactly_one_of: Groups
) -> tuple[Mapping[str, InputSpec], Groups]:
    """The inputs of a loss of `logits`, and those that may stand in for them.

    Raises `TypeError` where logits are not the only input with a gradient.
    """
    if [name for name, each in inputs.items() if each.arg.gradient] != [LOGITS]:
        raise TypeError("a linear loss has a gradient of its logits, and of no other input")
    old = inputs[LOGITS]
    logits = InputSpec(LOGITS, old.dims, old.kind, optional=True, group=False, arg=old.arg)
    more = {each.name: each for each in _INPUTS}
    merged = MappingProxyType({**inputs, LOGITS: logits, **more})
    return merged, ((LOGITS, HIDDEN), *exactly_one_of)
