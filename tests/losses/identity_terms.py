"""What the identities are written in: losses, random float64 inputs by kind, small terms."""

from collections.abc import Callable
from typing import Any

import torch
from torch import Tensor

from lossd.losses import CATALOG


def classes(**more: Tensor) -> Callable[[], dict[str, Any]]:
    return lambda: {
        "logits": 3 * torch.randn(7, 5, dtype=torch.float64),
        "labels": torch.randint(5, (7,)),
        **more,
    }


def dense() -> dict[str, Any]:
    logits = 3 * torch.randn(4, 5, 3, dtype=torch.float64)
    return {"logits": logits, "labels": torch.randint(-1, 5, (4, 3))}


def binary() -> dict[str, Any]:
    logits = 5 * torch.randn(6, 4, dtype=torch.float64)
    return {"logits": logits, "targets": torch.rand(6, 4, dtype=torch.float64)}


def regression() -> dict[str, Any]:
    return {key: 3 * torch.randn(6, 4, dtype=torch.float64) for key in ("prediction", "target")}


def close_regression() -> dict[str, Any]:
    made = regression()
    return made | {"prediction": made["target"] + 1e-5 * made["prediction"]}


def weights() -> dict[str, Any]:
    return {"weights": (torch.randn(3, 4, dtype=torch.float64), torch.randn(5).double())}


def pairs(**more: float) -> Callable[[], dict[str, Any]]:
    scalars = {key: torch.tensor(x, dtype=torch.float64) for key, x in more.items()}
    return lambda: {
        "queries": torch.randn(6, 3, dtype=torch.float64),
        "keys": torch.randn(6, 3, dtype=torch.float64),
        "negatives": torch.randn(4, 3, dtype=torch.float64),
        **scalars,
    }


def taught() -> dict[str, Any]:
    student, teacher = (3 * torch.randn(7, 5, dtype=torch.float64) for _ in range(2))
    return {"student": student, "teacher": teacher, "labels": torch.randint(5, (7,))}


def of(name: str, inputs: dict[str, Any], **params: Any) -> Tensor:
    """A loss's values."""
    spec = CATALOG[name]
    return spec.fn(**inputs, params=spec.params(**params))


def one_hot(x: dict[str, Any]) -> Tensor:
    return torch.nn.functional.one_hot(x["labels"], x["logits"].shape[1]).double()


def softly(x: dict[str, Any]) -> dict[str, Any]:
    rest = {key: each for key, each in x.items() if key != "labels"}
    return rest | {"target_probabilities": one_hot(x)}


def miss(x: dict[str, Any]) -> Tensor:
    return 1 - torch.softmax(x["logits"], 1).gather(1, x["labels"][:, None])[:, 0]


def cosines(left: Tensor, right: Tensor) -> Tensor:
    return torch.nn.functional.normalize(left) @ torch.nn.functional.normalize(right).T


def own(x: Tensor) -> Tensor:
    """Cross-entropy of a matrix whose right answers are its diagonal."""
    return of("cross_entropy", {"logits": x, "labels": torch.arange(len(x))})


def student(x: dict[str, Any], *, labels: bool = False) -> dict[str, Any]:
    made = {"student_logits": x["student"], "teacher_logits": x["teacher"]}
    return made | {"labels": x["labels"]} if labels else made


def by_pairs(x: dict[str, Any]) -> Tensor:
    logits = x["logit_scale"] * cosines(x["queries"], x["keys"]) + x["logit_bias"]
    targets = torch.eye(len(logits), dtype=torch.float64)
    return of("binary_cross_entropy_with_logits", {"logits": logits, "targets": targets}).sum(1)
