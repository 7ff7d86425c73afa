"""ppo_clip, ppo_value, policy_kl, grpo, reinforce, rloo, awr."""

from types import SimpleNamespace
from typing import Any

import torch
from liger_kernel.chunked_loss.grpo_loss import LigerFusedLinearGRPOFunction, k3_loss_fn
from mpmath import mp, mpf
from torch import Tensor

from references._foreign import float64_by_default, statement_alone
from references._mp import row_case
from references._torch import randoms, torch_case

DIGITS = "mpmath 1.3.0, 50 digits"
TRL = "trl 1.16.0 GRPOTrainer"
LOG_P, OLD, REFERENCE = (f"{x}log_probabilities" for x in ("", "old_", "reference_"))
ONLY = (LOG_P,)
TOKENS = {
    LOG_P: randoms(720, 4, 3, low=-2, high=0),
    OLD: randoms(721, 4, 3, low=-2, high=0),
    "advantages": [1.0, -1.5, 0.75, -0.5],
    "mask": [[1, 1, 1], [1, 1, 0], [1, 0, 0], [1, 1, 1]],
}
_STEPS = [
    statement_alone("trl", "trainer/grpo_trainer.py", "_compute_loss", starts)
    for starts in (
        "log_ratio = per_token_logps",
        "if self.importance_sampling_level == 'token'",
        "coef_1 = torch.exp",
        "if self.beta != 0.0",
        "if self.loss_type == 'cispo'",
    )
]
_REDUCE = statement_alone(
    "trl", "trainer/grpo_trainer.py", "_compute_loss", "if self.loss_type in ['grpo', 'sapo']"
)


def trl(method: str, denominator: str, size: float, **settings: Any) -> Any:
    """Token values, checked against the loss that the trainer makes of them."""
    defaults = {
        "importance_sampling_level": "token", "beta": 0.0, "epsilon_low": 0.2, "epsilon_high": 0.2,
        "delta": None, "max_completion_length": 5,
    }  # fmt: skip
    given = defaults | settings
    options = {"use_bias_correction_kl": False, "sapo_temperature_pos": 1.0,
               "sapo_temperature_neg": 1.05, "delta": given.pop("delta")}  # fmt: skip
    trainer = SimpleNamespace(
        loss_type=method, args=SimpleNamespace(**options, steps_per_generation=1),
        current_gradient_accumulation_steps=1, **given,
        accelerator=SimpleNamespace(num_processes=1),
    )  # fmt: skip

    def rows(**tensors: Tensor) -> Tensor:
        mask = tensors.get("mask", torch.ones_like(tensors[LOG_P])).double()
        names: dict[str, Any] = {
            "self": trainer,
            "torch": torch,
            "mode": "train",
            "mask": mask,
            "advantages": tensors["advantages"].unsqueeze(1),
            "per_token_logps": tensors[LOG_P],
            "old_per_token_logps": tensors[OLD],
            "inputs": {
                "ref_per_token_logps": tensors.get(REFERENCE),
                "num_items_in_batch": mask.sum(),
            },
        }
        with float64_by_default():
            for step in _STEPS:
                names = step(**names)
        if trainer.beta:
            names["per_token_loss"] = names["per_token_loss"] + trainer.beta * names["per_token_kl"]
        values: Tensor = names["per_token_loss"] * mask
        if denominator == "sequence_mean":
            values = values / mask.sum(1, keepdim=True).clamp(min=1.0)
        total = _REDUCE(**names)["loss"]
        assert abs(float(total.detach() - values.detach().sum() / size)) < 1e-12
        return values

    return rows


def _grpo_case(
    says: str, method: str, denominator: str, size: float, inputs: Any, params: Any, **settings: Any
) -> dict[str, Any]:
    return torch_case(
        f"{says} {TRL}, {method}".strip(),
        trl(method, denominator, size, **settings),
        inputs,
        params | {"denominator": denominator},
        wrt=ONLY,
        denominator=size,
    )


