"""Whether the tensors of a request are those that a loss takes, by their names."""

from collections.abc import Collection

from lossd.errors import MissingInput, UnexpectedInput
from lossd.losses import LossSpec


def dotted(key: str) -> str:
    """The key of an input as a path: a group's member after a point."""
    return key.replace("/", ".", 1)


def check_names(spec: LossSpec, given: Collection[str]) -> None:
    """Raises `UnexpectedInput` or `MissingInput` where the names are not those of the loss."""
    heads = {key.partition("/")[0] for key in given}
    for key in given:
        head, slash, _ = key.partition("/")
        want = spec.inputs.get(head)
        if want is None or (slash and not want.group):
            raise UnexpectedInput(
                f"{spec.name} takes no input of that name",
                at=f"inputs.{dotted(key)}"[:200],
                expected=f"one of {', '.join(spec.inputs)}",
                got=key[:100],
            )
        if slash and head in given:
            raise UnexpectedInput("both a tensor and a group", at=f"inputs.{head}")
    for head, want in spec.inputs.items():
        if head not in heads and not want.optional:
            raise MissingInput(
                f"{spec.name} needs {head}",
                at=f"inputs.{head}",
                expected=f"{want.kind} ({', '.join(want.dims)})",
                got=f"only {', '.join(sorted(heads)) or 'nothing'}"[:200],
            )
    for names in spec.exactly_one_of:
        present = [each for each in names if each in heads]
        if len(present) != 1:
            error = UnexpectedInput if present else MissingInput
            raise error(
                f"{spec.name} takes exactly one of {' and '.join(names)}",
                at=f"inputs.{present[-1] if present else names[0]}",
                expected=f"exactly one of {', '.join(names)}",
                got=", ".join(present) or "none of them",
            )
    _check_company(spec, heads)


def _check_company(spec: LossSpec, heads: Collection[str]) -> None:
    for head in heads:
        for needed in spec.inputs[head].needs:
            if needed not in heads:
                raise MissingInput(
                    f"{head} is of use only with {needed}",
                    at=f"inputs.{needed}",
                    expected=f"{needed} beside {head}, or neither",
                    got=f"only {', '.join(sorted(heads))}"[:200],
                )
