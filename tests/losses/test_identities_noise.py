"""What losses for unequal classes and noisy labels are in terms of others."""

import math
from collections.abc import Callable
from typing import Any

import pytest
import test_identities
import torch
from identity_terms import classes, miss, of, one_hot
from test_identities import LOGITS, Identity
from torch import Tensor

from lossd.errors import OutOfRange
from lossd.losses import CATALOG

COUNTS = torch.tensor([64.0, 16.0, 4.0, 2.0, 1.0], dtype=torch.float64)
EYE = torch.eye(5, dtype=torch.float64)
OTHERS = torch.tensor([1, 2, 3, 4, 0, 0, 1])
CONFUSED = 0.1 + 0.5 * EYE


def plain(name: str, **params: Any) -> Callable[[dict[str, Any]], Tensor]:
    """A loss of logits and labels, and whatever else of the inputs it takes."""
    taken = CATALOG[name].inputs
    return lambda x: of(name, {key: each for key, each in x.items() if key in taken}, **params)


def same(
    says: str,
    left: Callable[[dict[str, Any]], Tensor],
    right: Callable[[dict[str, Any]], Tensor],
    **more: Tensor,
) -> Identity:
    return Identity(says, left, right, classes(**more), LOGITS, rtol=1e-9, atol=1e-11)


def half_mean_absolute_error(x: dict[str, Any]) -> Tensor:
    return plain("softmax_mean_absolute_error")(x) / 2


CROSS_ENTROPY = plain("cross_entropy")
COUNTED = {"class_counts": COUNTS}

TO_CROSS_ENTROPY = [
    ("logit_adjustment", {"tau": 0.0}, COUNTED),
    ("vector_scaling", {"tau": 0.0, "gamma": 0.0}, COUNTED),
    ("ldam", {"max_margin": 0.0, "scale": 1.0}, COUNTED),
    ("class_balanced", {"beta": 0.0}, COUNTED),
    ("equalization", {"kind": "softmax", "threshold": 0.0}, {"class_frequencies": COUNTS / 100}),
    ("cost_sensitive", {"kind": "softmax_margin"}, {"costs": 0 * EYE}),
    ("symmetric_cross_entropy", {"alpha": 1.0, "beta": 0.0}, {}),
    ("active_passive", {"active": "cross_entropy", "beta": 0.0}, {}),
    ("bi_tempered", {"t1": 1.0, "t2": 1.0}, {}),
    ("bootstrap", {"beta": 1.0}, {}),
    ("label_relaxation", {"alpha": 0.0}, {}),
    ("logit_clipping", {"threshold": 1e4}, {}),
    ("forward_correction", {}, {"transition": EYE}),
    ("backward_correction", {}, {"transition": EYE}),
    ("mixup_cross_entropy", {}, {"mixed_labels": OTHERS, "share": torch.ones(7).double()}),
]
TO_MISS = [
    ("reverse_cross_entropy", {"log_zero": -1.0}, {}),
    ("softmax_mean_absolute_error", {"half": True}, {}),
    ("taylor_cross_entropy", {"order": 1}, {}),
    ("asymmetric_generalized_cross_entropy", {"q": 1.0}, {}),
    ("asymmetric_unhinged", {"power": 1.0}, {}),
    ("cost_sensitive", {}, {"costs": 1.0 - EYE}),
]

