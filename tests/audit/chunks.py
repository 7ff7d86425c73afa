"""Outputs of a made-up model, for tests of the audit."""

from collections.abc import Mapping
from typing import Any

import numpy as np
from numpy.typing import NDArray

from lossd.audit import Audit, Setup

Fields = Mapping[str, NDArray[Any]]


def outputs(rows: int, classes: int, *, seed: int = 0, skill: float = 2.0) -> dict[str, Any]:
    """Logits (float32) that know something of the labels, and labels."""
    random = np.random.default_rng(seed)
    labels = random.integers(0, classes, rows)
    logits = random.normal(size=(rows, classes))
    logits[np.arange(rows), labels] += skill
    return {"scores": logits.astype(np.float32), "labels": labels}


def everything(rows: int, classes: int, *, seed: int = 0) -> dict[str, Any]:
    """The same with ids, weights, two slice columns and embeddings."""
    random = np.random.default_rng(seed + 1)
    return outputs(rows, classes, seed=seed) | {
        "ids": np.array([f"row {i}" for i in random.permutation(rows)]),
        "weights": random.exponential(size=rows),
        "slices": {
            "country": np.array(["de", "fr", "pt", "se", "tr"])[random.integers(0, 5, rows)],
            "device": random.integers(0, 40, rows),
        },
        "embeddings": random.normal(size=(rows, 3)).astype(np.float32),
    }


def setup_of_everything(**options: Any) -> Setup:
    """What `everything` is audited with."""
    return Setup(
        has_ids=True,
        has_weights=True,
        slices=("country", "device"),
        embedding_size=3,
        **options,
    )


def some(fields: Mapping[str, Any], which: Any) -> dict[str, Any]:
    """The same fields of some rows."""
    return {
        key: some(each, which) if isinstance(each, Mapping) else each[which]
        for key, each in fields.items()
    }


def audited(setup: Setup, *parts: Mapping[str, Any], threads: int = 1) -> Audit:
    """An audit that was fed the parts, one after another."""
    audit = Audit(setup, threads=threads)
    for part in parts:
        audit.add(**part)
    audit.close()
    return audit
