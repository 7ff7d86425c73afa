"""kto, orpo, simpo, cpo, bradley_terry, slic, rrhf."""

import math
from types import SimpleNamespace
from typing import Any

import torch
import torch.nn.functional as F
from liger_kernel.chunked_loss.cpo_loss import LigerFusedLinearCPOFunction
from liger_kernel.chunked_loss.kto_loss import LigerFusedLinearKTOFunction
from liger_kernel.chunked_loss.orpo_loss import LigerFusedLinearORPOFunction
from liger_kernel.chunked_loss.simpo_loss import LigerFusedLinearSimPOFunction
from mpmath import mp, mpf
from torch import Tensor

from references._foreign import function_alone, statement_alone
from references._mp import row_case, softplus
from references._torch import labels, randoms, torch_case
from references.preference import BOTH, CHOSEN, DIGITS, PAIR, REFERENCE, REJECTED, TRL, each_row

AVERAGE = {CHOSEN: randoms(702, 4, low=-2, high=0), REJECTED: randoms(703, 4, low=-2, high=0)}


_trl_log_odds = function_alone(
    "trl",
    "experimental/orpo/orpo_trainer.py",
    "odds_ratio_loss",
    {
        "torch": torch,
        "F": F,
        "log1mexp": function_alone(
            "trl", "experimental/orpo/orpo_trainer.py", "log1mexp", {"torch": torch}
        ),
    },
)


_trl_cpo = function_alone(
    "trl", "experimental/cpo/cpo_trainer.py", "cpo_loss", {"torch": torch, "F": F}
)


def kto() -> list[dict[str, Any]]:
    inputs = {
        "log_probabilities": BOTH[CHOSEN],
        "reference_log_probabilities": REFERENCE[f"reference_{CHOSEN}"],
        "desirable": labels(710, 2, 4),
    }
    wrt = ("log_probabilities",)

    def theirs(weights: tuple[float, float] = (1.0, 1.0), drop: bool = False) -> Any:
        def call(p: Tensor, a: Tensor, good: Tensor, kl: Tensor, pair: Tensor) -> Any:
            # They divide by the rows of the target: one here.
            got = LigerFusedLinearKTOFunction.preference_loss_fn(
                p, good == 1, pair[:1], a, 0.1, None if drop else kl
            )
            return (got[0] * (weights[0] if bool(good) else weights[1]),)

        def rows(**given: Tensor) -> Tensor:
            kl = given.get("kl", torch.tensor(0.0)).expand(4)
            p, a, good = (given[key] for key in inputs)
            values: Tensor = each_row(call)(p, a, good, kl)
            return values

        return rows

    def f(params: Any, **given: Any) -> Any:
        p, a, good = (given[key] for key in inputs)
        x = mpf(params.get("beta", 0.1)) * (p - a - given.get("kl", 0)) * (1 if good else -1)
        return mp.exp(-softplus(x))

    name = "liger-kernel 0.8.5 KTO"
    weighted = {"desirable_weight": 1.5, "undesirable_weight": 0.5}
    far = {
        "log_probabilities": [-1e4, -1.0, -1.0, -120.0],
        "reference_log_probabilities": [-1.0, -1e4, -1e4, -1.0],
        "desirable": [1, 1, 0, 0],
    }
    return [
        torch_case(f"smooth: {name}", theirs(), inputs | {"kl": 0.75}, wrt=wrt),
        torch_case(
            f"smooth: {name}, weighed", theirs((1.5, 0.5)), inputs | {"kl": 0.75}, weighted, wrt=wrt
        ),
        torch_case(
            f"{name}, without kl: apo_zero_unpaired",
            theirs(drop=True),
            inputs | {"kl": 0.75},
            {"variant": "apo_zero_unpaired"},
            wrt=wrt,
        ),
        torch_case(name, theirs(), inputs, wrt=wrt),
        row_case(f"{DIGITS}: log-probabilities to -1e4", f, far, {"beta": 0.25}, wrt=wrt),
    ]


