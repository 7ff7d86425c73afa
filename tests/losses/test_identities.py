"""What one loss is in terms of another, in value and in gradient: one table."""

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import pytest
import torch
from identity_terms import (
    binary,
    by_pairs,
    classes,
    close_regression,
    cosines,
    dense,
    miss,
    of,
    one_hot,
    own,
    pairs,
    regression,
    softly,
    student,
    taught,
    weights,
)
from torch import Tensor

Terms = Callable[[dict[str, Any]], Tensor]


@dataclass(frozen=True)
class Identity:
    """Two ways to one result, of the same inputs; gradients are of `wrt`."""

    says: str
    left: Terms
    right: Terms
    inputs: Callable[[], dict[str, Any]]
    wrt: tuple[str, ...]
    rtol: float = 1e-10
    atol: float = 1e-12


LOGITS, BOTH = ("logits",), ("prediction", "target")
WEIGHTED = classes(class_weights=torch.tensor([0.5, 1.0, 2.0, 0.25, 0.0], dtype=torch.float64))

IDENTITIES = [
    Identity(
        "focal with gamma 0 is cross_entropy",
        lambda x: of("focal", x, gamma=0.0),
        lambda x: of("cross_entropy", x),
        classes(),
        LOGITS,
    ),
    Identity(
        "generalized_cross_entropy with q 0 is cross_entropy",
        lambda x: of("generalized_cross_entropy", x, q=0.0),
        lambda x: of("cross_entropy", x),
        WEIGHTED,
        LOGITS,
        rtol=0,
        atol=0,
    ),
    Identity(
        "generalized_cross_entropy with a tiny q is cross_entropy to the last digits",
        lambda x: of("generalized_cross_entropy", x, q=1e-14),
        lambda x: of("cross_entropy", x),
        WEIGHTED,
        LOGITS,
        rtol=1e-12,
    ),
    Identity(
        "generalized_cross_entropy with a tiny q is cross_entropy, pixels and ignored ones too",
        lambda x: of("generalized_cross_entropy", x, q=1e-90, ignore_index=-1),
        lambda x: of("cross_entropy", x, ignore_index=-1),
        dense,
        LOGITS,
    ),
    Identity(
        "generalized_cross_entropy with q 1 is 1 - p",
        lambda x: of("generalized_cross_entropy", x, q=1.0),
        miss,
        classes(),
        LOGITS,
    ),
    Identity(
        "cross_entropy of a one-hot target is that of its index",
        lambda x: of("cross_entropy", softly(x), label_smoothing=0.2),
        lambda x: of("cross_entropy", x, label_smoothing=0.2),
        WEIGHTED,
        LOGITS,
    ),
    Identity(
        "cross_entropy is the divergence of a one-hot distribution",
        lambda x: of(
            "kl_divergence", {"p_log_probabilities": one_hot(x).log(), "q_logits": x["logits"]}
        ),
        lambda x: of("cross_entropy", x),
        classes(),
        LOGITS,
    ),
    Identity(
        "nll of a log-softmax is cross_entropy",
        lambda x: of(
            "nll",
            {"log_probabilities": torch.log_softmax(x["logits"], 1), "labels": x["labels"]},
            ignore_index=-1,
        ),
        lambda x: of("cross_entropy", x, ignore_index=-1),
        dense,
        LOGITS,
    ),
    Identity(
        "cross_entropy of two classes is the binary one of their difference",
        lambda x: of("cross_entropy", {"logits": x["logits"][:, :2], "labels": x["labels"] % 2}),
        lambda x: of(
            "binary_cross_entropy_with_logits",
            {
                "logits": x["logits"][:, 1] - x["logits"][:, 0],
                "targets": (x["labels"] % 2).double(),
            },
        ),
        classes(),
        LOGITS,
    ),
    Identity(
        "sigmoid_focal with gamma 0 and no alpha is binary_cross_entropy_with_logits",
        lambda x: of("sigmoid_focal", x, gamma=0.0, alpha=None),
        lambda x: of("binary_cross_entropy_with_logits", x),
        binary,
        LOGITS,
    ),
    Identity(
        "asymmetric without powers and clip is binary_cross_entropy_with_logits",
        lambda x: of("asymmetric", x, gamma_negative=0.0, gamma_positive=0.0, clip=0.0),
        lambda x: of("binary_cross_entropy_with_logits", x),
        binary,
        LOGITS,
    ),
    Identity(
        "asymmetric with equal powers and no clip is sigmoid_focal without alpha",
        lambda x: of("asymmetric", x, gamma_negative=2.0, gamma_positive=2.0, clip=0.0),
        lambda x: of("sigmoid_focal", x, gamma=2.0, alpha=None),
        binary,
        LOGITS,
    ),
    Identity(
        "asymmetric with a vanishing clip is asymmetric without",
        lambda x: of("asymmetric", x, clip=1e-15),
        lambda x: of("asymmetric", x, clip=0.0),
        binary,
        LOGITS,
        rtol=1e-9,
    ),
    Identity(
        "binary_cross_entropy of sigmoids is that of logits",
        lambda x: of(
            "binary_cross_entropy",
            {"probabilities": torch.sigmoid(x["logits"]), "targets": x["targets"]},
        ),
        lambda x: of("binary_cross_entropy_with_logits", x),
        lambda: {"logits": binary()["logits"] / 5, "targets": binary()["targets"]},
        LOGITS,
    ),
    Identity(
        "smooth_l1 is huber over beta",
        lambda x: of("smooth_l1", x, beta=0.7),
        lambda x: of("huber", x, delta=0.7) / 0.7,
        regression,
        BOTH,
    ),
    Identity(
        "smooth_l1 with beta 0 is l1",
        lambda x: of("smooth_l1", x, beta=0.0),
        lambda x: of("l1", x),
        regression,
        BOTH,
    ),
    Identity(
        "huber with a large delta is half of mse",
        lambda x: of("huber", x, delta=1e3),
        lambda x: of("mse", x) / 2,
        regression,
        BOTH,
    ),
    Identity(
        "log_cosh is half of mse near 0",
        lambda x: of("log_cosh", x),
        lambda x: of("mse", x) / 2,
        close_regression,
        BOTH,
        rtol=1e-8,
        atol=0,
    ),
    Identity(
        "log_cosh is l1 less log 2 far away",
        lambda x: of("log_cosh", {key: 1e3 * each for key, each in x.items()}),
        lambda x: of("l1", {key: 1e3 * each for key, each in x.items()}) - torch.tensor(2.0).log(),
        regression,
        BOTH,
        rtol=1e-7,
    ),
    Identity(
        "elastic_net is l1_penalty and l2_penalty",
        lambda x: of("elastic_net", x, l1=0.3, l2=0.7),
        lambda x: of("l1_penalty", x, coefficient=0.3) + of("l2_penalty", x, coefficient=0.7),
        weights,
        ("weights",),
    ),
    Identity(
        "distillation of equal logits is nothing",
        lambda x: of(
            "distillation",
            {"student_logits": x["student"], "teacher_logits": x["student"].detach()},
        ),
        lambda x: 0 * x["student"].sum(1),
        taught,
        ("student",),
    ),
    Identity(
        "distillation at temperature 1 is kl_divergence",
        lambda x: of("distillation", student(x), temperature=1.0),
        lambda x: of("kl_divergence", {"p_logits": x["teacher"], "q_logits": x["student"]}),
        taught,
        ("student",),
    ),
    Identity(
        "distillation with alpha 1 is cross_entropy",
        lambda x: of("distillation", student(x, labels=True), alpha=1.0),
        lambda x: of("cross_entropy", {"logits": x["student"], "labels": x["labels"]}),
        taught,
        ("student",),
    ),
    Identity(
        "distillation at a high temperature is half the squared difference of centred logits",
        lambda x: of("distillation", student(x), temperature=1e3),
        lambda x: (
            ((x["student"] - x["teacher"]) - (x["student"] - x["teacher"]).mean(1, keepdim=True))
            .square()
            .mean(1)
            / 2
        ),
        taught,
        ("student",),
        rtol=0.05,
        atol=1e-3,
    ),
    Identity(
        "info_nce is cross_entropy of similarities with the diagonal as labels",
        lambda x: of("info_nce", {"queries": x["queries"], "keys": x["keys"]}, temperature=0.5),
        lambda x: own(cosines(x["queries"], x["keys"]) / 0.5),
        pairs(),
        ("queries", "keys"),
    ),
    Identity(
        "info_nce with negatives is cross_entropy over more classes",
        lambda x: of("info_nce", x, temperature=0.5),
        lambda x: own(cosines(x["queries"], torch.cat((x["keys"], x["negatives"]))) / 0.5),
        pairs(),
        ("queries", "keys", "negatives"),
    ),
    Identity(
        "info_nce with a learned scale is info_nce with one over the temperature",
        lambda x: of("info_nce", x),
        lambda x: own(
            cosines(x["queries"], torch.cat((x["keys"], x["negatives"]))) * x["logit_scale"]
        ),
        pairs(logit_scale=4.0),
        ("queries", "keys", "negatives", "logit_scale"),
    ),
    Identity(
        "symmetric info_nce is the mean of both directions",
        lambda x: of("info_nce", {"queries": x["queries"], "keys": x["keys"]}, symmetric=True),
        lambda x: (
            (
                of("info_nce", {"queries": x["queries"], "keys": x["keys"]})
                + of("info_nce", {"queries": x["keys"], "keys": x["queries"]})
            )
            / 2
        ),
        pairs(),
        ("queries", "keys"),
    ),
    Identity(
        "siglip is binary_cross_entropy_with_logits of similarities, added up",
        lambda x: of(
            "siglip",
            {
                "left": x["queries"],
                "right": x["keys"],
                "logit_scale": x["logit_scale"],
                "logit_bias": x["logit_bias"],
            },
        ),
        by_pairs,
        pairs(logit_scale=4.0, logit_bias=-2.0),
        ("queries", "keys", "logit_scale", "logit_bias"),
    ),
]


def leaves_of(inputs: dict[str, Any], wrt: tuple[str, ...]) -> list[Tensor]:
    groups = [inputs[key] if isinstance(inputs[key], tuple) else (inputs[key],) for key in wrt]
    return [each.requires_grad_() for group in groups for each in group]


@pytest.mark.parametrize("identity", IDENTITIES, ids=lambda identity: identity.says)
@pytest.mark.parametrize("seed", range(3))
def test_two_losses_agree_where_mathematics_says_so(identity: Identity, seed: int) -> None:
    torch.manual_seed(seed)
    inputs = identity.inputs()
    leaves = leaves_of(inputs, identity.wrt)
    left, right = identity.left(inputs), identity.right(inputs)
    close = {"rtol": identity.rtol, "atol": identity.atol}
    torch.testing.assert_close(left, right, **close)
    outer = torch.rand_like(left)
    for got, want in zip(
        torch.autograd.grad(left, leaves, outer),
        torch.autograd.grad(right, leaves, outer),
        strict=True,
    ):
        torch.testing.assert_close(got, want, **close)
