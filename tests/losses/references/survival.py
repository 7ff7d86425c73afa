"""cox, logistic_hazard, survival_pmf."""

from types import SimpleNamespace
from typing import Any

import torch
import torch.nn.functional as F
from mpmath import mp, mpf
from torch import Tensor

from references._foreign import function_alone
from references._mp import batch_case, log_softmax, row_case, softplus
from references._torch import randoms, torch_case

DIGITS = "mpmath 1.3.0, 50 digits"
LOGITS = ("logits",)
_NAMES: dict[str, Any] = {"torch": torch, "F": F, "Tensor": Tensor}
for _name in ("pad_col", "cumsum_reverse"):
    _NAMES[_name] = function_alone("pycox", "models/utils.py", _name, _NAMES)
_NAMES["utils"] = SimpleNamespace(**_NAMES)
for _name in (
    "_reduction", "nll_logistic_hazard", "nll_pmf", "nll_mtlr", "cox_ph_loss_sorted", "cox_ph_loss"
):  # fmt: skip
    _NAMES[_name] = function_alone("pycox", "models/loss.py", _name, _NAMES)
ROWS = {
    "logits": randoms(840, 5, 4),
    "intervals": [0, 3, 1, 2, 3],
    "events": [1, 1, 0, 0, 0],
}
FAR = {
    "logits": [[1e4, -1e4, 0.0], [-120.0, 50.0, 120.0], [1e4, 1e4, -1e4], [50.0, -50.0, 0.0]],
    "intervals": [1, 2, 1, 0],
    "events": [1, 1, 0, 0],
}


def cox() -> list[dict[str, Any]]:
    def f(params: Any, log_hazards: Any, durations: Any, events: Any) -> Any:
        values = []
        rows = range(len(log_hazards))
        for i in rows:
            if not events[i]:
                values.append(mpf(0))
                continue
            risk = [j for j in rows if durations[j] >= durations[i]]
            tied = [j for j in rows if durations[j] == durations[i] and events[j]]
            places = range(len(tied)) if params.get("ties", "efron") == "efron" else [0]
            # Relative to the row itself, or 1e4 has no digits left.
            at = [mp.exp(log_hazards[j] - log_hazards[i]) for j in risk]
            of_ties = [mp.exp(log_hazards[j] - log_hazards[i]) for j in tied]
            logs = [mp.log(sum(at) - mpf(k) / len(tied) * sum(of_ties)) for k in places]
            values.append(sum(logs) / len(logs))
        return values

    def case(source: str, inputs: Any, **params: Any) -> dict[str, Any]:
        made = batch_case(source, f, inputs, params, wrt=("log_hazards",))
        made["inputs"]["events"] = inputs["events"]
        made["denominator"] = float(sum(inputs["events"]))
        return made

    near = {
        "log_hazards": randoms(841, 5), "durations": [2.0, 3.0, 1.0, 5.0, 4.0],
        "events": [1, 0, 1, 1, 1],
    }  # fmt: skip
    ties = near | {"durations": [1.0, 3.0, 1.0, 3.0, 3.0]}
    far = {
        "log_hazards": [1e4, -1e4, 120.0, 9999.0], "durations": [1.0, 2.0, 1.0, 3.0],
        "events": [1, 1, 1, 0],
    }  # fmt: skip
    plain = case(f"smooth: {DIGITS}; the mean checked to 1e-6 with pycox 0.3.0 cox_ph_loss", near)
    tensors = [torch.tensor(near[key]) for key in ("log_hazards", "durations", "events")]
    theirs = float(_NAMES["cox_ph_loss"](tensors[0].double(), tensors[1], tensors[2].double()))
    assert abs(theirs - sum(plain["values"]) / 4) < 1e-6
    return [
        plain,
        case(f"smooth: paper only: {DIGITS}: ties by Efron", ties),
        case(f"smooth: paper only: {DIGITS}: ties by Breslow", ties, ties="breslow"),
        case(f"paper only: {DIGITS}: log-hazards to 1e4", far),
    ]


def logistic_hazard() -> list[dict[str, Any]]:
    def theirs(logits: Tensor, intervals: Tensor, events: Tensor) -> Tensor:
        values: Tensor = _NAMES["nll_logistic_hazard"](logits, intervals, events.double(), "none")
        return values

    def f(params: Any, logits: Any, intervals: int, events: int) -> Any:
        before = sum((softplus(z) for z in logits[:intervals]), mpf(0))
        return before + softplus(-logits[intervals] if events else logits[intervals])

    name = "pycox 0.3.0 nll_logistic_hazard"
    one = {"logits": randoms(842, 2, 1), "intervals": [0, 0], "events": [1, 0]}
    return [
        torch_case(f"smooth: {name}", theirs, ROWS, wrt=LOGITS),
        torch_case(f"smooth: {name}, one interval", theirs, one, wrt=LOGITS),
        row_case(f"{DIGITS}: logits to 1e4", f, FAR, wrt=LOGITS),
    ]


def survival_pmf() -> list[dict[str, Any]]:
    def f(params: Any, logits: Any, intervals: int, events: int) -> Any:
        if params.get("parameterization") == "mtlr":
            logits = [sum(logits[k:]) for k in range(len(logits))]
        log_p = log_softmax([*logits, mpf(0)])
        if events:
            return -log_p[intervals]
        later = log_p[intervals + 1 :]
        top = max(later)
        return -top - mp.log(sum(mp.exp(x - top) for x in later))

    def theirs(name: str) -> Any:
        def rows(logits: Tensor, intervals: Tensor, events: Tensor) -> Tensor:
            # Theirs adds 1e-7 within the logarithms unless told otherwise.
            values: Tensor = _NAMES[name](logits, intervals, events.double(), "none", 0.0)
            return values

        return rows

    mtlr = {"parameterization": "mtlr"}
    return [
        torch_case("smooth: pycox 0.3.0 nll_pmf", theirs("nll_pmf"), ROWS, wrt=LOGITS),
        torch_case("smooth: pycox 0.3.0 nll_mtlr", theirs("nll_mtlr"), ROWS, mtlr, wrt=LOGITS),
        row_case(f"{DIGITS}: logits to 1e4", f, FAR, wrt=LOGITS),
        row_case(f"{DIGITS}: logits to 1e4, mtlr", f, FAR, mtlr, wrt=LOGITS),
    ]


CASES = {"cox": cox, "logistic_hazard": logistic_hazard, "survival_pmf": survival_pmf}