IDENTITIES = [
    *(
        same(f"{name} of {params} is cross_entropy", plain(name, **params), CROSS_ENTROPY, **more)
        for name, params, more in TO_CROSS_ENTROPY
    ),
    *(
        same(f"{name} of {params} is 1 - p", plain(name, **params), miss, **more)
        for name, params, more in TO_MISS
    ),
    same(
        "balanced_softmax is logit_adjustment at tau 1",
        plain("balanced_softmax"),
        plain("logit_adjustment"),
        **COUNTED,
    ),
    same(
        "vector_scaling with gamma 0 is logit_adjustment",
        plain("vector_scaling", gamma=0.0, tau=0.7),
        plain("logit_adjustment", tau=0.7),
        **COUNTED,
    ),
    same(
        "equalization without rare classes is binary cross-entropy, added up",
        plain("equalization", threshold=0.0),
        lambda x: of(
            "binary_cross_entropy_with_logits", {"logits": x["logits"], "targets": one_hot(x)}
        ).sum(1),
        class_frequencies=COUNTS / 100,
    ),
    same(
        "normalized_focal with gamma 0 is normalized_cross_entropy",
        plain("normalized_focal", gamma=0.0),
        plain("normalized_cross_entropy"),
    ),
    same(
        "bi_tempered at t2 1 less its term of p is generalized_cross_entropy at 1 - t1",
        lambda x: (
            plain("bi_tempered", t1=0.4, t2=1.0)(x)
            - ((torch.softmax(x["logits"], 1) ** 1.6).sum(1) - 1) / 1.6
        ),
        plain("generalized_cross_entropy", q=0.6),
    ),
    same(
        "complementary_label forward is negative_learning, up to a constant",
        lambda x: plain("complementary_label")(x) - math.log(4),
        plain("negative_learning"),
    ),
    same(
        "complementary_label forward is forward_correction by uniform noise",
        plain("complementary_label"),
        plain("forward_correction"),
        transition=(1 - EYE) / 4,
    ),
    same(
        "complementary_label unbiased is backward_correction by uniform noise",
        plain("complementary_label", kind="unbiased"),
        plain("backward_correction"),
        transition=(1 - EYE) / 4,
    ),
    *(
        same(
            f"partial_label {kind} of one candidate is cross_entropy",
            lambda x, kind=kind: of(
                "partial_label",
                {"logits": x["logits"], "candidates": one_hot(x).long()},
                kind=kind,
            ),
            CROSS_ENTROPY,
        )
        for kind in ("classifier_consistent", "progressive")
    ),
    same(
        "peer_loss of one pair is nothing",
        lambda x: of("peer_loss", x | {"peer_logits": x["logits"], "peer_labels": x["labels"]}),
        lambda x: 0 * x["logits"].sum(1),
    ),
]


@pytest.mark.parametrize("identity", IDENTITIES, ids=lambda identity: identity.says)
@pytest.mark.parametrize("seed", range(3))
def test_two_losses_agree_where_mathematics_says_so(identity: Identity, seed: int) -> None:
    test_identities.test_two_losses_agree_where_mathematics_says_so(identity, seed)


SYMMETRIC = [
    ("normalized_cross_entropy", {}),
    ("normalized_focal", {"gamma": 2.0}),
    ("softmax_mean_absolute_error", {}),
    ("reverse_cross_entropy", {}),
    ("active_passive", {}),
]


@pytest.mark.parametrize(("name", "params"), SYMMETRIC, ids=lambda each: str(each))
def test_a_symmetric_loss_over_all_labels_is_constant(name: str, params: dict[str, Any]) -> None:
    """So that uniform label noise moves no minimum."""
    torch.manual_seed(0)
    logits = 5 * torch.randn(7, 5, dtype=torch.float64)
    every = [
        of(name, {"logits": logits, "labels": torch.full((7,), y)}, **params) for y in range(5)
    ]
    total = torch.stack(every).sum(0)
    torch.testing.assert_close(total, total[:1].expand(7), rtol=1e-12, atol=0)


def test_the_backward_correction_has_the_mean_of_clean_labels() -> None:
    torch.manual_seed(0)
    x = {"logits": torch.randn(1, 5, dtype=torch.float64).expand(5, 5), "labels": torch.arange(5)}
    noisy = of("backward_correction", x | {"transition": CONFUSED})
    torch.testing.assert_close(CONFUSED @ noisy, of("cross_entropy", x))


def test_class_noise_only_shifts_dmi() -> None:
    """Every label as often as the noise has it: the determinant gains that of the noise."""
    torch.manual_seed(0)
    logits, labels = torch.randn(6, 2, dtype=torch.float64), torch.tensor([0, 1, 0, 1, 1, 0])
    clean = of("dmi", {"logits": logits, "labels": labels})
    # A quarter of each class changes sides: three copies keep their label, one has the other.
    noisy = torch.cat([labels, labels, labels, 1 - labels])
    got = of("dmi", {"logits": logits.repeat(4, 1), "labels": noisy})
    torch.testing.assert_close(got, clean + math.log(2))


def test_a_singular_transition_is_refused() -> None:
    logits, labels = torch.zeros(1, 2), torch.tensor([0])
    singular = torch.full((2, 2), 0.5)
    with pytest.raises(OutOfRange, match="inverse"):
        of("backward_correction", {"logits": logits, "labels": labels, "transition": singular})