def grpo() -> list[dict[str, Any]]:
    kl = TOKENS | {REFERENCE: randoms(722, 4, 3, low=-2, high=0)}
    empty = TOKENS | {"mask": [[1, 1, 1], [0, 0, 0], [1, 0, 0], [0, 1, 1]]}
    whole = {key: x for key, x in TOKENS.items() if key != "mask"}
    one = "sequence_mean"
    far = {
        LOG_P: [[-1e4, -1.0, -1.0], [-1.0, -1e4, -120.0]],
        OLD: [[-1.0, -1e4, -1e4], [-1.0, -1.0, -1.0]],
        "advantages": [1.0, -1.0],
        "mask": [[1, 1, 0], [1, 1, 1]],
    }
    return [
        _grpo_case("smooth:", "grpo", one, 4.0, kl, {"kl_weight": 0.25}, beta=0.25),
        _grpo_case(
            "smooth:", "dapo", "tokens", 9.0, TOKENS, {"epsilon_high": 0.28}, epsilon_high=0.28
        ),
        _grpo_case("", "bnpo", "tokens", 12.0, whole, {}),
        _grpo_case("", "dr_grpo", "maximal_tokens", 20.0, TOKENS, {"max_tokens": 5}),
        _grpo_case("an answer without tokens:", "grpo", one, 4.0, empty, {}),
        _grpo_case(
            "two-sided clip:", "luspo", "sequences", 4.0, TOKENS, {"delta": 1.5}, delta=1.5
        ),
        _grpo_case(
            "smooth: ratio of the sequence (GSPO):", "grpo", one, 4.0, TOKENS,
            {"importance_level": "sequence"}, importance_sampling_level="sequence",
        ),
        _grpo_case(
            "", "cispo", "tokens", 9.0, TOKENS,
            {"surrogate": "cispo", "epsilon_high": 1.25}, epsilon_high=1.25,
        ),
        _grpo_case("smooth:", "sapo", one, 4.0, TOKENS, {"surrogate": "sapo"}),
        _grpo_case("log-ratios of 60:", "sapo", one, 2.0, _bounded(far), {"surrogate": "sapo"}),
        {
            "from": "by hand: log-ratios of 1e4 are flat where they are clipped",
            "inputs": far,
            "params": {"delta": 2.0},
            "values": [[0.0, -1.2, 0.0], [1.0, 0.8, 0.8]],
            "denominator": 5.0,
            "gradients": {LOG_P: [[0.0, 0.0, 0.0], [1.0, 0.0, 0.0]]},
        },
    ]  # fmt: skip


def _bounded(inputs: dict[str, Any]) -> dict[str, Any]:
    """Beyond this their exponential overflows."""
    return inputs | {
        key: [[max(-60.0, x) for x in row] for row in inputs[key]] for key in (LOG_P, OLD)
    }


def ppo_clip() -> list[dict[str, Any]]:
    def theirs(**settings: Any) -> Any:
        def rows(**given: Tensor) -> Tensor:
            def one(p: Tensor, old: Tensor, advantage: Tensor) -> Tensor:
                value: Tensor = LigerFusedLinearGRPOFunction.ppo_loss_fn(
                    p.view(1, 1),
                    torch.ones(1, 1),
                    advantage.view(1),
                    torch.ones(1, 1),
                    old_per_token_logps=old.view(1, 1),
                    beta=0.0,
                    loss_type="bnpo",
                    **settings,
                )[0]
                return value  # fmt: skip

            flat = zip(*(given[key].flatten() for key in (LOG_P, OLD, "advantages")), strict=True)
            values = torch.stack([one(*each) for each in flat]).view_as(given[LOG_P])
            return values * given.get("mask", torch.tensor(1.0))

        return rows

    near = {LOG_P: randoms(723, 6, low=-2, high=0), OLD: randoms(724, 6, low=-2, high=0),
            "advantages": randoms(725, 6)}  # fmt: skip
    grid = {LOG_P: randoms(726, 2, 3, low=-2, high=1), OLD: randoms(727, 2, 3, low=-2, high=1),
            "advantages": randoms(728, 2, 3), "mask": [[1, 1, 0], [1, 0, 1]]}  # fmt: skip
    name = "liger-kernel 0.8.5 GRPO of single tokens"
    return [
        torch_case(f"smooth: {name}", theirs(), near, wrt=ONLY, denominator=6.0),
        torch_case(f"smooth: {name}, masked", theirs(), grid, wrt=ONLY, denominator=4.0),
        torch_case(
            f"{name}, two clips and a bound",
            theirs(epsilon_low=0.5, epsilon_high=0.25, delta=1.5),
            near,
            {"clip_low": 0.5, "clip_high": 0.25, "dual_clip": 1.5},
            wrt=ONLY,
            denominator=6.0,
        ),
        {
            "from": "by hand: log-ratios of 1e4 are flat where they are clipped; no advantage, no "
            "gradient",
            "inputs": {LOG_P: [1e4, -1e4, 1e4, 0.0], OLD: [0.0] * 4,
                       "advantages": [1.0, -1.0, 0.0, 2.0]},
            "params": {},
            "values": [-1.2, 0.8, 0.0, -2.0],
            "denominator": 4.0,
            "gradients": {LOG_P: [0.0, 0.0, 0.0, -2.0]},
        },
    ]  # fmt: skip


