"""What a call asks for, against what its loss has."""

from collections.abc import Collection

from lossd.errors import BadOption
from lossd.losses import CATALOG, HIDDEN, LossSpec
from lossd.schema.options import Options


def check_form(spec: LossSpec, options: Options, given: Collection[str]) -> None:
    """Raises `BadOption` where the loss has no gradient of the form that is asked for."""
    if options.gradient_form != "recipe":
        return
    if HIDDEN in given:
        raise BadOption(
            f"a recipe is of logits, and {HIDDEN} is given in their place",
            at="gradient_form",
            expected="dense, row_norms or top_k",
            got="recipe",
        )
    if spec.recipe is None:
        having = ", ".join(each.name for each in CATALOG.values() if each.recipe)
        raise BadOption(
            f"{spec.name} has no recipe for its gradient",
            at="gradient_form",
            expected=f"dense, row_norms or top_k; or one of the losses {having}",
            got="recipe",
        )


def extras_of(spec: LossSpec, options: Options) -> tuple[str, ...]:
    """What is wanted beside value, rows and gradients. Raises `BadOption` if there is no such."""
    if options.mining is None and "kept_indices" in options.outputs:
        raise BadOption(
            "all is kept where nothing is mined",
            at=f"outputs[{options.outputs.index('kept_indices')}]",
            expected="the option mining beside it",
            got="kept_indices",
        )
    wanted = [each for each in options.outputs if each in ("state", "proximal")]
    for each in wanted:
        if each not in spec.extra_outputs:
            having = [other.name for other in CATALOG.values() if each in other.extra_outputs]
            raise BadOption(
                f"{spec.name} has no {'state' if each == 'state' else 'proximal operator'}",
                at=f"outputs[{options.outputs.index(each)}]",
                expected=f"value, rows or gradients; or one of the losses {', '.join(having)}",
                got=each,
            )
    return tuple(dict.fromkeys(wanted))


def wrt_of(spec: LossSpec, given: Collection[str], options: Options) -> tuple[str, ...]:
    """The keys of the inputs whose gradients are wanted; none when none are asked for."""
    heads = {key.partition("/")[0] for key in given}
    for i, name in enumerate(options.wrt or ()):
        if name not in spec.gradients or name not in heads:
            possible = [each for each in spec.gradients if each in heads]
            raise BadOption(
                f"no gradient with respect to {name[:100]!r}",
                at=f"wrt[{i}]",
                expected=f"one of {', '.join(possible)}",
                got=name[:100],
            )
    if "gradients" not in options.outputs:
        return ()
    wanted = spec.gradients if options.wrt is None else options.wrt
    return tuple(key for key in given if key.partition("/")[0] in wanted)
