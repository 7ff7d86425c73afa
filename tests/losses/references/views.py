"""Losses of two views: contrastive with corrections, and those without negatives."""

from typing import Any

import jax.numpy as jnp
import optax
import torch
import torch.nn.functional as F
from mpmath import mp, mpf
from torch import Tensor

from references._jax import jax_case
from references._mp import batch_case, log_softmax
from references._torch import module_alone, randoms, torch_case
from references.labelled import DIGITS, FAR, gram, lse, unit_rows

LIGHTLY = "lightly 1.6.0"
BarlowTwinsLoss = module_alone("lightly", "loss/barlow_twins_loss.py").BarlowTwinsLoss
DCLLoss = module_alone("lightly", "loss/dcl_loss.py").DCLLoss
HypersphereLoss = module_alone("lightly", "loss/hypersphere_loss.py").HypersphereLoss
SwaVLoss = module_alone("lightly", "loss/swav_loss.py").SwaVLoss
VICRegLoss = module_alone("lightly", "loss/vicreg_loss.py").VICRegLoss
sinkhorn = module_alone("lightly", "loss/swav_loss.py").sinkhorn
LEFT, RIGHT = randoms(351, 4, 3), randoms(352, 4, 3)
VIEWS = {"left": LEFT, "right": RIGHT}
WRT = ("left", "right")
FAR_VIEWS = {"left": FAR, "right": FAR[::-1]}
ALONE = {
    "from": "by hand: a row alone has nothing to be told from",
    "inputs": {"left": [[1.0, 2.0]], "right": [[-1.0, 0.5]]},
    "params": {},
    "values": [0.0],
    "gradients": {"left": [[0.0, 0.0]], "right": [[0.0, 0.0]]},
}


def _views(source: str, f: Any, given: Any = VIEWS, **params: Any) -> dict[str, Any]:
    return batch_case(f"{source}{DIGITS}", f, given, params, wrt=WRT)


def _both(params: Any, left: Any, right: Any) -> Any:
    """Of each of all views: the similarity to its partner, and those to views of other rows."""
    both = [*left, *right]
    if params.get("normalize", True):
        both = unit_rows(both)
    n = len(left)
    for a, row in enumerate(gram(both, both)):
        yield row[(a + n) % (2 * n)], [s for b, s in enumerate(row) if b % n != a % n]


def _halves(x: list[Any]) -> list[Any]:
    n = len(x) // 2
    return [(a + b) / 2 for a, b in zip(x[:n], x[n:], strict=True)]


def decoupled_contrastive() -> list[dict[str, Any]]:
    def f(params: Any, left: Any, right: Any) -> list[Any]:
        t = mpf(params.get("temperature", 0.1))
        both = _both(params, left, right)
        return _halves([lse([z / t for z in others]) - s / t for s, others in both])

    def checked(given: Any, **params: Any) -> dict[str, Any]:
        made = _views(f"smooth: mean checked with {LIGHTLY} DCLLoss; ", f, given, **params)
        loss = DCLLoss(temperature=params.get("temperature", 0.1))
        mean = loss(*(torch.tensor(x).double() for x in given.values()))
        assert abs(mean.item() - sum(made["values"]) / len(made["values"])) < 1e-10
        return made

    return [
        checked(VIEWS),
        checked(VIEWS, temperature=0.5),
        _views("smooth: not normalised, ", f, temperature=2.0, normalize=False),
        _views("lengths from 1e-12 to 1e4, ", f, FAR_VIEWS),
        ALONE,
    ]


def debiased_contrastive() -> list[dict[str, Any]]:
    def f(params: Any, left: Any, right: Any) -> list[Any]:
        t, rate = mpf(params.get("temperature", 0.5)), mpf(params.get("positive_rate", 0.1))
        beta = mpf(params.get("beta", 0.0))
        values = []
        for s, others in _both(params, left, right):
            positive, negative = mp.exp(s / t), [mp.exp(z / t) for z in others]
            weight = [z**beta for z in negative]
            mean = sum(w * z for w, z in zip(weight, negative, strict=True)) / sum(weight)
            g = max((mean - rate * positive) / (1 - rate), mp.exp(-1 / t))
            values.append(mp.log1p(len(others) * g / positive))
        return _halves(values)

    only = "paper only: "
    return [
        _views(f"smooth: {only}", f),
        _views(f"smooth: {only}", f, positive_rate=0.25, beta=1.5, temperature=0.25),
        _views(f"smooth: {only}no correction, ", f, positive_rate=0.0),
        _views(f"{only}lengths from 1e-12 to 1e4, ", f, FAR_VIEWS),
        _views(f"{only}at the floor, ", f, VIEWS | {"right": LEFT}, positive_rate=0.5),
        ALONE,
    ]


