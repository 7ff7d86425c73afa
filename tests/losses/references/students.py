"""Losses of distillation beyond Hinton's: torch where it has the parts, else mpmath."""

from typing import Any

import numpy as np
import torch
from mpmath import mp, mpf
from torch import Tensor

from references._mp_arrays import array_case, exp, log, log1p, log_softmax
from references._torch import randoms, torch_case

TORCH = "torch 2.13.0"
PAPER = "paper only: mpmath 1.3.0"
WRT = ("student_logits",)
TAUGHT: dict[str, Any] = {
    "student_logits": randoms(501, 3, 4), "teacher_logits": randoms(502, 3, 4), "labels": [0, 3, 1]
}  # fmt: skip
FAR: dict[str, Any] = {
    "student_logits": [[1e4, -1e4, 0.0], [50.0, -50.0, 120.0]],
    "teacher_logits": [[50.0, 120.0, 0.0], [1e4, 0.0, -1e4]],
    "labels": [0, 2],
}


def of(x: dict[str, Any], *names: str) -> dict[str, Any]:
    return {name: x[name] for name in names}


def divergence(log_p: Any, log_q: Any) -> Any:
    return (exp(log_p) * (log_p - log_q)).sum(axis=1)


def split(z: Any, labels: Any) -> tuple[Any, Any]:
    """Of each row: the log-probabilities of the label and of all others; those of the others."""
    log_p = log_softmax(z)
    sure, rest = [], []
    for row, y in zip(log_p, labels, strict=True):
        other = [x for k, x in enumerate(row) if k != y]
        total = mp.log(mp.fsum(mp.exp(x) for x in other))
        sure.append([row[y], total])
        rest.append([x - total for x in other])
    return np.array(sure, dtype=object), np.array(rest, dtype=object)


def _decoupled(params: Any, student_logits: Any, teacher_logits: Any, labels: Any) -> Any:
    t = mpf(params.get("temperature", 4.0))
    (sure, rest), (q_sure, q_rest) = (
        split(z / t, labels) for z in (teacher_logits, student_logits)
    )
    alpha, beta = mpf(params.get("alpha", 1.0)), mpf(params.get("beta", 8.0))
    return t**2 * (alpha * divergence(sure, q_sure) + beta * divergence(rest, q_rest))


def decoupled_distillation() -> list[dict[str, Any]]:
    equal = {"temperature": 1.0, "alpha": 1.0, "beta": 0.5}
    return [
        array_case(f"smooth: {PAPER}", _decoupled, TAUGHT, wrt=WRT),
        array_case(f"{PAPER}, logits of 1e4", _decoupled, FAR, wrt=WRT),
        array_case(f"{PAPER}, other weights", _decoupled, TAUGHT, equal, wrt=WRT),
    ]


def normalized_distillation() -> list[dict[str, Any]]:
    def formula(params: Any, student_logits: Any, teacher_logits: Any, labels: Any) -> Any:
        t = mpf(params.get("temperature", 1.0))
        (sure, _), (q_sure, _) = (split(z, labels) for z in (teacher_logits, student_logits))
        (_, rest), (_, q_rest) = (split(z / t, labels) for z in (teacher_logits, student_logits))
        other = -(exp(rest) * q_rest).sum(axis=1)
        return -exp(sure[:, 0]) * q_sure[:, 0] + mpf(params.get("gamma", 1.5)) * t**2 * other

    warm = {"temperature": 4.0, "gamma": 0.5}
    return [
        array_case(f"smooth: {PAPER}", formula, TAUGHT, wrt=WRT),
        array_case(f"{PAPER}, temperature 4", formula, TAUGHT, warm, wrt=WRT),
        array_case(f"{PAPER}, logits of 1e4", formula, FAR, wrt=WRT),
    ]


def logit_standardization() -> list[dict[str, Any]]:
    def values(temperature: float) -> Any:
        def of_logits(student_logits: Tensor, teacher_logits: Tensor) -> Tensor:
            logs = []
            for z in (student_logits, teacher_logits):
                spread, mean = torch.std_mean(z, dim=1, correction=0, keepdim=True)
                logs.append(torch.log_softmax((z - mean) / spread / temperature, 1))
            found = torch.nn.functional.kl_div(*logs, reduction="none", log_target=True)
            return temperature**2 * found.sum(1)

        return of_logits

    both, far = (of(x, "student_logits", "teacher_logits") for x in (TAUGHT, FAR))
    flat = {"student_logits": [[2.0, 2.0, 2.0]], "teacher_logits": [[3.0, 0.5, 1.0]]}

    def even(params: Any, student_logits: Any, teacher_logits: Any) -> Any:
        mean = teacher_logits.sum(axis=1) / 3
        spread = mp.sqrt(((teacher_logits - mean) ** 2).sum() / 3)
        log_p = log_softmax((teacher_logits - mean) / spread / 2)
        return 4 * divergence(log_p, log_softmax(0 * student_logits))

    return [
        torch_case(f"smooth: {TORCH}", values(2.0), both, wrt=WRT),
        torch_case(f"{TORCH}, temperature 0.5", values(0.5), both, {"temperature": 0.5}, wrt=WRT),
        torch_case(f"{TORCH}, logits of 1e4", values(2.0), far, wrt=WRT),
        array_case(f"{PAPER}, equal logits", even, flat, wrt=(),
                   kinks={"student_logits": [[0.0] * 3]}),
    ]  # fmt: skip


