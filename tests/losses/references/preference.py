"""dpo, aot."""

import math
from types import SimpleNamespace
from typing import Any

import torch
import torch.nn.functional as F
from liger_kernel.chunked_loss.dpo_loss import LigerFusedLinearDPOFunction
from mpmath import mp, mpf
from torch import Tensor

from references._foreign import float64_by_default, statement_alone
from references._mp import batch_case, row_case, softplus
from references._torch import randoms, torch_case

CHOSEN, REJECTED = "chosen_log_probabilities", "rejected_log_probabilities"


PAIR = (CHOSEN, REJECTED)


BOTH = {CHOSEN: randoms(700, 4, low=-20, high=0), REJECTED: randoms(701, 4, low=-20, high=0)}


REFERENCE = {
    f"reference_{CHOSEN}": randoms(704, 4, low=-20, high=0),
    f"reference_{REJECTED}": randoms(705, 4, low=-20, high=0),
}


FAR = {
    CHOSEN: [-1e4, -1.0, -120.0, -1e4],
    REJECTED: [-1.0, -1e4, -1.0, -1e4],
    f"reference_{CHOSEN}": [-1.0, -1e4, -1.0, -1e4],
    f"reference_{REJECTED}": [-1e4, -1.0, -120.0, -1e4],
}


DIGITS = "mpmath 1.3.0, 50 digits"


TRL = "trl 1.16.0"


_trl_dpo = statement_alone(
    "trl", "trainer/dpo_trainer.py", "_compute_loss", "for loss_type, loss_weight in zip"
)


def each_row(function: Any, **settings: Any) -> Any:
    """Values of rows by a function that returns their sum over the number of pairs."""

    def rows(*columns: Tensor) -> Tensor:
        pair = torch.zeros(2)
        return torch.stack(
            [function(*(x[i : i + 1] for x in columns), pair, **settings)[0]
             for i in range(len(columns[0]))]
        )  # fmt: skip

    return rows


def trl_dpo(variant: str, **settings: Any) -> Any:
    def rows(
        chosen_log_probabilities: Tensor,
        rejected_log_probabilities: Tensor,
        reference_chosen_log_probabilities: Tensor,
        reference_rejected_log_probabilities: Tensor,
        chosen_tokens: Tensor | None = None,
        rejected_tokens: Tensor | None = None,
    ) -> Tensor:
        chosen = chosen_log_probabilities - reference_chosen_log_probabilities
        rejected = rejected_log_probabilities - reference_rejected_log_probabilities
        trainer = {"beta": 0.1, "label_smoothing": 0.0, "use_weighting": False} | settings
        names: dict[str, Any] = {
            "self": SimpleNamespace(
                loss_types=[variant],
                loss_weights=[1.0],
                args=SimpleNamespace(discopop_tau=0.05),
                **trainer,
            ),
            "torch": torch,
            "F": F,
            "math": math,
            "device": "cpu",
            "loss": 0.0,
            "chosen_logratios": chosen,
            "rejected_logratios": rejected,
            "chosen_scores": chosen,
            "rejected_scores": rejected,
            "delta_score": chosen - rejected,
            "ref_chosen_logps": reference_chosen_log_probabilities,
            "ref_rejected_logps": reference_rejected_log_probabilities,
            "chosen_logps": chosen_log_probabilities,
            "rejected_logps": rejected_log_probabilities,
        }
        if chosen_tokens is not None and rejected_tokens is not None:
            counts = torch.cat([chosen_tokens, rejected_tokens])
            names["completion_mask"] = (torch.arange(64) < counts[:, None]).double()
        with float64_by_default():
            values: Tensor = _trl_dpo(**names)["per_sequence_loss"]
        return values

    return rows


def dpo() -> list[dict[str, Any]]:
    near = BOTH | REFERENCE
    counted = near | {
        "chosen_tokens": [7.0, 12.0, 3.0, 20.0],
        "rejected_tokens": [9.0, 2.0, 4.0, 31.0],
    }
    cases = []
    for variant in (
        "sigmoid", "hinge", "nca_pair", "bco_pair", "sppo_hard", "apo_zero", "apo_down", "discopop",
        "ipo",
    ):  # fmt: skip
        smooth = "smooth: " if variant in ("sigmoid", "discopop", "apo_down") else ""
        params = {"variant": variant}
        cases.append(
            torch_case(
                f"{smooth}{TRL} DPOTrainer, {variant}",
                trl_dpo(variant),
                near | ({"chosen_tokens": [1.0] * 4, "rejected_tokens": [1.0] * 4}
                        if variant == "ipo" else {}),
                params,
                wrt=PAIR,
                denominator=4.0,
            )
        )  # fmt: skip
    for variant in ("ipo", "sigmoid_norm"):
        cases.append(
            torch_case(
                f"smooth: {TRL} DPOTrainer, {variant}, by tokens",
                trl_dpo(variant, beta=0.5),
                counted,
                {"variant": variant, "beta": 0.5},
                wrt=PAIR,
                denominator=4.0,
            )
        )
    for variant in ("robust", "exo_pair"):
        cases.append(
            torch_case(
                f"smooth: {TRL} DPOTrainer, {variant}",
                trl_dpo(variant, label_smoothing=0.125),
                near,
                {"variant": variant, "label_smoothing": 0.125},
                wrt=PAIR,
                denominator=4.0,
            )
        )
    return [*cases, *_other_dpo(near, counted)]


