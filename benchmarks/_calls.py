"""The one computation that every contender does, and the check of what it answers."""

from dataclasses import dataclass

import numpy as np
import torch
from numpy.typing import NDArray


class WrongAnswer(Exception):
    """A contender computed something else than torch."""


@dataclass(frozen=True)
class Call:
    """Cross-entropy, mean over rows: logits float32 (rows, classes), labels int64 (rows,)."""

    logits: NDArray[np.float32]
    labels: NDArray[np.int64]
    wants_rows: bool

    @property
    def outputs(self) -> list[str]:
        return ["value", *(["rows"] if self.wants_rows else []), "gradients"]

    @property
    def tensors(self) -> dict[str, NDArray]:
        return {"logits": self.logits, "labels": self.labels}


@dataclass(frozen=True)
class Answer:
    value: float
    gradients: NDArray
    rows: NDArray | None = None


def call_of(rows: int, classes: int, *, wants_rows: bool = False) -> Call:
    """The same numbers for everyone."""
    random = np.random.default_rng(0)
    logits = (3 * random.standard_normal((rows, classes))).astype(np.float32)
    return Call(logits, random.integers(0, classes, rows), wants_rows)


def check(name: str, call: Call, answer: Answer) -> None:
    """Compare with torch's value, rows and gradients. Raises `WrongAnswer`."""
    logits = torch.from_numpy(call.logits).double().requires_grad_()
    labels = torch.from_numpy(call.labels)
    rows = torch.nn.functional.cross_entropy(logits, labels, reduction="none")
    (gradients,) = torch.autograd.grad(rows.mean(), logits)
    pairs = {"value": (answer.value, rows.mean()), "gradients": (answer.gradients, gradients)}
    if call.wants_rows:
        pairs["rows"] = (answer.rows, rows)
    for part, (got, want) in pairs.items():
        try:
            found = torch.as_tensor(np.array(got, np.float64))
            torch.testing.assert_close(found, want.detach(), rtol=1e-4, atol=1e-7)
        except (AssertionError, TypeError, ValueError) as err:
            raise WrongAnswer(f"{name}: {part}: {err}") from err