def orpo() -> list[dict[str, Any]]:
    def f(params: Any, **given: Any) -> Any:
        def odds(x: Any) -> Any:
            return x - mp.log(-mp.expm1(x))

        chosen, rejected = (given[key] for key in PAIR)
        odds_ratio = odds(chosen) - odds(rejected)
        return -chosen + mpf(params.get("beta", 0.1)) * softplus(-odds_ratio)

    def trl(**given: Tensor) -> Tensor:
        device = SimpleNamespace(device="cpu")
        trainer = SimpleNamespace(beta=0.5, accelerator=device)
        # Their .float() is left out: the tensors here are float64.
        given = {key: _Wide(x) for key, x in given.items()}
        values: Tensor = -given[CHOSEN] - _trl_log_odds(trainer, *(given[key] for key in PAIR))[0]
        return values.as_subclass(Tensor)

    def liger(**given: Tensor) -> Tensor:
        def call(chosen: Tensor, rejected: Tensor, pair: Tensor) -> Any:
            got = LigerFusedLinearORPOFunction.preference_loss_fn(chosen, rejected, pair, beta=0.1)
            return (got[0] - chosen.squeeze(0),)

        values: Tensor = each_row(call)(*given.values())
        return values

    far = {CHOSEN: [-1e4, -1e-30, -120.0, -50.0], REJECTED: [-1e-30, -1e4, -1.0, -1e-6]}
    return [
        torch_case(f"smooth: {TRL} ORPOTrainer", trl, AVERAGE, {"beta": 0.5}, wrt=PAIR),
        torch_case("smooth: liger-kernel 0.8.5 ORPO", liger, AVERAGE, wrt=PAIR),
        row_case(f"{DIGITS}: probabilities of next to 0 and next to 1", f, far, wrt=PAIR),
        {
            "from": "by hand: a certain answer has infinite odds, and no gradient from them",
            "inputs": {CHOSEN: [0.0, -1.0, 0.0], REJECTED: [-1.0, 0.0, 0.0]},
            "params": {"beta": 1.0},
            "values": [0.0, "Infinity", math.log(2)],
            "gradients": {CHOSEN: [-1.0] * 3, REJECTED: [0.0] * 3},
        },
    ]


class _Wide(Tensor):
    """Float64 that stays float64."""

    @staticmethod
    def __new__(cls, x: Tensor) -> Any:
        return x.as_subclass(cls)

    def float(self, *_: Any, **__: Any) -> Any:
        return self


def simpo() -> list[dict[str, Any]]:
    def f(params: Any, **given: Any) -> Any:
        chosen, rejected = (given[key] for key in PAIR)
        z = mpf(params.get("beta", 2)) * (chosen - rejected) - mpf(params.get("gamma", 0.5))
        return softplus(-z)

    def liger(**settings: Any) -> Any:
        rows = each_row(LigerFusedLinearSimPOFunction.preference_loss_fn, **settings)
        return lambda **given: rows(*given.values())

    def trl(**given: Tensor) -> Tensor:
        trainer = SimpleNamespace(
            beta=2.5, simpo_gamma=0.5, label_smoothing=0.125, alpha=0.0, loss_type="simpo",
            accelerator=SimpleNamespace(device="cpu"),
        )  # fmt: skip
        values: Tensor = _trl_cpo(trainer, *given.values())[0]
        return values

    far = {CHOSEN: [-1e4, -1.0, -120.0], REJECTED: [-1.0, -1e4, -1.0]}
    return [
        torch_case(
            "smooth: liger-kernel 0.8.5 SimPO", liger(beta=2.0, gamma=0.5), AVERAGE, wrt=PAIR
        ),
        torch_case(
            f"smooth: {TRL} CPOTrainer, simpo",
            trl,
            AVERAGE,
            {"beta": 2.5, "label_smoothing": 0.125},
            wrt=PAIR,
        ),
        row_case(f"{DIGITS}: log-probabilities to -1e4", f, far, wrt=PAIR),
    ]