def ppo_value() -> list[dict[str, Any]]:
    def f(params: Any, values: Any, old_values: Any, returns: Any, mask: int = 1) -> Any:
        value, clip = (values - returns) ** 2, params.get("clip", 0.2)
        if clip is not None:
            near = min(max(values, old_values - mpf(clip)), old_values + mpf(clip))
            value = max(value, (near - returns) ** 2)
        return mask * value * (mpf(0.5) if params.get("half", True) else 1)

    def counts(params: Any, **given: Any) -> Any:
        return mpf(given.get("mask", 1))

    def case(source: str, inputs: Any, **params: Any) -> dict[str, Any]:
        return row_case(source, f, inputs, params, wrt=("values",), weight=counts)

    near = {"values": randoms(729, 6), "old_values": randoms(730, 6), "returns": randoms(731, 6)}
    far = {"values": [1e4, -1e4, 0.0], "old_values": [0.0, 1e4, 0.0], "returns": [-1e4, 1.0, 120.0]}
    paper = f"paper only: {DIGITS}"
    return [
        case(f"smooth: {paper}", near, clip=1.0),
        case(f"smooth: {paper}: without a clip", near, clip=None, half=False),
        case(f"{paper}: masked", near | {"mask": [1, 0, 1, 1, 0, 1]}, clip=0.5),
        case(f"{paper}: to 1e4", far),
        {
            "from": "by hand: gradient 0 at the edge of the clip, by ruling",
            "inputs": {"values": [1.5], "old_values": [1.0], "returns": [0.0]},
            "params": {"clip": 0.5},
            "values": [1.125],
            "denominator": 1.0,
            "gradients": {"values": [0.0]},
        },
    ]


def policy_kl() -> list[dict[str, Any]]:
    def k3(**given: Tensor) -> Tensor:
        values: Tensor = k3_loss_fn(given[REFERENCE], given[LOG_P])
        return values * given.get("mask", torch.tensor(1.0))

    def f(params: Any, **given: Any) -> Any:
        d = given[REFERENCE] - given[LOG_P]
        return {"k1": -d, "k2": d * d / 2, "k3": mp.expm1(d) - d}[params.get("estimator", "k3")]

    def one(params: Any, **given: Any) -> Any:
        return mpf(1)

    near = {
        LOG_P: randoms(732, 2, 3, low=-3, high=0),
        REFERENCE: randoms(733, 2, 3, low=-3, high=0),
    }
    row = {LOG_P: randoms(734, 4, low=-3, high=0), REFERENCE: randoms(735, 4, low=-3, high=0)}
    close = {LOG_P: [-1.0, -1.0, -1.0], REFERENCE: [-1.0, -81.0, 79.0]}
    name = "liger-kernel 0.8.5 k3_loss_fn"
    k1, k2 = ({"estimator": each} for each in ("k1", "k2"))
    return [
        torch_case(f"smooth: {name}", k3, near, wrt=ONLY, denominator=6.0),
        torch_case(
            f"{name}, masked",
            k3,
            near | {"mask": [[1, 0, 0], [1, 1, 1]]},
            wrt=ONLY,
            denominator=4.0,
        ),
        row_case(f"smooth: {DIGITS}: k1", f, row, k1, wrt=ONLY, weight=one),
        row_case(f"smooth: {DIGITS}: k2", f, row, k2, wrt=ONLY, weight=one),
        row_case(f"{DIGITS}: k3 of equal and of far policies", f, close, wrt=ONLY, weight=one),
    ]  # fmt: skip


