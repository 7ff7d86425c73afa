"""What losses of boxes, regions, relations and penalties are in terms of each other."""

from typing import Any

import pytest
import test_identities
import torch
from identity_terms import of, taught, weights
from test_identities import Identity

BOXES, LOGITS, WEIGHTS = ("boxes",), ("logits",), ("weights",)


def boxes() -> dict[str, Any]:
    low, size = (torch.rand(2, 6, 2, dtype=torch.float64) for _ in range(2))
    made = torch.cat((low, low + size), dim=2)
    return {"boxes": made[0], "target_boxes": made[1]}


def centred(x: dict[str, Any]) -> dict[str, Any]:
    """The same boxes by centre and size."""
    return {
        key: torch.cat(((each[:, :2] + each[:, 2:]) / 2, each[:, 2:] - each[:, :2]), dim=1)
        for key, each in x.items()
    }


def images() -> dict[str, Any]:
    logits = 3 * torch.randn(3, 4, 7, dtype=torch.float64)
    return {"logits": logits, "labels": torch.randint(4, (3, 7))}


def attacked() -> dict[str, Any]:
    made = {key: 3 * torch.randn(5, 4, dtype=torch.float64) for key in ("clean", "adversarial")}
    return {f"{key}_logits": x for key, x in made.items()} | {"labels": torch.randint(4, (5,))}


def scores() -> dict[str, Any]:
    return {f"{key}_scores": torch.randn(6, dtype=torch.float64) for key in ("real", "fake")}


def softly(x: dict[str, Any]) -> dict[str, Any]:
    truth = torch.nn.functional.one_hot(x["labels"], x["logits"].shape[1]).movedim(2, 1)
    return {"probabilities": torch.softmax(x["logits"], 1), "targets": truth.double()}


def student(x: dict[str, Any]) -> dict[str, Any]:
    return {f"{key}_logits": x[key] for key in ("student", "teacher")}


def weighed_parts(x: dict[str, Any]) -> torch.Tensor:
    """The two parts of decoupled distillation, the second by what Hinton's gives it."""
    named = student(x) | {"labels": x["labels"]}
    first = of("decoupled_distillation", named, temperature=2.0, beta=0.0)
    second = of("decoupled_distillation", named, temperature=2.0, alpha=0.0, beta=1.0)
    p = torch.softmax(x["teacher"] / 2.0, 1).gather(1, x["labels"][:, None])[:, 0]
    return first + (1 - p) * second


IDENTITIES = [
    Identity(
        "alpha_iou with alpha 1 and a penalty is giou",
        lambda x: of("alpha_iou", x, alpha=1.0, penalty="giou"),
        lambda x: of("giou", x),
        boxes,
        BOXES,
    ),
    Identity(
        "boxes by corners and by centres are the same boxes",
        lambda x: of("ciou", x),
        lambda x: of("ciou", centred(x), box_format="cxcywh"),
        boxes,
        BOXES,
    ),
    Identity(
        "tversky with both weights one half is dice, but for half the smoothing",
        lambda x: of("tversky", x, smooth_numerator=0.5, smooth_denominator=0.5),
        lambda x: of("dice", x, smooth_numerator=1.0, smooth_denominator=1.0),
        images,
        LOGITS,
    ),
    Identity(
        "tversky with both weights 1 is jaccard",
        lambda x: of("tversky", x, fp_weight=1.0, fn_weight=1.0),
        lambda x: of("jaccard", x),
        images,
        LOGITS,
    ),
    Identity(
        "focal_tversky with gamma 1 is tversky",
        lambda x: of("focal_tversky", x, gamma=1.0),
        lambda x: of("tversky", x, fp_weight=0.3, fn_weight=0.7),
        images,
        LOGITS,
    ),
    Identity(
        "log_cosh_dice is the log of the hyperbolic cosine of dice",
        lambda x: of("log_cosh_dice", x),
        lambda x: of("dice", x).cosh().log(),
        images,
        LOGITS,
    ),
    Identity(
        "lovasz_softmax of labels is that of probabilities and masks",
        lambda x: of("lovasz_softmax", x),
        lambda x: of("lovasz_softmax", softly(x)),
        images,
        LOGITS,
    ),
    Identity(
        "mart without beta is boosted_cross_entropy",
        lambda x: of("mart", x, beta=0.0),
        lambda x: of(
            "boosted_cross_entropy", {"logits": x["adversarial_logits"], "labels": x["labels"]}
        ),
        attacked,
        ("adversarial_logits",),
    ),
    Identity(
        "helper_adversarial without a helper is adversarial",
        lambda x: of(
            "helper_adversarial",
            x | {"helper_logits": x["clean_logits"].detach(), "helper_labels": x["labels"]},
            gamma=0.0,
            beta=6.0,
        ),
        lambda x: of("adversarial", x),
        attacked,
        ("clean_logits", "adversarial_logits"),
    ),
    Identity(
        "relativistic_gan of a generator is that of a discriminator with the sides changed",
        lambda x: of("relativistic_gan", x, player="generator"),
        lambda x: of(
            "relativistic_gan",
            {"real_scores": x["fake_scores"], "fake_scores": x["real_scores"]},
        ),
        scores,
        ("real_scores", "fake_scores"),
    ),
    Identity(
        "distillation is decoupled_distillation with the second part weighed by 1 - p",
        lambda x: of("distillation", student(x), temperature=2.0),
        weighed_parts,
        taught,
        ("student",),
    ),
    Identity(
        "sparse_group_lasso with alpha 0 is group_lasso",
        lambda x: of("sparse_group_lasso", x, alpha=0.0),
        lambda x: of("group_lasso", x),
        weights,
        WEIGHTS,
    ),
    Identity(
        "sparse_group_lasso with alpha 1 is l1_penalty",
        lambda x: of("sparse_group_lasso", x, alpha=1.0),
        lambda x: of("l1_penalty", x),
        weights,
        WEIGHTS,
    ),
    Identity(
        "mcp with a large gamma is l1_penalty",
        lambda x: of("mcp", x, gamma=1e6, coefficient=2.0),
        lambda x: of("l1_penalty", x, coefficient=2.0),
        weights,
        WEIGHTS,
        rtol=1e-5,
    ),
    Identity(
        "l2_sp from 0 is half of l2_penalty",
        lambda x: of(
            "l2_sp", x | {"start": tuple(torch.zeros_like(w) for w in x["weights"])}, alpha=0.3
        ),
        lambda x: of("l2_penalty", x, coefficient=0.3, half=True),
        weights,
        WEIGHTS,
    ),
]


@pytest.mark.parametrize("identity", IDENTITIES, ids=lambda identity: identity.says)
@pytest.mark.parametrize("seed", range(2))
def test_two_losses_agree_where_mathematics_says_so(identity: Identity, seed: int) -> None:
    test_identities.test_two_losses_agree_where_mathematics_says_so(identity, seed)
