"""What losses on embeddings are in terms of each other."""

from collections.abc import Callable
from typing import Any

import pytest
import test_identities
import torch
from identity_terms import of, pairs
from test_identities import Identity, Terms
from torch import Tensor

from lossd.losses import CATALOG

VIEWS = ("queries", "keys")
PROXIED = ("embeddings", "proxies")


def proxied() -> dict[str, Any]:
    return {
        "embeddings": torch.randn(6, 4, dtype=torch.float64),
        "proxies": torch.randn(5, 4, dtype=torch.float64),
        "labels": torch.randint(5, (6,)),
    }


def labelled() -> dict[str, Any]:
    return {
        "embeddings": torch.randn(6, 3, dtype=torch.float64),
        "labels": torch.tensor([0, 1, 0, 2, 1, 0]),
    }


def by(name: str, **params: Any) -> Terms:
    """A loss of proxies; a loss of centers has one per class."""

    def terms(x: dict[str, Any]) -> Tensor:
        given = dict(x)
        if "centers" in CATALOG[name].inputs:
            proxies = given.pop("proxies")
            shared = CATALOG[name].inputs["centers"].dims
            given["centers"] = proxies.unsqueeze(1) if len(shared) == 3 else proxies
        return of(name, given, **params)

    return terms


def of_views(name: str, **params: Any) -> Terms:
    """A loss of two embeddings per row, by whatever names it has for them."""
    first, second, *_ = CATALOG[name].inputs
    return lambda x: of(name, {first: x["queries"], second: x["keys"]}, **params)


def of_pairs(name: str, label: int) -> Terms:
    return lambda x: of(
        name,
        {
            "left": x["queries"],
            "right": x["keys"],
            "labels": torch.full((len(x["keys"]),), label),
        },
    )


def logits(scale: Callable[[Tensor, Tensor], Tensor]) -> Terms:
    """Cross-entropy of the scaled cosines to the proxies."""

    def terms(x: dict[str, Any]) -> Tensor:
        rows, proxies = x["embeddings"], x["proxies"]
        cosine = torch.nn.functional.normalize(rows) @ torch.nn.functional.normalize(proxies).T
        given = {"logits": scale(rows, proxies) * cosine, "labels": x["labels"]}
        return of("cross_entropy", given)

    return terms


def length(x: Tensor) -> Tensor:
    return torch.linalg.vector_norm(x, dim=1)


def twice(x: dict[str, Any]) -> Tensor:
    """SupCon of both views as rows."""
    own = torch.arange(len(x["keys"]))
    given = {"embeddings": torch.cat((x["queries"], x["keys"])), "labels": torch.cat((own, own))}
    return of("sup_con", given, temperature=0.5).view(2, -1).mean(0)


def every_triplet(x: dict[str, Any]) -> Tensor:
    """The caller's triplets, listed, added up by their anchors."""
    y = x["labels"]
    same, other = y[:, None] == y, y[:, None] != y
    same.fill_diagonal_(False)
    a, p, n = torch.where(same[:, :, None] & other[:, None, :])
    rows = x["embeddings"]
    given = {"anchors": rows[a], "positives": rows[p], "negatives": rows[n]}
    return torch.zeros(len(y)).double().index_add(0, a, of("triplet_margin", given))


def worst_triplet(x: dict[str, Any]) -> Tensor:
    """Of all triplets of an anchor, the one that costs most."""
    apart = torch.cdist(x["embeddings"], x["embeddings"])
    y = x["labels"]
    values = []
    for a, label in enumerate(y):
        positive = apart[a][(y == label) & (torch.arange(len(y)) != a)]
        cost = 1 + positive[:, None] - apart[a][y != label]
        values.append(cost.relu().max() if cost.numel() else 0 * apart.sum())
    return torch.stack(values)


SCALE = {"scale": 8.0}
PAIRED = pairs()
TO_SOFTMAX = [
    ("arcface", {"margin": 0.0, **SCALE}),
    ("subcenter_arcface", {"margin": 0.0, **SCALE}),
    ("cosface", {"margin": 0.0, **SCALE}),
    ("adaface", {"margin": 0.0, **SCALE}),
    ("magface", {"lowest_margin": 0.0, "margin_range": 0.0, "length_weight": 0.0, **SCALE}),
    ("soft_triple", {"margin": 0.0, **SCALE}),
    ("proxy_nca", {"scale": 4.0, "own_in_denominator": True}),
    ("normalized_softmax", {"temperature": 0.125}),
]