def reinforce() -> list[dict[str, Any]]:
    def theirs(**given: Tensor) -> Tensor:
        chosen = torch.distributions.Categorical(
            logits=torch.stack([given[LOG_P], torch.log1p(-given[LOG_P].exp())], -1),
            validate_args=False,
        )
        value = -(given["returns"] - given.get("baselines", torch.tensor(0.0)))
        value = value * chosen.log_prob(torch.zeros_like(given[LOG_P]))
        return value * given.get("mask", torch.tensor(1.0))  # fmt: skip

    near = {LOG_P: randoms(736, 4, low=-3, high=0), "returns": randoms(737, 4)}
    grid = {
        LOG_P: randoms(738, 2, 3, low=-3, high=0), "returns": randoms(739, 2, 3),
        "baselines": randoms(740, 2, 3), "mask": [[1, 1, 0], [1, 1, 1]],
    }  # fmt: skip
    name = "torch 2.13.0 distributions.Categorical.log_prob"
    return [
        torch_case(f"smooth: {name}", theirs, near, wrt=ONLY, denominator=4.0),
        torch_case(f"smooth: {name}, baselines, masked", theirs, grid, wrt=ONLY, denominator=5.0),
        {
            "from": "by hand: far",
            "inputs": {LOG_P: [-1e4, -1e-30], "returns": [-1e4, 2.0]},
            "params": {},
            "values": [-1e8, 2e-30],
            "denominator": 2.0,
            "gradients": {LOG_P: [1e4, -2.0]},
        },
    ]


def rloo() -> list[dict[str, Any]]:
    steps = [
        statement_alone("trl", "trainer/rloo_trainer.py", "_generate_and_score_completions", starts)
        for starts in (
            "grouped_rewards = ",
            "scorable_counts = ",
            "grouped_sum = ",
            "if num_generations > 1:\n    baselines",
        )
    ]

    def theirs(**given: Tensor) -> Tensor:
        rewards, count = given["rewards"], given["rewards"].shape[1]
        names: dict[str, Any] = {
            "rewards": rewards.flatten(), "num_generations": count, "torch": torch,
            "self": SimpleNamespace(num_generations=count),
        }  # fmt: skip
        for step in steps:
            names = step(**names)
        return -names["advantages"].view_as(rewards) * given[LOG_P]

    def mean(**given: Tensor) -> Tensor:
        return -(given["rewards"] - given["rewards"].mean(1, keepdim=True)) * given[LOG_P]

    near = {LOG_P: randoms(741, 3, 4, low=-9, high=0), "rewards": randoms(742, 3, 4)}
    far = {LOG_P: [[-1e4, -1.0]], "rewards": [[1e4, -1e4]]}
    name = "trl 1.16.0 RLOOTrainer"
    return [
        torch_case(f"smooth: {name}", theirs, near, wrt=ONLY),
        torch_case(
            "smooth: torch 2.13.0, mean of all", mean, near, {"leave_one_out": False}, wrt=ONLY
        ),
        torch_case(f"{name}, far", theirs, far, wrt=ONLY),
        {
            "from": "by hand: a single answer is its own baseline",
            "inputs": {LOG_P: [[-1.0], [-2.0]], "rewards": [[3.0], [-1.0]]},
            "params": {},
            "values": [[0.0], [0.0]],
            "gradients": {LOG_P: [[0.0], [0.0]]},
        },
    ]


def awr() -> list[dict[str, Any]]:
    def f(params: Any, log_probabilities: Any, advantages: Any) -> Any:
        weight = mp.exp(mpf(advantages) / mpf(params.get("temperature", 1)))
        return -min(weight, mpf(params.get("max_weight", 20))) * log_probabilities

    near = {LOG_P: randoms(743, 5, low=-4, high=1), "advantages": randoms(744, 5)}
    far = {LOG_P: [-1e4, -1.0, -2.0], "advantages": [-1e4, 1e4, 120.0]}
    paper = f"paper only: {DIGITS}"
    tuned = {"temperature": 0.5, "max_weight": 2.0}
    return [
        row_case(f"smooth: {paper}", f, near, wrt=ONLY),
        row_case(f"smooth: {paper}: capped", f, near, tuned, wrt=ONLY),
        row_case(f"{paper}: advantages of 1e4", f, far, wrt=ONLY),
    ]


CASES = {
    "ppo_clip": ppo_clip,
    "ppo_value": ppo_value,
    "policy_kl": policy_kl,
    "grpo": grpo,
    "reinforce": reinforce,
    "rloo": rloo,
    "awr": awr,
}
