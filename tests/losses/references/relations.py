"""Losses that compare the rows of a batch: relational distillation, relativistic games."""

from typing import Any

import numpy as np
import torch
from mpmath import mp, mpf
from torch import Tensor

from references._mp_arrays import array_case, exp, log_softmax
from references._torch import randoms, torch_case

TORCH = "torch 2.13.0"
PAPER = "paper only: mpmath 1.3.0"
WRT = ("student",)
PAIR: dict[str, Any] = {"student": randoms(801, 4, 2), "teacher": randoms(802, 4, 3)}
SCALES: dict[str, Any] = {
    "student": [[3e15, 1e15], [1e15, -2e15], [0.5e15, 4e15]],
    "teacher": [[3e-30, 1e-30], [1e-30, -2e-30], [2.5e-30, 4e-30]],
}
SAME: dict[str, Any] = {
    "student": [[1.0, 2.0], [1.0, 2.0], [0.5, -1.0]],
    "teacher": [[1.0, 0.0], [0.5, 2.0], [0.5, 2.0]],
}


def length(x: Any) -> Any:
    return mp.sqrt(mp.fsum(v * v for v in x))


def smooth_l1(x: Any) -> Any:
    return x * x / 2 if abs(x) < 1 else abs(x) - mpf(1) / 2


def _scaled_distances(x: Any) -> Any:
    n = len(x)
    found = np.array([[length(x[i] - x[j]) for j in range(n)] for i in range(n)], dtype=object)
    apart = [d for d in found.flat if d]
    return found / (mp.fsum(apart) / len(apart)) if apart else found


def _distance(params: Any, student: Any, teacher: Any) -> Any:
    apart = _scaled_distances(student) - _scaled_distances(teacher)
    return np.frompyfunc(smooth_l1, 1, 1)(apart).sum(axis=1) / len(student)


def _cosine(a: Any, b: Any) -> Any:
    size = length(a) * length(b)
    return (a * b).sum() / size if size else mpf(0)


def _angle(params: Any, student: Any, teacher: Any) -> Any:
    n = len(student)
    return np.array([
        mp.fsum(
            smooth_l1(
                _cosine(student[j] - student[i], student[k] - student[i])
                - _cosine(teacher[j] - teacher[i], teacher[k] - teacher[i])
            )
            for j in range(n) for k in range(n)
        ) / n**2
        for i in range(n)
    ], dtype=object)  # fmt: skip


def still(case: dict[str, Any], rows: tuple[int, ...]) -> dict[str, Any]:
    for row in rows:
        case["gradients"]["student"][row] = [0.0] * len(case["gradients"]["student"][row])
    return case


def relational_distance() -> list[dict[str, Any]]:
    # Rows 0 and 1 of the student are at one place; the teacher's distance there is a constant.
    apart = {"student": [[1.0, 2.0], [4.0, 6.0]], "teacher": [[0.0], [1.0]]}
    return [
        array_case(f"smooth: {PAPER}", _distance, PAIR, wrt=WRT),
        array_case(f"{PAPER}, 1e15 and 1e-30", _distance, SCALES, wrt=WRT),
        still(array_case(f"{PAPER}, two rows", _distance, apart, wrt=WRT), (0, 1)),
    ]


def relational_angle() -> list[dict[str, Any]]:
    return [
        array_case(f"smooth: {PAPER}", _angle, PAIR, wrt=WRT),
        array_case(f"{PAPER}, 1e15 and 1e-30", _angle, SCALES, wrt=WRT),
        array_case(f"{PAPER}, three rows", _angle, {k: x[:3] for k, x in PAIR.items()}, wrt=WRT),
    ]


def similarity_preserving() -> list[dict[str, Any]]:
    def values(student: Tensor, teacher: Tensor) -> Tensor:
        g = [torch.nn.functional.normalize(x @ x.T, eps=0.0) for x in (student, teacher)]
        apart = torch.nn.functional.mse_loss(*g, reduction="none")
        return apart.sum(1) / len(student)

    zero = {"student": [[0.0, 0.0], [1.0, 2.0], [-0.5, 1.0]], "teacher": PAIR["teacher"][:3]}

    def formula(params: Any, student: Any, teacher: Any) -> Any:
        def rows(x: Any) -> Any:
            gram = x @ x.T
            return np.array([row / (length(row) or mpf(1)) for row in gram], dtype=object)

        return ((rows(student) - rows(teacher)) ** 2).sum(axis=1) / len(student)

    return [
        torch_case(f"smooth: {TORCH}", values, PAIR, wrt=WRT),
        array_case(f"{PAPER}, 1e15 and 1e-30", formula, SCALES, wrt=WRT),
        torch_case(f"{TORCH}, two rows at one place", values, SAME, wrt=WRT),
        _zero_row(array_case(f"{PAPER}, a row of zeros", formula, zero, wrt=())),
    ]


def _zero_row(case: dict[str, Any]) -> dict[str, Any]:
    """The gradients of all rows but the first, by torch without the first's similarities."""
    s = torch.tensor(case["inputs"]["student"], dtype=torch.float64)
    t = torch.tensor(case["inputs"]["teacher"], dtype=torch.float64)
    x = s[1:].clone().requires_grad_()
    target = torch.nn.functional.normalize(t @ t.T, eps=0.0)[1:]
    padded = torch.cat((torch.zeros(2, 1, dtype=torch.float64), x @ x.T), dim=1)
    apart = torch.nn.functional.normalize(padded, eps=0.0) - target
    (found,) = torch.autograd.grad(apart.square().sum() / 3, x)
    # A row of zeros may move: its inner products with the others do.
    y = torch.zeros(2, dtype=torch.float64, requires_grad=True)
    inner = torch.cat(((x.detach() @ y).unsqueeze(1), x.detach() @ x.detach().T), dim=1)
    apart = torch.nn.functional.normalize(inner, eps=0.0) - target
    (moved,) = torch.autograd.grad(apart.square().sum() / 3, y)
    case["gradients"] = {"student": [moved.tolist(), *found.tolist()]}
    return case


