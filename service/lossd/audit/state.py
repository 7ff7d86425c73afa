"""The state of an audit: what rows are folded into. One file; states merge in any order."""

import json
from collections.abc import Mapping
from typing import Any

import numpy as np
from numpy.typing import NDArray
from pydantic import ValidationError
from safetensors import SafetensorError
from safetensors.numpy import load as load_tensors
from safetensors.numpy import save as save_tensors

from lossd.audit.chunk import MOST_CLASSES, Chunk
from lossd.audit.metrics import Metric, metrics_of
from lossd.audit.pieces import Piece
from lossd.audit.row_losses import row_loss_of
from lossd.audit.rows import measure
from lossd.audit.setup import Setup
from lossd.errors import BadOption, BadRequest, UnreadableBody, WrongShape

VERSION = 1
_HEAD = "lossd_audit"


class State:
    """A setup, how many classes there are (None before the first row), and pieces by metric.

    Raises `BadOption`, `BadParams` where metrics or the loss are none that can be.
    """

    def __init__(self, setup: Setup) -> None:
        self.setup = setup
        self.metrics: tuple[Metric, ...] = metrics_of(setup)
        self._loss = row_loss_of(setup)
        self.classes = None if setup.classes is None else len(setup.classes)
        self.rows = 0  # usable ones
        self.pieces: dict[str, dict[str, Piece]] = {}

    def add(self, chunk: Chunk) -> None:
        """Fold rows in. Raises `WrongShape` where their classes are not those of earlier ones."""
        self._have_classes(chunk.scores.shape[1])
        rows = measure(chunk, self.setup.scores, self._loss)
        self.rows += len(rows)
        for metric in self.metrics:
            metric.add(self.pieces[metric.name], rows, self.setup)

    def merge(self, other: "State") -> None:
        """Fold another state in. Raises `BadOption`, `WrongShape` where it is of another audit."""
        if other.setup != self.setup:
            raise BadOption(
                "states of different audits do not merge",
                at="state.setup",
                expected=_difference(self.setup, other.setup),
                got=_difference(other.setup, self.setup),
            )
        if not other.pieces:
            return
        assert other.classes is not None
        self._have_classes(other.classes)
        self.rows += other.rows
        for name, pieces in other.pieces.items():
            for key, piece in pieces.items():
                self.pieces[name][key].merge(piece)

    def save(self) -> bytes:
        """One safetensors file; states of the same rows are the same bytes."""
        tensors: dict[str, NDArray[Any]] = {}
        for name, pieces in self.pieces.items():
            for key, piece in pieces.items():
                for part, array in piece.arrays().items():
                    tensors[f"{name}/{key}/{part}"] = np.ascontiguousarray(array)
        head = {
            "version": VERSION,
            "setup": self.setup.model_dump(mode="json"),
            "classes": self.classes,
            "rows": self.rows,
            "started": bool(self.pieces),
        }
        return save_tensors(tensors, {_HEAD: json.dumps(head, sort_keys=True)})

    def _have_classes(self, classes: int) -> None:
        if self.classes is None:
            self.classes = classes
        if classes != self.classes:
            raise WrongShape(
                "the number of classes changed",
                at="scores",
                expected=str(self.classes),
                got=str(classes),
            )
        if not self.pieces:
            self.pieces = {each.name: each.start(self.setup, classes) for each in self.metrics}


def load(content: bytes, at: str = "state") -> State:
    """A state from its file. Raises `UnreadableBody` where the bytes are none."""
    try:
        tensors = load_tensors(content)
        head = _head_of(content)
        if head["version"] != VERSION:
            raise ValueError(f"version {head['version']}; this lossd reads {VERSION}")
        state = State(Setup.model_validate_json(json.dumps(head["setup"])))
        if head["started"]:
            _fill(state, head, tensors)
    except (SafetensorError, ValidationError, BadRequest, ValueError, KeyError, TypeError) as err:
        raise UnreadableBody(f"not a state of an audit: {err}"[:300], at=at) from err
    return state


def _fill(state: State, head: Mapping[str, Any], tensors: Mapping[str, NDArray[Any]]) -> None:
    classes, rows = head["classes"], head["rows"]
    if type(classes) is not int or type(rows) is not int or not 1 < classes <= MOST_CLASSES:
        raise ValueError("no such number of classes or rows")
    state._have_classes(classes)
    state.rows = rows
    for name, pieces in state.pieces.items():
        for key, piece in pieces.items():
            start = f"{name}/{key}/"
            own = {k.removeprefix(start): x for k, x in tensors.items() if k.startswith(start)}
            piece.restore(own)


def _head_of(content: bytes) -> dict[str, Any]:
    size = int.from_bytes(content[:8], "little")
    head = json.loads(content[8 : 8 + size])["__metadata__"][_HEAD]
    found: dict[str, Any] = json.loads(head)
    return found


def _difference(setup: Setup, other: Setup) -> str:
    """The fields that differ, as this one has them."""
    theirs = other.model_dump(mode="json")
    own = {key: x for key, x in setup.model_dump(mode="json").items() if x != theirs[key]}
    return json.dumps(own)[:300]
