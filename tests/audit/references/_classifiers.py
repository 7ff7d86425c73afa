"""Small outputs of made-up classifiers, for the reference values."""

from typing import Any

import numpy as np
from numpy.typing import NDArray

Outputs = tuple[NDArray[Any], NDArray[Any]]


def logits(seed: int, rows: int, classes: int, *, heat: float = 1.0) -> Outputs:
    """Logits, in multiples of 2^-10, and labels. They are too large by the factor `heat`."""
    random = np.random.default_rng(seed)
    z = 2 * random.normal(size=(rows, classes))
    labels = (z + random.gumbel(size=z.shape)).argmax(1)
    return np.rint(heat * z * 1024) / 1024, labels


def probabilities(seed: int, rows: int, classes: int) -> Outputs:
    """Probabilities and labels, which take them too seriously."""
    random = np.random.default_rng(seed)
    p = random.dirichlet(np.full(classes, 0.5), rows)
    labels = (np.log(p) / 2 + random.gumbel(size=p.shape)).argmax(1)
    return p, labels


def coarse(seed: int, rows: int, classes: int) -> Outputs:
    """Probabilities in multiples of 1 / 20, and labels."""
    p, labels = probabilities(seed, rows, classes)
    parts = np.floor(p * 20)
    parts[np.arange(rows), p.argmax(1)] += 20 - parts.sum(1)
    return parts / 20, labels


def softmax(z: NDArray[Any]) -> NDArray[Any]:
    e = np.exp(z - z.max(1, keepdims=True))
    return e / e.sum(1, keepdims=True)


def case(source: str, outputs: Outputs, kind: str, expected: dict[str, Any]) -> dict[str, Any]:
    """A case as it is written."""
    scores, labels = outputs
    return {
        "from": source,
        "scores": kind,
        "rows": scores.tolist(),
        "labels": labels.tolist(),
        "expected": expected,
    }