def probabilistic_transfer() -> list[dict[str, Any]]:
    def formula(params: Any, student: Any, teacher: Any) -> Any:
        choices = []
        for x in (teacher, student):
            n = len(x)
            kernel = [[(_cosine(x[i], x[j]) + 1) / 2 for j in range(n)] for i in range(n)]
            choices.append([[k / mp.fsum(row) for k in row] for row in kernel])
        return np.array([
            mp.fsum(p * mp.log(p / q) for p, q in zip(*rows, strict=True))
            for rows in zip(*choices, strict=True)
        ], dtype=object)  # fmt: skip

    opposite = {"student": [[1.0, 0.0], [-1.0, 0.0]], "teacher": [[1.0, 0.0], [0.0, 1.0]]}
    return [
        array_case(f"smooth: {PAPER}", formula, PAIR, wrt=WRT),
        array_case(f"{PAPER}, 1e15 and 1e-30", formula, SCALES, wrt=WRT),
        {"from": "by hand: the student puts rows opposite that the teacher does not",
         "inputs": opposite, "params": {}, "values": ["Infinity", "Infinity"],
         "gradients": {"student": [[0.0, 0.0], [0.0, 0.0]]}},
    ]  # fmt: skip


def dist() -> list[dict[str, Any]]:
    def correlation(a: Any, b: Any) -> Any:
        a, b = a - a.sum() / len(a), b - b.sum() / len(b)
        return _cosine(a, b)

    def formula(params: Any, student_logits: Any, teacher_logits: Any) -> Any:
        t = mpf(params.get("temperature", 1.0))
        q, p = (exp(log_softmax(z / t)) for z in (student_logits, teacher_logits))
        inter = [1 - correlation(a, b) for a, b in zip(q, p, strict=True)]
        intra = [1 - correlation(a, b) for a, b in zip(q.T, p.T, strict=True)]
        beta, gamma = mpf(params.get("beta", 1.0)), mpf(params.get("gamma", 1.0))
        mean = mp.fsum(intra) / len(intra)
        return t**2 * (beta * np.array(inter, dtype=object) + gamma * mean)

    wrt = ("student_logits",)
    logits = {"student_logits": randoms(803, 3, 4), "teacher_logits": randoms(804, 3, 4)}
    large = {"student_logits": [[50.0, 48.0, 47.0], [-120.0, -119.0, -118.5], [1e4, 9999.0, 9998]],
             "teacher_logits": randoms(805, 3, 3)}  # fmt: skip
    warm = {"temperature": 4.0, "beta": 2.0, "gamma": 0.5}
    return [
        array_case(f"smooth: {PAPER}", formula, logits, wrt=wrt),
        array_case(f"{PAPER}, temperature 4", formula, logits, warm, wrt=wrt),
        array_case(f"{PAPER}, logits to 1e4", formula, large, wrt=wrt),
    ]


def _lead_cost(kind: str, x: Any) -> Any:
    if kind == "hinge":
        return max(mpf(0), 1 - x)
    return (x - 1) ** 2 if kind == "least_squares" else mp.log1p(mp.exp(-x))


def _pairs(params: Any, real_scores: Any, fake_scores: Any) -> Any:
    sign = -1 if params.get("player") == "generator" else 1
    kind = params.get("kind", "logistic")
    return np.array([_lead_cost(kind, sign * x) for x in real_scores - fake_scores], dtype=object)


def _averages(params: Any, real_scores: Any, fake_scores: Any) -> Any:
    sign = -1 if params.get("player") == "generator" else 1
    kind, n = params.get("kind", "logistic"), len(real_scores)
    real, fake = real_scores.sum() / n, fake_scores.sum() / n
    return np.array([
        _lead_cost(kind, sign * (r - fake)) + _lead_cost(kind, sign * (real - f))
        for r, f in zip(real_scores, fake_scores, strict=True)
    ], dtype=object)  # fmt: skip


def games(formula: Any) -> list[dict[str, Any]]:
    wrt = ("real_scores", "fake_scores")
    scores = {"real_scores": [1.5, 0.25, -0.75], "fake_scores": [-0.5, 0.375, 2.0]}
    far = {"real_scores": [1e4, -50.0, 120.0], "fake_scores": [-1e4, 50.0, 0.0]}
    generator = {"kind": "hinge", "player": "generator"}
    return [
        array_case(f"smooth: {PAPER}", formula, scores, wrt=wrt),
        array_case(f"{PAPER}, least squares", formula, scores, {"kind": "least_squares"}, wrt=wrt),
        array_case(f"{PAPER}, hinge, generator", formula, scores, generator, wrt=wrt),
        array_case(f"{PAPER}, scores to 1e4", formula, far, {"player": "generator"}, wrt=wrt),
    ]


def relativistic_gan() -> list[dict[str, Any]]:
    return games(_pairs)


def relativistic_average_gan() -> list[dict[str, Any]]:
    return games(_averages)


CASES = {
    "relational_distance": relational_distance,
    "relational_angle": relational_angle,
    "similarity_preserving": similarity_preserving,
    "probabilistic_transfer": probabilistic_transfer,
    "dist": dist,
    "relativistic_gan": relativistic_gan,
    "relativistic_average_gan": relativistic_average_gan,
}