def hard_negative_nce() -> list[dict[str, Any]]:
    def f(params: Any, left: Any, right: Any) -> list[Any]:
        t, alpha = mpf(params.get("temperature", 0.07)), mpf(params.get("alpha", 1.0))
        beta = mpf(params.get("beta", 0.25))
        if params.get("normalize", True):
            left, right = unit_rows(left), unit_rows(right)
        halves = []
        for x, y in ((left, right), (right, left)):
            values = []
            for i, row in enumerate(gram(x, y)):
                own = mp.exp(row[i] / t)
                negative = [mp.exp(s / t) for j, s in enumerate(row) if j != i]
                weight = [z**beta for z in negative]
                scale = len(negative) / sum(weight)
                total = sum(w * z for w, z in zip(weight, negative, strict=True)) * scale
                values.append(-mp.log(own / (alpha * own + total)))
            halves.append(values)
        return [(a + b) / 2 for a, b in zip(*halves, strict=True)]

    only = "paper only: "
    return [
        _views(f"smooth: {only}", f, temperature=0.5),
        _views(f"smooth: {only}", f, alpha=0.0, beta=1.0, temperature=0.25),
        _views(f"smooth: {only}not normalised, ", f, normalize=False, temperature=2.0),
        _views(f"{only}lengths from 1e-12 to 1e4, ", f, FAR_VIEWS),
        ALONE,
    ]


def rince() -> list[dict[str, Any]]:
    def f(params: Any, left: Any, right: Any) -> list[Any]:
        t, q = mpf(params.get("temperature", 0.1)), mpf(params.get("q", 0.5))
        density = mpf(params.get("density", 0.025))
        values = []
        for i, row in enumerate(gram(unit_rows(left), unit_rows(right))):
            total = sum(mp.exp(s / t) for s in row)
            values.append(-mp.exp(q * row[i] / t) / q + (density * total) ** q / q)
        return values

    only = "paper only: "
    return [
        _views(f"smooth: {only}", f, temperature=0.5),
        _views(f"smooth: {only}", f, q=1.0, density=0.5, temperature=0.25),
        _views(f"{only}lengths from 1e-12 to 1e4, ", f, FAR_VIEWS),
    ]


def negative_cosine_similarity() -> list[dict[str, Any]]:
    def case(source: str, given: Any, detach: bool, squared: bool) -> dict[str, Any]:
        params = {
            "form": "squared_distance" if squared else "negative_cosine",
            "target_gradient": "detached" if detach else "full",
        }

        def f(prediction: Tensor, target: Tensor) -> Tensor:
            wanted = target.detach() if detach else target
            if squared:
                apart = F.normalize(prediction) - F.normalize(wanted)
                return apart.square().sum(1) + 0 * target.sum()
            return -F.cosine_similarity(prediction, wanted) + 0 * target.sum()

        name = "F.normalize" if squared else "F.cosine_similarity"
        return torch_case(
            f"{source}torch 2.13.0 {name}", f, given, params, wrt=("prediction", "target")
        )

    given = {"prediction": LEFT, "target": RIGHT}
    rows = [[1e4, -1e4, 0.0], [0.0, 3.0, 4.0], [2.0**-10, 2.0**-11, 0.0]]
    return [
        case("", given, True, False),
        case("smooth: ", given, False, False),
        case("smooth: ", given, False, True),
        case("", given, True, True),
        case("lengths from 1e-3 to 1e4: ", {"prediction": rows, "target": rows[::-1]}, True, False),
    ]


def _rows_apart(x: Any, y: Any) -> list[Any]:
    pairs = zip(unit_rows(x), unit_rows(y), strict=True)
    return [sum((a - b) ** 2 for a, b in zip(p, q, strict=True)) for p, q in pairs]


def alignment() -> list[dict[str, Any]]:
    def f(params: Any, left: Any, right: Any) -> list[Any]:
        power = mpf(params.get("exponent", 2.0)) / 2
        return [d**power for d in _rows_apart(left, right)]

    made = _views(f"smooth: checked with {LIGHTLY} HypersphereLoss; ", f)
    spread = uniformity_of(LEFT, 1.0) / 2 + uniformity_of(RIGHT, 1.0) / 2
    x, y = (torch.tensor(each).double() for each in (LEFT, RIGHT))
    assert abs(HypersphereLoss()(x, y).item() - sum(made["values"]) / 4 - spread) < 1e-8
    same = {"left": [[1.0, 2.0], [0.0, 3.0]], "right": [[2.0, 4.0], [0.0, 1.0]]}
    return [
        made,
        _views("smooth: ", f, exponent=3.0),
        _views("lengths from 1e-12 to 1e4, ", f, FAR_VIEWS),
        {
            "from": "by hand: at distance 0 value and gradient are 0",
            "inputs": same,
            "params": {"exponent": 1.0},
            "values": [0.0, 0.0],
            "gradients": {"left": [[0.0, 0.0]] * 2, "right": [[0.0, 0.0]] * 2},
        },
    ]