def _other_dpo(near: dict[str, Any], counted: dict[str, Any]) -> list[dict[str, Any]]:
    def liger(**given: Tensor) -> Tensor:
        def call(chosen: Tensor, rejected: Tensor, a: Tensor, b: Tensor, pair: Tensor) -> Any:
            return LigerFusedLinearDPOFunction.preference_loss_fn(chosen, rejected, pair, a, b)

        values: Tensor = each_row(call)(*given.values())
        return values

    def scored(score: Any) -> Any:
        def rows(**given: Tensor) -> Tensor:
            chosen, rejected, a, b = given.values()
            return -F.logsigmoid(0.5 * (score(chosen - a) - score(rejected - b)))

        return rows

    def f(params: Any, **given: Any) -> Any:
        chosen, rejected, a, b = given.values()
        z = mpf(params.get("beta", 0.1)) * ((chosen - a) - (rejected - b))
        variant, share = params.get("variant"), mpf(params.get("label_smoothing", 0))
        if variant == "discopop":
            gate = 1 / (1 + mp.exp(-z / mpf(0.05)))
            return softplus(-z) * (1 - gate) + mp.exp(-z) * gate
        if variant == "exo_pair":
            q = 1 / (1 + mp.exp(-z))
            won, lost = -softplus(-z) - mp.log(1 - share), -softplus(z) - mp.log(share)
            return q * won + (1 - q) * lost
        return (1 - share) * softplus(-z) + share * softplus(z)

    def far(source: str, inputs: Any = FAR, **params: Any) -> dict[str, Any]:
        return row_case(source, f, inputs, params, wrt=PAIR, weight=lambda *_, **__: mpf(1))

    def sft(**given: Tensor) -> Tensor:
        return -given[CHOSEN] + 0.0 * given[REJECTED]

    name = "formula of TRL 1.16.0 in torch 2.13.0"
    return [
        torch_case("liger-kernel 0.8.5 DPO", liger, near, wrt=PAIR, denominator=4.0),
        torch_case(
            f"smooth: {name}: forward_kl",
            scored(lambda x: 1 - torch.exp(-x)),
            dict(zip(near, randoms(706, 4, 4, low=-8, high=-2), strict=True)),
            {"f_divergence": "forward_kl", "beta": 0.5},
            wrt=PAIR,
            denominator=4.0,
        ),
        torch_case(
            f"smooth: {name}: js_divergence",
            scored(lambda x: math.log(2) + F.logsigmoid(x)),
            near,
            {"f_divergence": "js_divergence", "beta": 0.5},
            wrt=PAIR,
            denominator=4.0,
        ),
        far(f"smooth: {DIGITS}: label smoothing", near, label_smoothing=0.25),
        far(f"{DIGITS}: log-probabilities to -1e4"),
        far(f"{DIGITS}: log-probabilities to -1e4", variant="discopop"),
        far(f"{DIGITS}: log-probabilities to -1e4", variant="exo_pair", label_smoothing=1e-3),
        torch_case(
            "by definition: the sum of tokens over their number",
            sft,
            counted,
            {"variant": "sft"},
            wrt=PAIR,
            denominator=42.0,
        ),
        {
            "from": "by hand: subgradient 0 at the hinge, by ruling",
            "inputs": {CHOSEN: [-1.0], REJECTED: [-2.0], f"reference_{CHOSEN}": [-2.0],
                       f"reference_{REJECTED}": [-2.0]},
            "params": {"variant": "hinge", "beta": 1.0},
            "values": [0.0],
            "denominator": 1.0,
            "gradients": {CHOSEN: [0.0], REJECTED: [0.0]},
        },
    ]  # fmt: skip


def aot() -> list[dict[str, Any]]:
    def trl(variant: str, smoothing: float = 0.0) -> Any:
        theirs = trl_dpo(variant, label_smoothing=smoothing)

        def rows(**given: Tensor) -> Tensor:
            chosen, rejected, a, _ = given.values()
            holds = (chosen - rejected) if variant == "aot" else (chosen - a)
            place = holds.argsort().argsort()
            values: Tensor = theirs(**given)[place]
            return values

        return rows

    def f(params: Any, **given: Any) -> Any:
        chosen, rejected, a, b = given.values()
        held = [x - y for x, y in zip(chosen, rejected, strict=True)]
        others = sorted(x - y for x, y in zip(a, b, strict=True))
        order = sorted(range(len(held)), key=lambda i: mp.nint(held[i] * 64))
        place = {i: k for k, i in enumerate(order)}
        return [softplus(mpf(0.1) * (others[place[i]] - held[i])) for i in range(len(held))]

    near, apart = BOTH | REFERENCE, {"paired": False, "label_smoothing": 0.125}
    far = {key: FAR[key][:3] for key in FAR}
    return [
        torch_case(f"smooth: {TRL} DPOTrainer, aot", trl("aot"), near, wrt=PAIR),
        torch_case(
            f"smooth: {TRL} DPOTrainer, aot_unpaired",
            trl("aot_unpaired", 0.125),
            near,
            apart,
            wrt=PAIR,
        ),
        batch_case(f"{DIGITS}: log-probabilities to -1e4", f, far, wrt=PAIR),
    ]


CASES = {
    "dpo": dpo,
    "aot": aot,
}