def cpo() -> list[dict[str, Any]]:
    def trl(variant: str, nll_weight: float, **settings: Any) -> Any:
        trainer = SimpleNamespace(
            alpha=0.0, loss_type=variant, accelerator=SimpleNamespace(device="cpu"),
            **{"beta": 0.1, "label_smoothing": 0.0} | settings,
        )  # fmt: skip

        def rows(**given: Tensor) -> Tensor:
            value = _trl_cpo(trainer, given[CHOSEN], given[REJECTED])[0]
            count = given.get("chosen_tokens", torch.tensor(1.0))
            return value - nll_weight * given[CHOSEN] / count

        return rows

    def liger(**given: Tensor) -> Tensor:
        rows = each_row(LigerFusedLinearCPOFunction.preference_loss_fn, beta=0.1)
        return rows(*given.values())

    def f(params: Any, **given: Any) -> Any:
        chosen, rejected = (given[key] for key in PAIR)
        return softplus(mpf(0.1) * (rejected - chosen)) - chosen

    counted = BOTH | {"chosen_tokens": [3.0, 9.0, 1.0, 4.0]}
    far = {CHOSEN: [-1e4, -1.0, -120.0], REJECTED: [-1.0, -1e4, -1.0]}
    name = f"{TRL} CPOTrainer"
    return [
        torch_case(f"smooth: {name}", trl("sigmoid", 1.0), counted, wrt=PAIR),
        torch_case("liger-kernel 0.8.5 CPO", liger, BOTH, {"nll_weight": 0.0}, wrt=PAIR),
        torch_case(
            f"{name}, hinge",
            trl("hinge", 0.5),
            BOTH,
            {"variant": "hinge", "nll_weight": 0.5},
            wrt=PAIR,
        ),
        torch_case(
            f"{name}, ipo",
            trl("ipo", 1.0, beta=0.5),
            counted,
            {"variant": "ipo", "beta": 0.5},
            wrt=PAIR,
        ),
        torch_case(
            f"smooth: {name}, label smoothing",
            trl("sigmoid", 1.0, label_smoothing=0.25),
            counted,
            {"label_smoothing": 0.25},
            wrt=PAIR,
        ),
        row_case(f"{DIGITS}: log-probabilities to -1e4", f, far, wrt=PAIR),
    ]  # fmt: skip


def bradley_terry() -> list[dict[str, Any]]:
    trl = statement_alone(
        "trl", "trainer/reward_trainer.py", "compute_loss", "if 'margin' in inputs"
    )

    def rows(**given: Tensor) -> Tensor:
        def one(i: int) -> Tensor:
            inputs = {"margin": given["margins"][i]} if "margins" in given else {}
            chosen, rejected = given["chosen_rewards"][i], given["rejected_rewards"][i]
            value: Tensor = trl(
                inputs=inputs, rewards_chosen=chosen, rewards_rejected=rejected, nn=torch.nn
            )["loss"]
            return value

        return torch.stack([one(i) for i in range(len(given["chosen_rewards"]))])

    def centred(**given: Tensor) -> Tensor:
        total = given["chosen_rewards"] + given["rejected_rewards"]
        return rows(**given) + 0.25 * total.square()

    def f(params: Any, chosen_rewards: Any, rejected_rewards: Any) -> Any:
        z, share = chosen_rewards - rejected_rewards, mpf(params.get("label_smoothing", 0))
        return (1 - share) * softplus(-z) + share * softplus(z)

    near = {"chosen_rewards": randoms(711, 4), "rejected_rewards": randoms(712, 4)}
    far = {"chosen_rewards": [-1e4, 1e4, -120.0, 50.0], "rejected_rewards": [1e4, -1e4, 1.0, 50.0]}
    wrt, name = tuple(near), f"{TRL} RewardTrainer"
    margins = near | {"margins": [0.5, 0.0, 1.0, -0.25]}
    return [
        torch_case(f"smooth: {name}", rows, near, wrt=wrt),
        torch_case(f"smooth: {name}, margins", rows, margins, wrt=wrt),
        torch_case(f"{name}, centred", centred, margins, {"center_weight": 0.25}, wrt=wrt),
        row_case(f"{DIGITS}: rewards to 1e4", f, far, {"label_smoothing": 0.125}, wrt=wrt),
    ]