def uniformity_of(embeddings: Any, t: Any) -> Any:
    x = unit_rows([[mpf(v) for v in row] for row in embeddings])
    terms = [
        -mpf(t) * sum((a - b) ** 2 for a, b in zip(x[i], x[j], strict=True))
        for i in range(len(x))
        for j in range(i)
    ]
    return lse(terms) - mp.log(len(terms))


def uniformity() -> list[dict[str, Any]]:
    def f(params: Any, embeddings: Any) -> Any:
        return uniformity_of(embeddings, params.get("t", 2.0))

    def case(source: str, embeddings: Any, **params: Any) -> dict[str, Any]:
        given = {"embeddings": embeddings}
        return batch_whole(f"{source}{DIGITS}", f, given, params, ("embeddings",))

    return [
        case(f"smooth: t = 1 is checked with {LIGHTLY} HypersphereLoss in alignment; ", LEFT),
        case("smooth: ", RIGHT, t=1.0),
        case("lengths from 1e-12 to 1e4, ", FAR, t=10.0),
        {
            "from": "by hand: a row alone has nobody to be apart from",
            "inputs": {"embeddings": [[1.0, 2.0]]},
            "params": {},
            "values": 0.0,
            "gradients": {"embeddings": [[0.0, 0.0]]},
        },
        {
            "from": "by hand: all rows in one point: 0, and no gradient, by ruling",
            "inputs": {"embeddings": [[1.0, 2.0], [2.0, 4.0]]},
            "params": {},
            "values": 0.0,
            "gradients": {"embeddings": [[0.0, 0.0]] * 2},
        },
    ]


def batch_whole(source: str, f: Any, given: Any, params: Any, wrt: tuple[str, ...]) -> Any:
    """A case of a loss with one value."""
    made = batch_case(source, lambda *x, **y: [f(*x, **y)], given, params, wrt=wrt)
    return made | {"values": made["values"][0]}


def _lightly(source: str, loss: Any, given: Any, params: dict[str, Any]) -> dict[str, Any]:
    return torch_case(
        f"{source}{LIGHTLY} {type(loss).__name__}",
        lambda left, right: loss(left, right),
        given,
        params,
        wrt=WRT,
    )


SMALL = {key: (torch.tensor(x) / 4).tolist() for key, x in VIEWS.items()}
LARGE = {"left": [[1e4, -1e4], [120.0, 50.0]], "right": [[1e4, 1.0], [-50.0, 2.0]]}


def vicreg() -> list[dict[str, Any]]:
    weights = {"invariance_weight": 2.0, "variance_weight": 3.0, "covariance_weight": 0.5}
    other = VICRegLoss(lambda_param=2.0, mu_param=3.0, nu_param=0.5)
    same = {"left": [[1.0, 2.0]] * 2, "right": [[0.5, 2.0]] * 2}
    return [
        _lightly("smooth: ", VICRegLoss(), SMALL, {}),
        _lightly("smooth: ", other, VIEWS, weights),
        _lightly("lengths to 1e4: ", VICRegLoss(), LARGE, {}),
        _lightly("no spread: ", VICRegLoss(), same, {}),
    ]


def barlow_twins() -> list[dict[str, Any]]:
    same = {"left": [[1.0, 2.0], [1.0, 4.0]], "right": [[0.5, 2.0], [0.5, 2.0]]}
    loss = BarlowTwinsLoss()
    return [
        _lightly("smooth: ", loss, VIEWS, {}),
        _lightly("smooth: ", BarlowTwinsLoss(0.25), SMALL, {"redundancy_weight": 0.25}),
        _lightly("lengths to 1e4: ", loss, {k: x[:3] for k, x in FAR_VIEWS.items()}, {}),
        _lightly("features that do not vary: ", loss, same, {}),
    ]


