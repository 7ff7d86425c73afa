"""mmce, soft_calibration_error, outlier_exposure, energy_margin."""

from typing import Any

import torch
import torch.nn.functional as F
from mpmath import mp, mpf
from netcal.regularization.MMCEPenalty import MMCEPenalty

from references._mp import log_softmax, row_case
from references._torch import labels, randoms, torch_case
from references._whole import whole_case

Z = ("logits",)
DIGITS = "mpmath 1.3.0, 50 digits"
EXTREME = f"{DIGITS}: logits to 1e4"
ROWS = {"logits": randoms(341, 5, 3), "labels": labels(342, 3, 5)}
WIDE = {
    "logits": [[50.0, -50.0, 0.0], [120.0, -120.0, 119.0], [1e4, -1e4, 0.0], [0.5, 0.0, 0.25]],
    "labels": [1, 0, 0, 0],
}
OUTLIERS = {"logits": randoms(343, 4, 3), "is_outlier": [0, 1, 0, 1]}


def _rows(logits: Any, labels: Any) -> list[tuple[Any, Any]]:
    """The confidence of each row, and 1 or 0 less it."""
    found = []
    for z, y in zip(logits, labels, strict=True):
        log_p = log_softmax(z)
        best = max(range(len(z)), key=lambda k, z=z: z[k])
        right = best == int(y)
        found.append(
            (mp.exp(log_p[best]), -mp.expm1(log_p[best]) if right else -mp.exp(log_p[best]))
        )
    return found


def mmce() -> list[dict[str, Any]]:
    def f(params: Any, logits: Any, labels: Any) -> Any:
        rows, width = _rows(logits, labels), mpf(params.get("width", 0.4))
        right = sum(1 for _, e in rows if e >= 0)
        sides = {True: right, False: len(rows) - right}
        total = mpf(0)
        for r, e in rows:
            for s, d in rows:
                count = len(rows) ** 2
                if params.get("weighted"):
                    count = sides[e >= 0] * sides[d >= 0]
                total += e * d * mp.exp(-abs(r - s) / width) / count
        return total if params.get("squared") else mp.sqrt(total)

    weighted = whole_case(
        f"smooth: {DIGITS}; value checked with netcal 1.3.6 MMCEPenalty",
        f,
        ROWS,
        {"weighted": True},
        wrt=Z,
    )
    theirs = MMCEPenalty()(
        torch.tensor(ROWS["logits"], dtype=torch.float64), torch.tensor(ROWS["labels"])
    )
    assert abs(theirs.item() - weighted["values"]) < 1e-12
    return [
        weighted,
        whole_case(f"smooth: paper only: {DIGITS}", f, ROWS, wrt=Z),
        whole_case(
            f"smooth: paper only: {DIGITS}", f, ROWS, {"squared": True, "width": 0.1}, wrt=Z
        ),
        whole_case(EXTREME, f, WIDE, wrt=Z),
        {
            "from": "by hand: a batch that is sure and right costs nothing, without a gradient",
            "inputs": {"logits": [[1e4, 0.0], [0.0, 1e4]], "labels": [0, 1]},
            "params": {},
            "values": 0.0,
            "gradients": {"logits": [[0.0, 0.0], [0.0, 0.0]]},
        },
    ]


