"""What losses of preferences, lists, order and sequences are in terms of each other."""

from typing import Any

import pytest
import torch
from identity_terms import classes, of
from test_identities import Identity
from test_identities import test_two_losses_agree_where_mathematics_says_so as agree
from torch import Tensor

PAIR = ("chosen_log_probabilities", "rejected_log_probabilities")
LOGITS, SCORES, LOG_P = ("logits",), ("scores",), ("log_probabilities",)


def pairs() -> dict[str, Any]:
    names = (*PAIR, *(f"reference_{name}" for name in PAIR))
    return {name: -20 * torch.rand(6, dtype=torch.float64) for name in names}


def of_pairs(x: dict[str, Any]) -> dict[str, Any]:
    return {name: x[name] for name in PAIR}


def rewards(x: dict[str, Any]) -> dict[str, Any]:
    chosen, rejected = (0.1 * (x[name] - x[f"reference_{name}"]) for name in PAIR)
    return {"chosen_rewards": chosen, "rejected_rewards": rejected}


def singly(x: dict[str, Any], side: int) -> dict[str, Any]:
    name = PAIR[side]
    return {
        "log_probabilities": x[name],
        "reference_log_probabilities": x[f"reference_{name}"],
        "desirable": torch.full((6,), 1 - side),
    }


def lists(documents: int = 5) -> dict[str, Any]:
    relevance = torch.stack([torch.randperm(documents) for _ in range(4)]).double()
    return {"scores": 2 * torch.randn(4, documents, dtype=torch.float64), "relevance": relevance}


def single_answer(x: dict[str, Any]) -> dict[str, Any]:
    relevance = torch.zeros_like(x["logits"]).scatter(1, x["labels"][:, None], 1.0)
    return {"scores": x["logits"], "relevance": relevance}


def tokens() -> dict[str, Any]:
    log_p, old = -torch.rand(2, 4, 3, dtype=torch.float64)
    return {
        "log_probabilities": log_p,
        "old_log_probabilities": old,
        "advantages": torch.randn(4, dtype=torch.float64),
    }


def by_token(x: dict[str, Any]) -> dict[str, Any]:
    return x | {"advantages": x["advantages"][:, None].expand(4, 3)}


def frames() -> dict[str, Any]:
    return {
        "logits": torch.randn(3, 4, 3, dtype=torch.float64),
        "labels": torch.randint(1, 3, (3, 4)),
    }


def steps(x: dict[str, Any]) -> Tensor:
    inputs = {"logits": x["logits"].transpose(1, 2), "labels": x["labels"]}
    return of("cross_entropy", inputs).sum(1)


def survived() -> dict[str, Any]:
    events = torch.randint(2, (6,))
    return {
        "logits": torch.randn(6, 4, dtype=torch.float64),
        "intervals": torch.randint(4, (6,)),
        "events": events,
    }


def by_hazards(x: dict[str, Any]) -> Tensor:
    """The probability of each interval from its hazard, by hand."""
    hazard = torch.sigmoid(x["logits"])
    alive = torch.cumprod(torch.cat([torch.ones(6, 1).double(), 1 - hazard], 1), 1)
    at = x["intervals"][:, None]
    seen = (alive[:, :-1] * hazard).gather(1, at)[:, 0]
    return -torch.where(x["events"] == 1, seen, alive[:, 1:].gather(1, at)[:, 0]).log()


IDENTITIES = [
    Identity(
        "dpo is bradley_terry of implied rewards",
        lambda x: of("dpo", x),
        lambda x: of("bradley_terry", rewards(x)),
        pairs,
        PAIR,
    ),
    Identity(
        "robust dpo without wrong labels is dpo",
        lambda x: of("dpo", x, variant="robust"),
        lambda x: of("dpo", x),
        pairs,
        PAIR,
    ),
    Identity(
        "apo_zero is apo_zero_unpaired of both answers",
        lambda x: of("dpo", x, variant="apo_zero"),
        lambda x: sum(of("kto", singly(x, i), variant="apo_zero_unpaired") for i in (0, 1)),
        pairs,
        PAIR,
    ),
    Identity(
        "aot of a single pair is dpo",
        lambda x: of("aot", {name: each[:1] for name, each in x.items()}),
        lambda x: of("dpo", {name: each[:1] for name, each in x.items()}),
        pairs,
        PAIR,
    ),
    Identity(
        "simpo without a margin is cpo without likelihood",
        lambda x: of("simpo", of_pairs(x), beta=0.3, gamma=0.0),
        lambda x: of("cpo", of_pairs(x), beta=0.3, nll_weight=0.0),
        pairs,
        PAIR,
    ),
    Identity(
        "grpo of tokens is ppo_clip of tokens",
        lambda x: of("grpo", x),
        lambda x: of("ppo_clip", by_token(x)),
        tokens,
        LOG_P,
    ),
    Identity(
        "ranking_softmax with one relevant document is cross_entropy",
        lambda x: of("ranking_softmax", single_answer(x)),
        lambda x: of("cross_entropy", x),
        classes(),
        LOGITS,
    ),
    Identity(
        "list_mle of two documents is ranknet",
        lambda x: of("list_mle", x),
        lambda x: of("ranknet", x),
        lambda: lists(2),
        SCORES,
    ),
    Identity(
        "p_list_mle of two documents is list_mle",
        lambda x: of("p_list_mle", x),
        lambda x: of("list_mle", x),
        lambda: lists(2),
        SCORES,
    ),
    Identity(
        "ndcg_loss2pp is lambda_rank plus mu times ndcg_loss2",
        lambda x: of("lambda_loss", x, mu=3.0),
        lambda x: (
            of("lambda_loss", x, weighting="lambda_rank")
            + 3.0 * of("lambda_loss", x, weighting="ndcg_loss2")
        ),
        lists,
        SCORES,
    ),
    Identity(
        "crf without transitions is cross_entropy of every step",
        lambda x: of("crf", x | {"transitions": torch.zeros(3, 3).double()}),
        steps,
        frames,
        LOGITS,
    ),
    Identity(
        "sord with a large scale is cross_entropy",
        lambda x: of("sord", x, scale=1000.0),
        lambda x: of("cross_entropy", x),
        classes(),
        LOGITS,
    ),
    Identity(
        "logistic_hazard is the likelihood of its probabilities",
        lambda x: of("logistic_hazard", x),
        by_hazards,
        survived,
        LOGITS,
        rtol=1e-9,
    ),
]


@pytest.mark.parametrize("identity", IDENTITIES, ids=lambda identity: identity.says)
@pytest.mark.parametrize("seed", range(3))
def test_these_losses_agree_too(identity: Identity, seed: int) -> None:
    agree(identity, seed)