def dino() -> list[dict[str, Any]]:
    def case(source: str, given: dict[str, Any], student: float, teacher: float) -> dict[str, Any]:
        def f(student_scores: Tensor, teacher_scores: Tensor, center: Any = 0.0) -> Tensor:
            wanted = F.softmax((teacher_scores - center) / teacher, 1)
            return F.cross_entropy(student_scores / student, wanted, reduction="none")

        params = {"student_temperature": student, "teacher_temperature": teacher}
        made = torch_case(
            f"{source}torch 2.13.0 F.cross_entropy", f, given, params, wrt=("student_scores",)
        )
        scores = given["teacher_scores"]
        means = [sum(each) / mpf(len(scores)) for each in zip(*scores, strict=True)]
        old = given.get("center", [0.0] * len(means))
        moved = [9 * mpf(a) / 10 + b / 10 for a, b in zip(old, means, strict=True)]
        return made | {"state": {"center": [float(each) for each in moved]}}

    given = {"student_scores": LEFT, "teacher_scores": RIGHT}
    centred = given | {"center": [0.5, -0.25, 1.0]}
    large = {
        "student_scores": [[1e4, -50.0], [120.0, 0.0]],
        "teacher_scores": [[0.0, 1e4], [1.0, 1.0]],
    }
    return [
        case("smooth: ", centred, 0.5, 0.25),
        case("smooth: ", given, 0.1, 0.04),
        case("scores to 1e4: ", large, 0.1, 0.04),
    ]


def swav() -> list[dict[str, Any]]:
    def case(source: str, scores: Any, codes: Any, **params: Any) -> dict[str, Any]:
        temperature = params.get("temperature", 0.1)
        loss = SwaVLoss(temperature=temperature)

        def f(scores: Tensor, code_scores: Tensor) -> Tensor:
            q = sinkhorn(
                code_scores, params.get("iterations", 3), epsilon=params.get("epsilon", 0.05)
            )
            rows = zip(scores, q, strict=True)
            return torch.stack([loss.subloss(s[None], each[None]) for s, each in rows])

        given = {"scores": scores, "code_scores": codes}
        source = f"{source}{LIGHTLY} SwaVLoss and sinkhorn"
        return torch_case(source, f, given, params, wrt=("scores",))

    left, right = randoms(353, 4, 3, low=-1.0, high=1.0), randoms(354, 4, 3, low=-1.0, high=1.0)
    return [
        case("smooth: ", left, right),
        case("smooth: ", left, right, temperature=0.5, epsilon=0.25, iterations=10),
        case("scores to 1e4: ", [[1e4, -50.0], [120.0, 0.0]], [[1.0, -1.0], [0.5, 0.25]]),
    ]


def matryoshka_info_nce() -> list[dict[str, Any]]:
    def theirs(sizes: Any, temperature: float) -> Any:
        def f(left: Any, right: Any) -> Any:
            total = 0.0
            for size in sizes:
                x, y = (
                    each[:, :size] / jnp.linalg.norm(each[:, :size], axis=1, keepdims=True)
                    for each in (left, right)
                )
                own = jnp.arange(len(left))
                total += optax.softmax_cross_entropy_with_integer_labels(x @ y.T / temperature, own)
            return total

        return f

    name = "optax 0.2.8 softmax_cross_entropy_with_integer_labels, over prefixes"
    params = {"sizes": [1, 2, 3], "temperature": 0.5}

    def f(params: Any, left: Any, right: Any) -> list[Any]:
        total = [mpf(0)] * len(left)
        for size in params["sizes"]:
            x, y = (unit_rows([row[:size] for row in each]) for each in (left, right))
            scaled = [[s / mpf(params["temperature"]) for s in row] for row in gram(x, y)]
            for i, row in enumerate(scaled):
                back = [each[i] for each in scaled]
                total[i] -= (log_softmax(row)[i] + log_softmax(back)[i]) / 2
        return total

    return [
        jax_case(f"smooth: {name}", theirs((2, 3), 0.05), VIEWS, {"sizes": [2, 3]}, wrt=WRT),
        jax_case(f"smooth: {name}", theirs((1, 2, 3), 0.5), VIEWS, params, wrt=WRT),
        _views("smooth: symmetric, ", f, sizes=[2, 8], symmetric=True, temperature=0.5),
        _views(
            "lengths to 1e4, ",
            f,
            {"left": FAR[2:], "right": FAR[:1:-1]},
            sizes=[2],
            symmetric=True,
            temperature=0.5,
        ),
    ]


CASES = {
    "decoupled_contrastive": decoupled_contrastive,
    "debiased_contrastive": debiased_contrastive,
    "hard_negative_nce": hard_negative_nce,
    "rince": rince,
    "negative_cosine_similarity": negative_cosine_similarity,
    "alignment": alignment,
    "uniformity": uniformity,
    "vicreg": vicreg,
    "barlow_twins": barlow_twins,
    "dino": dino,
    "swav": swav,
    "matryoshka_info_nce": matryoshka_info_nce,
}