def attention_transfer() -> list[dict[str, Any]]:
    def values(exponent: float) -> Any:
        def of_maps(student: Tensor, teacher: Tensor) -> Tensor:
            maps = [
                torch.nn.functional.normalize(x.abs().pow(exponent).mean(1).flatten(1), eps=0.0)
                for x in (student, teacher)
            ]
            return torch.nn.functional.mse_loss(*maps, reduction="none").mean(1)

        return of_maps

    def formula(params: Any, student: Any, teacher: Any) -> Any:
        maps = []
        for x in (student, teacher):
            q = (x**2).sum(axis=1).reshape(len(x), -1)
            length = np.array([[mp.sqrt(mp.fsum(v * v for v in row)) or mpf(1)] for row in q])
            maps.append(q / length)
        return ((maps[0] - maps[1]) ** 2).sum(axis=1) / maps[0].shape[1]

    maps = {"student": randoms(503, 2, 2, 2, 2), "teacher": randoms(504, 2, 3, 2, 2)}
    size = {"student": [[[0.0, 0.0]], [[3e-30, 1e-30]], [[1e15, 2e15]]],
            "teacher": [[[1.0, 2.0]], [[1e-30, 2e-30]], [[0.0, 0.0]]]}  # fmt: skip
    found = array_case(f"{PAPER}, zeros, 1e-30 and 1e15", formula, size, wrt=("student",))
    found["gradients"]["student"][0] = [[0.0, 0.0]]
    return [
        torch_case(f"smooth: {TORCH}", values(2.0), maps, wrt=("student",)),
        torch_case(f"{TORCH}, exponent 4", values(4.0), maps, {"exponent": 4.0}, wrt=("student",)),
        found,
    ]


def margin_mse() -> list[dict[str, Any]]:
    def values(**x: Tensor) -> Tensor:
        return torch.nn.functional.mse_loss(
            x["positive_scores"] - x["negative_scores"],
            x["teacher_positive_scores"] - x["teacher_negative_scores"],
            reduction="none",
        )

    names = ("positive_scores", "negative_scores")
    all_names = (*names, "teacher_positive_scores", "teacher_negative_scores")
    scores = {name: randoms(505 + i, 4) for i, name in enumerate(all_names)}
    several = {name: randoms(510 + i, 2, 3) for i, name in enumerate(all_names)}
    far = dict(zip(all_names, ([1e4, -1e4], [0.5, 1e4], [0.0, 1e-3], [1e4, 0.0]), strict=True))
    return [
        torch_case(f"smooth: {TORCH}", values, scores, wrt=names),
        torch_case(f"{TORCH}, several negatives", values, several, wrt=names),
        torch_case(f"{TORCH}, scores of 1e4", values, far, wrt=names),
    ]


def variational_information() -> list[dict[str, Any]]:
    def formula(params: Any, student: Any, teacher: Any, alpha: Any) -> Any:
        least = mpf(params.get("least_variance", 1e-5))
        variance = (log1p(exp(alpha)) + least).reshape(1, -1, 1)
        apart = (teacher - student).reshape(*student.shape[:2], -1)
        each = (log(variance) + apart**2 / variance) / 2
        return each.sum(axis=(1, 2)) / (each.shape[1] * each.shape[2])

    def values(student: Tensor, teacher: Tensor, alpha: Tensor) -> Tensor:
        variance = (torch.nn.functional.softplus(alpha) + 1e-5).view(1, -1, 1).expand_as(student)
        found = torch.nn.functional.gaussian_nll_loss(
            student, teacher, variance, eps=0.0, reduction="none"
        )
        return found.mean((1, 2))

    wrt = ("student", "alpha")
    maps = {"student": randoms(515, 2, 2, 3), "teacher": randoms(516, 2, 2, 3)}
    far = {"student": [[1e4, 0.5]], "teacher": [[-1e4, 0.25]], "alpha": [-1e4, 120.0]}
    return [
        torch_case(f"smooth: {TORCH}", values, {**maps, "alpha": [0.5, -1.25]}, wrt=wrt),
        array_case(f"{PAPER}, least variance 1", formula, {**maps, "alpha": [-3.0, 2.0]},
                   {"least_variance": 1.0}, wrt=wrt),
        array_case(f"{PAPER}, 1e4", formula, far, {"least_variance": 0.5}, wrt=wrt),
    ]  # fmt: skip


def channel_wise_distillation() -> list[dict[str, Any]]:
    def formula(params: Any, student: Any, teacher: Any) -> Any:
        t = mpf(params.get("temperature", 4.0))
        flat = (x.reshape(-1, np.prod(x.shape[2:], dtype=int)) / t for x in (teacher, student))
        found = divergence(*(log_softmax(x) for x in flat)).reshape(student.shape[:2])
        return t**2 * found.sum(axis=1) / student.shape[1]

    def values(student: Tensor, teacher: Tensor) -> Tensor:
        logs = (torch.log_softmax(x.flatten(2) / 4, 2) for x in (student, teacher))
        found = torch.nn.functional.kl_div(*logs, reduction="none", log_target=True)
        return 16 * found.sum(2).mean(1)

    maps = {"student": randoms(517, 2, 2, 2, 2), "teacher": randoms(518, 2, 2, 2, 2)}
    far = {"student": [[[1e4, -1e4], [50.0, 0.0]]], "teacher": [[[0.0, 120.0], [50.0, -50.0]]]}
    return [
        torch_case(f"smooth: {TORCH}", values, maps, wrt=("student",)),
        array_case(f"{PAPER}, 1e4", formula, far, wrt=("student",)),
        array_case(f"{PAPER}, temperature 1", formula, maps, {"temperature": 1.0},
                   wrt=("student",)),
    ]  # fmt: skip


CASES = {
    "decoupled_distillation": decoupled_distillation,
    "normalized_distillation": normalized_distillation,
    "logit_standardization": logit_standardization,
    "attention_transfer": attention_transfer,
    "margin_mse": margin_mse,
    "variational_information": variational_information,
    "channel_wise_distillation": channel_wise_distillation,
}
