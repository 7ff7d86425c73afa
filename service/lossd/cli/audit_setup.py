"""What a command says of an audit, as its setup."""

import argparse
import json
from pathlib import Path
from typing import Any

from pydantic import ValidationError

from lossd.audit import Setup, State
from lossd.audit.metrics import METRICS, metrics_of
from lossd.cli.errors import explain, mistaken
from lossd.cli.predictions import Wanted
from lossd.errors import LossdError, UnreadableBody

_DEFAULT = "default"


def wanted_of(arguments: argparse.Namespace) -> Wanted:
    """The columns that are asked for."""
    return Wanted(
        arguments.probabilities or arguments.logits or "logits",
        arguments.label,
        arguments.id,
        arguments.weight,
        tuple(dict.fromkeys(arguments.slice)),
        arguments.embedding,
    )


def classes_of(arguments: argparse.Namespace) -> tuple[str, ...] | None:
    """The names of the classes, from a file with one a line, or from the option itself."""
    said = arguments.classes
    if said is None:
        return None
    if Path(said).is_file():
        try:
            lines = Path(said).read_text(encoding="utf-8-sig").splitlines()
        except (OSError, UnicodeDecodeError) as err:
            raise UnreadableBody(f"no list of names: {err}"[:200], at=said) from err
        names = tuple(line.strip() for line in lines if line.strip())
    else:
        names = tuple(each.strip() for each in said.split(","))
    if len(names) < 2 or len(set(names)) < len(names) or not all(names):
        mistaken(f"--classes {said[:100]}: expected a file, or two or more names")
    return names


def setup_of(
    arguments: argparse.Namespace, classes: tuple[str, ...] | None, embedding_size: int | None
) -> Setup:
    """The setup; what is wrong with it is a mistake in the command."""
    wanted = wanted_of(arguments)
    fields: dict[str, Any] = {
        "scores": "probabilities" if arguments.probabilities else "logits",
        "classes": classes,
        "metrics": _metrics(arguments.metric),
        "slices": wanted.slices,
        "has_ids": wanted.id is not None,
        "has_weights": wanted.weight is not None,
        "embedding_size": embedding_size,
    }
    fields |= {"loss": arguments.loss} if arguments.loss else {}
    fields |= {} if arguments.params is None else {"params": arguments.params}
    fields |= dict(_field(arguments, each, fields) for each in arguments.set)
    try:
        setup = Setup(**fields)
        State(setup)  # it knows which losses there are
        for metric in metrics_of(setup):
            metric.start(setup, max(2, len(classes or ())))
    except ValidationError as err:
        first = err.errors(include_url=False)[0]
        place = ".".join(str(part) for part in first["loc"])
        mistaken(f"{place}: {first['msg']}")
    except LossdError as err:
        mistaken(explain(err))
    return setup


def _metrics(names: list[str]) -> tuple[str, ...] | None:
    if not names:
        return None
    found: list[str] = []
    for name in names:
        default = [each.name for each in METRICS.values() if each.default]
        found += default if name == _DEFAULT else [name]
    return tuple(dict.fromkeys(found))


def _field(arguments: argparse.Namespace, text: str, taken: dict[str, Any]) -> tuple[str, Any]:
    name, equals, value = text.partition("=")
    if not equals or name not in Setup.model_fields or name in taken:
        others = ", ".join(each for each in Setup.model_fields if each not in taken)
        mistaken(f"--set {text[:100]}: expected NAME=VALUE, of {others}")
    try:
        found = json.loads(value)
        return name, tuple(found) if isinstance(found, list) else found
    except ValueError:
        return name, value