IDENTITIES = [
    *(
        Identity(
            f"{name} without a margin is cross_entropy of scaled cosines",
            by(name, **params),
            logits(lambda rows, _: 8 * torch.ones_like(rows[:, :1])),
            proxied,
            PROXIED,
            rtol=1e-8,
            atol=1e-10,
        )
        for name, params in TO_SOFTMAX
    ),
    Identity(
        "sphereface with margin 1 is cross_entropy of cosines times the row's length",
        by("sphereface", margin=1),
        logits(lambda rows, _: length(rows)[:, None]),
        proxied,
        PROXIED,
    ),
    Identity(
        "large_margin_softmax with margin 1 is cross_entropy of a linear layer",
        by("large_margin_softmax", margin=1),
        logits(lambda rows, proxies: length(rows)[:, None] * length(proxies)),
        proxied,
        PROXIED,
    ),
    Identity(
        "a large annealing takes the margin of sphereface away",
        by("sphereface", margin=4, annealing=1e9),
        by("sphereface", margin=1),
        proxied,
        PROXIED,
        rtol=1e-6,
        atol=1e-6,
    ),
    Identity(
        "adaface with concentration 0 is cosface",
        by("adaface", margin=0.25, concentration=0.0, **SCALE),
        by("cosface", margin=0.25, **SCALE),
        proxied,
        PROXIED,
    ),
    Identity(
        "magface with one margin and no reward is arcface",
        by("magface", lowest_margin=0.5, margin_range=0.0, length_weight=0.0),
        by("arcface", margin=0.5),
        proxied,
        PROXIED,
    ),
    Identity(
        "subcenter_arcface with one center is arcface",
        by("subcenter_arcface"),
        by("arcface"),
        proxied,
        PROXIED,
    ),
    Identity(
        "center is half the mse to the center, added up",
        by("center"),
        lambda x: (
            of("mse", {"prediction": x["embeddings"], "target": x["proxies"][x["labels"]]}).sum(1)
            / 2
        ),
        proxied,
        PROXIED,
    ),
    Identity("nt_xent is sup_con of both views", of_views("nt_xent"), twice, PAIRED, VIEWS),
    Identity(
        "debiased_contrastive without correction is nt_xent",
        of_views("debiased_contrastive", positive_rate=0.0),
        of_views("nt_xent"),
        PAIRED,
        VIEWS,
    ),
    Identity(
        "hard_negative_nce with beta 0 is symmetric info_nce",
        of_views("hard_negative_nce", beta=0.0),
        of_views("info_nce", symmetric=True),
        PAIRED,
        VIEWS,
    ),
    Identity(
        "n_pairs is info_nce without normalisation and temperature",
        of_views("n_pairs"),
        of_views("info_nce", normalize=False, temperature=1.0),
        PAIRED,
        VIEWS,
    ),
    Identity(
        "matryoshka_info_nce of all features is info_nce",
        of_views("matryoshka_info_nce", sizes=(8,), symmetric=True),
        of_views("info_nce", temperature=0.05, symmetric=True),
        PAIRED,
        VIEWS,
    ),
    Identity(
        "cosine_embedding of similar pairs is cosine_distance",
        of_pairs("cosine_embedding", 1),
        of_views("cosine_distance"),
        PAIRED,
        VIEWS,
    ),
    Identity(
        "BYOL's squared distance is twice the cosine_distance",
        of_views("negative_cosine_similarity", form="squared_distance", target_gradient="full"),
        lambda x: 2 * of_views("cosine_distance")(x),
        PAIRED,
        VIEWS,
    ),
    Identity(
        "alignment is twice the cosine_distance",
        of_views("alignment"),
        lambda x: 2 * of_views("cosine_distance")(x),
        PAIRED,
        VIEWS,
    ),
    Identity(
        "batch_all_triplet is triplet_margin of every triplet",
        lambda x: of("batch_all_triplet", x),
        every_triplet,
        labelled,
        ("embeddings",),
    ),
    Identity(
        "batch_triplet is the costliest triplet of each anchor",
        lambda x: of("batch_triplet", x),
        worst_triplet,
        labelled,
        ("embeddings",),
    ),
]


@pytest.mark.parametrize("identity", IDENTITIES, ids=lambda identity: identity.says)
@pytest.mark.parametrize("seed", range(3))
def test_two_losses_agree_where_mathematics_says_so(identity: Identity, seed: int) -> None:
    test_identities.test_two_losses_agree_where_mathematics_says_so(identity, seed)
