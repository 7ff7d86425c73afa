"""What losses of classes, signs, sets of labels and distributions are in terms of each other."""

from typing import Any

import pytest
import torch
from identity_terms import binary, classes, of, one_hot, softly
from test_identities import Identity
from test_identities import test_two_losses_agree_where_mathematics_says_so as agree
from torch import Tensor

LOGITS, SCORES = ("logits",), ("scores",)


def signed() -> dict[str, Any]:
    return {
        "scores": 3 * torch.randn(6, 4, dtype=torch.float64),
        "labels": 2 * torch.randint(2, (6, 4)) - 1,
    }


def hard() -> dict[str, Any]:
    return binary() | {"targets": torch.randint(2, (6, 4)).double()}


def tagged() -> dict[str, Any]:
    return binary() | {"targets": torch.randint(2, (6, 4))}


def ranked() -> dict[str, Any]:
    return {"scores": torch.randn(7).double(), "is_positive": torch.tensor([1, 0, 0, 1, 0, 1, 1])}


def by_sign(x: dict[str, Any]) -> Tensor:
    targets = (x["labels"] > 0).double()
    return of("binary_cross_entropy_with_logits", {"logits": x["scores"], "targets": targets})


def by_element(x: dict[str, Any]) -> Tensor:
    inputs = {"logits": x["logits"], "targets": x["targets"].double()}
    return of("binary_cross_entropy_with_logits", inputs)


def as_scores(x: dict[str, Any]) -> dict[str, Any]:
    return {"scores": x["logits"], "labels": x["labels"]}


def at(x: dict[str, Any], temperature: float) -> dict[str, Any]:
    return x | {"temperature": torch.tensor(temperature, dtype=torch.float64)}


def by_ranks(x: dict[str, Any]) -> Tensor:
    positive = x["is_positive"] == 1
    first, second = torch.broadcast_tensors(x["scores"][positive][:, None], x["scores"][~positive])
    labels = torch.ones_like(first, dtype=torch.int64)
    pairs = {"first": first, "second": second, "labels": labels}
    return of("margin_ranking", pairs, margin=1.0).mean()