def slic() -> list[dict[str, Any]]:
    def theirs(**given: Tensor) -> Tensor:
        target = torch.ones_like(given[CHOSEN])
        value = F.margin_ranking_loss(given[CHOSEN], given[REJECTED], target, 1.0, reduction="none")
        regular = given.get("target_log_probabilities")
        return value if regular is None else value - 0.5 * regular

    near = {CHOSEN: [-3.0, -8.5, -2.25, -9.0], REJECTED: [-9.0, -2.5, -2.75, -8.25]}
    target = near | {"target_log_probabilities": randoms(713, 4, low=-20, high=0)}
    far = {CHOSEN: [-1e4, -1.0], REJECTED: [-1.0, -1e4], "target_log_probabilities": [-1e4, -1.0]}
    name = "torch 2.13.0 F.margin_ranking_loss"
    return [
        torch_case(f"smooth: {name}", theirs, near, wrt=PAIR),
        torch_case(f"smooth: {name} and a target", theirs, target, wrt=tuple(target)),
        torch_case(f"{name}, to -1e4", theirs, far, wrt=tuple(far)),
        {
            "from": "by hand: subgradient 0 at the margin, by ruling",
            "inputs": {CHOSEN: [-1.0], REJECTED: [-2.0]},
            "params": {},
            "values": [0.0],
            "gradients": {CHOSEN: [0.0], REJECTED: [0.0]},
        },
    ]


def rrhf() -> list[dict[str, Any]]:
    def f(params: Any, log_probabilities: Any, rewards: Any) -> Any:
        count = range(len(rewards))
        hinge = sum(
            (max(mpf(0), log_probabilities[i] - log_probabilities[j])
             for i in count for j in count if rewards[i] < rewards[j]),
            mpf(0),
        )  # fmt: skip
        best = max(count, key=lambda i: (rewards[i], -i))
        return hinge - mpf(params.get("nll_weight", 1)) * log_probabilities[best]

    wrt = ("log_probabilities",)
    near = {
        "log_probabilities": randoms(714, 3, 4, low=-3, high=0),
        "rewards": randoms(715, 3, 4),
    }
    far = {"log_probabilities": [[-1e4, -1.0, -120.0]], "rewards": [[1.0, -1e4, 0.5]]}
    paper = f"paper only: {DIGITS}"
    return [
        row_case(f"smooth: {paper}", f, near, wrt=wrt),
        row_case(f"smooth: {paper}: no likelihood", f, near, {"nll_weight": 0.0}, wrt=wrt),
        row_case(f"{paper}: to -1e4", f, far, {"nll_weight": 0.5}, wrt=wrt),
        {
            "from": "by hand: of equal rewards no pair counts, of equal answers there is no slope",
            "inputs": {"log_probabilities": [[-1.0, -1.0, -2.0]], "rewards": [[1.0, 0.0, 1.0]]},
            "params": {},
            "values": [2.0],
            "gradients": {"log_probabilities": [[-1.0, 1.0, -1.0]]},
        },
    ]


CASES = {
    "kto": kto,
    "orpo": orpo,
    "simpo": simpo,
    "cpo": cpo,
    "bradley_terry": bradley_terry,
    "slic": slic,
    "rrhf": rrhf,
}