def soft_calibration_error() -> list[dict[str, Any]]:
    def f(params: Any, logits: Any, labels: Any) -> Any:
        rows, bins = _rows(logits, labels), params.get("bins", 15)
        heat, p = mpf(params.get("temperature", 0.01)), params.get("p", 2)
        total, members = mpf(0), []
        for r, _ in rows:
            near = [-((r - (mpf(b) + mpf(1) / 2) / bins) ** 2) / heat for b in range(bins)]
            members.append([mp.exp(x) for x in log_softmax(near)])
        for b in range(bins):
            size = sum(each[b] for each in members)
            off = sum(each[b] * e for each, (_, e) in zip(members, rows, strict=True)) / size
            total += size / len(rows) * abs(off) ** p
        return total ** (mpf(1) / p)

    name = f"paper only: {DIGITS}"
    sharp = {"temperature": 2.0**-12, "p": 1, "bins": 4}
    return [
        whole_case(f"smooth: {name}", f, ROWS, wrt=Z),
        whole_case(f"smooth: {name}", f, ROWS, {"p": 1, "bins": 3}, wrt=Z),
        whole_case(f"{name}: logits to 1e4", f, WIDE, wrt=Z),
        whole_case(f"{name}: nearly hard bins, some of them empty", f, ROWS, sharp, wrt=Z),
        {
            "from": "by hand: a batch that is sure and right costs nothing, without a gradient",
            "inputs": {"logits": [[1e4, 0.0], [0.0, 1e4]], "labels": [0, 1]},
            "params": {},
            "values": 0.0,
            "gradients": {"logits": [[0.0, 0.0], [0.0, 0.0]]},
        },
    ]


def outlier_exposure() -> list[dict[str, Any]]:
    def f(params: Any, logits: Any, labels: Any, is_outlier: Any) -> Any:
        log_p = log_softmax(logits)
        if is_outlier:
            return -mpf(params.get("coefficient", 0.5)) * sum(log_p) / len(log_p)
        return -log_p[labels]

    def uniform(logits: Any, labels: Any, is_outlier: Any) -> Any:
        evenly = F.cross_entropy(logits, torch.full_like(logits, 1 / 3), reduction="none")
        known = F.cross_entropy(logits, labels, reduction="none")
        return torch.where(is_outlier == 1, 0.5 * evenly, known)

    given = OUTLIERS | {"labels": [2, 0, 1, 0]}
    wide = WIDE | {"is_outlier": [1, 0, 1, 1]}
    name = "torch 2.13.0 F.cross_entropy of labels and of even targets"
    return [
        torch_case(f"smooth: {name}", uniform, given, wrt=Z),
        torch_case(f"smooth: {name}", uniform, given | {"is_outlier": [0] * 4}, wrt=Z),
        row_case(EXTREME, f, wide, {"coefficient": 2.0}, wrt=Z),
    ]


def energy_margin() -> list[dict[str, Any]]:
    def f(params: Any, logits: Any, is_outlier: Any) -> Any:
        heat = mpf(params.get("temperature", 1.0))
        scaled = [z / heat for z in logits]
        energy = heat * (log_softmax(scaled)[0] - scaled[0])
        over = (
            mpf(params.get("margin_outlier", -5.0)) - energy
            if is_outlier
            else energy - mpf(params.get("margin_familiar", -23.0))
        )
        return max(mpf(0), over) ** 2

    margins = {"margin_familiar": -2.0, "margin_outlier": -1.5}
    heat = {"temperature": 2.0}
    wide = {"logits": WIDE["logits"], "is_outlier": [1, 1, 1, 0]}
    return [
        row_case(f"smooth: paper only: {DIGITS}", f, OUTLIERS, margins, wrt=Z),
        row_case(f"smooth: paper only: {DIGITS}: temperature", f, OUTLIERS, heat, wrt=Z),
        row_case(f"{DIGITS}: logits to 1e4", f, wide, wrt=Z),
        {
            "from": "by hand: at the margin nothing is paid and the gradient is 0",
            "inputs": {"logits": [[2.0], [2.0]], "is_outlier": [0, 1]},
            "params": {"margin_familiar": -2.0, "margin_outlier": -2.0},
            "values": [0.0, 0.0],
            "gradients": {"logits": [[0.0], [0.0]]},
        },
    ]


CASES = {
    "mmce": mmce,
    "soft_calibration_error": soft_calibration_error,
    "outlier_exposure": outlier_exposure,
    "energy_margin": energy_margin,
}