NEARLY = {"alpha": 1.0 + 1e-8}  # the difference is of that order
CE = ("cross_entropy", {})
FOCAL = {"gamma_below": 1.5, "gamma_above": 1.5}
SAME: list[tuple[str, dict[str, Any], str, dict[str, Any], Any, tuple[str, ...]]] = [
    ("perceptron", {}, "hinge", {"margin": 0.0}, signed, SCORES),
    ("multiclass_perceptron", {}, "multiclass_hinge", {"margin": 0.0}, classes(), LOGITS),
    ("poly_cross_entropy", {"epsilon": 0.0}, *CE, classes(), LOGITS),
    (
        "poly_binary_cross_entropy",
        {"epsilon": 0.0, "gamma": 2.0, "alpha": 0.25},
        "sigmoid_focal",
        {},
        binary,
        LOGITS,
    ),
    ("quality_focal", {}, "sigmoid_focal", {"alpha": None}, hard, LOGITS),
    (
        "varifocal",
        {"alpha": 1.0, "gamma": 0.0, "weight_by_quality": False},
        "binary_cross_entropy_with_logits",
        {},
        binary,
        LOGITS,
    ),
    (
        "asymmetric_single_label",
        {"label_smoothing": 0.0, "gamma_positive": 1.5},
        "focal",
        {"gamma": 1.5},
        classes(),
        LOGITS,
    ),
    ("flsd", FOCAL, "focal", {"gamma": 1.5}, classes(), LOGITS),
    ("dual_focal", {"gamma": 0.0}, *CE, classes(), LOGITS),
    ("margin_based_label_smoothing", {"coefficient": 0.0}, *CE, classes(), LOGITS),
    ("nacl", {"coefficient": 0.0}, *CE, classes(), LOGITS),
    ("entmax", {"alpha": 1.0}, *CE, classes(), LOGITS),
    ("entmax", NEARLY, *CE, classes(), LOGITS),
    ("entmax", {"alpha": 2.0}, "sparsemax", {}, classes(), LOGITS),
]
IDENTITIES = [
    Identity(
        f"{left} {of_left} is {right} {of_right}",
        lambda x, left=left, of_left=of_left: of(left, x, **of_left),
        lambda x, right=right, of_right=of_right: of(right, x, **of_right),
        inputs,
        wrt,
        atol=1e-6 if of_left == NEARLY else 1e-12,
    )
    for left, of_left, right, of_right, inputs, wrt in SAME
] + [
    Identity(
        "soft_margin is binary_cross_entropy_with_logits of the sign",
        lambda x: of("soft_margin", x),
        by_sign,
        signed,
        SCORES,
    ),
    Identity(
        "modified_huber within the margin is squared_hinge",
        lambda x: of("modified_huber", x),
        lambda x: of("squared_hinge", x),
        lambda: signed() | {"scores": 2 * torch.rand(6, 4, dtype=torch.float64) - 1},
        SCORES,
    ),
    Identity(
        "multilabel_soft_margin is the mean of binary_cross_entropy_with_logits",
        lambda x: of("multilabel_soft_margin", x),
        lambda x: by_element(x).mean(1),
        tagged,
        LOGITS,
    ),
    Identity(
        "multilabel_margin of one label is multi_margin",
        lambda x: of("multilabel_margin", {"logits": x["logits"], "targets": one_hot(x).long()}),
        lambda x: of("multi_margin", x),
        classes(),
        LOGITS,
    ),
    Identity(
        "zlpr of one class is binary_cross_entropy_with_logits",
        lambda x: of("zlpr", {key: each[:, :1] for key, each in x.items()}),
        lambda x: by_element({key: each[:, :1] for key, each in x.items()})[:, 0],
        tagged,
        LOGITS,
    ),
    Identity(
        "distribution_focal of a whole bin is cross_entropy",
        lambda x: of(
            "distribution_focal", {"logits": x["logits"], "targets": x["labels"].double()}
        ),
        lambda x: of("cross_entropy", x),
        classes(),
        LOGITS,
    ),
    Identity(
        "temperature_scaled_cross_entropy is cross_entropy of a quotient",
        lambda x: of("temperature_scaled_cross_entropy", at(x, 2.5)),
        lambda x: of("cross_entropy", {"logits": x["logits"] / 2.5, "labels": x["labels"]}),
        classes(),
        LOGITS,
    ),
    Identity(
        "fenchel_young of shannon is cross_entropy of a one-hot target",
        lambda x: of("fenchel_young", softly(x)),
        lambda x: of("cross_entropy", x),
        classes(),
        LOGITS,
    ),
    Identity(
        "fenchel_young of no regulariser is multiclass_perceptron",
        lambda x: of("fenchel_young", softly(x), regularizer="zero"),
        lambda x: of("multiclass_perceptron", x),
        classes(),
        LOGITS,
    ),
    Identity(
        "fenchel_young of the cube's entropy is binary_cross_entropy_with_logits, added up",
        lambda x: of(
            "fenchel_young",
            {"logits": x["logits"], "target_probabilities": x["targets"]},
            regularizer="cube_entropy",
        ),
        lambda x: by_element(x).sum(1),
        hard,
        LOGITS,
    ),
    Identity(
        "structured_hinge without costs is multiclass_hinge",
        lambda x: of("structured_hinge", as_scores(x)),
        lambda x: of("multiclass_hinge", x),
        classes(),
        LOGITS,
    ),
    Identity(
        "pairwise_auc by hinges is margin_ranking of all pairs",
        lambda x: of("pairwise_auc", x, surrogate="hinge"),
        by_ranks,
        ranked,
        SCORES,
    ),
]


@pytest.mark.parametrize("identity", IDENTITIES, ids=lambda identity: identity.says)
@pytest.mark.parametrize("seed", range(2))
def test_two_losses_of_classes_agree(identity: Identity, seed: int) -> None:
    agree(identity, seed)
