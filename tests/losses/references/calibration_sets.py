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


def mdca() -> list[dict[str, Any]]:
    def f(params: Any, logits: Any, labels: Any) -> Any:
        chances = [[mp.exp(x) for x in log_softmax(z)] for z in logits]
        total = mpf(0)
        for k in range(len(logits[0])):
            pairs = zip(chances, labels, strict=True)
            total += abs(sum(p[k] - (int(y) == k) for p, y in pairs))
        return total / len(logits[0]) / len(logits)

    name = f"paper only: {DIGITS}"
    return [
        whole_case(f"smooth: {name}", f, ROWS, wrt=Z),
        whole_case(f"{name}: logits to 1e4", f, WIDE, wrt=Z),
        {
            "from": "by hand: on average every class is as likely as it is frequent; no gradient",
            "inputs": {"logits": [[1.0, 1.0], [2.0, 2.0]], "labels": [0, 1]},
            "params": {},
            "values": 0.0,
            "gradients": {"logits": [[0.0, 0.0], [0.0, 0.0]]},
        },
    ]


def avuc() -> list[dict[str, Any]]:
    def f(params: Any, logits: Any, labels: Any) -> Any:
        limit, eps = mpf(params.get("threshold", 0.5)), mpf(params.get("eps", 1e-10))
        good = bad = mpf(0)
        for z, (r, e) in zip(logits, _rows(logits, labels), strict=True):
            log_p = log_softmax(z)
            u = -sum(mp.exp(x) * x for x in log_p)
            certain, accurate = u <= limit, e >= 0
            part = (r if accurate else 1 - r) * (1 - mp.tanh(u) if certain else mp.tanh(u))
            good, bad = (good + part, bad) if certain == accurate else (good, bad + part)
        return mp.log1p(bad / (good + eps))

    name = f"paper only: {DIGITS}"
    alone = {"logits": [[1.0, 0.5, 0.25]], "labels": [0]}
    return [
        whole_case(f"smooth: {name}", f, ROWS, wrt=Z),
        whole_case(f"smooth: {name}", f, ROWS, {"threshold": 0.75, "eps": 0.25}, wrt=Z),
        whole_case(f"{name}: logits to 1e4", f, WIDE, wrt=Z),
        whole_case(f"{name}: no row is good", f, alone, {"threshold": 0.125}, wrt=Z),
    ]


def objectosphere() -> list[dict[str, Any]]:
    def f(params: Any, features: Any, is_outlier: Any) -> Any:
        square = sum(x * x for x in features)
        if is_outlier:
            return square
        return max(mpf(0), mpf(params.get("radius", 10.0)) - mp.sqrt(square)) ** 2

    near = {"features": randoms(344, 4, 3), "is_outlier": [0, 1, 0, 1]}
    wide = {"features": [[50.0, 0.0], [1e4, -1e4], [1e4, 120.0]], "is_outlier": [0, 1, 0]}
    name, wrt = f"paper only: {DIGITS}", ("features",)
    return [
        row_case(f"smooth: {name}", f, near, wrt=wrt),
        row_case(f"{name}: features to 1e4", f, wide, {"radius": 100.0}, wrt=wrt),
        {
            "from": "by hand: features of 0 have no direction; at the radius the gradient is 0",
            "inputs": {"features": [[0.0, 0.0], [0.0, 0.0], [3.0, 4.0]], "is_outlier": [0, 1, 0]},
            "params": {"radius": 5.0},
            "values": [25.0, 0.0, 0.0],
            "gradients": {"features": [[0.0, 0.0], [0.0, 0.0], [0.0, 0.0]]},
        },
    ]


CASES = {
    "mmce": mmce,
    "soft_calibration_error": soft_calibration_error,
    "outlier_exposure": outlier_exposure,
    "energy_margin": energy_margin,
    "mdca": mdca,
    "avuc": avuc,
    "objectosphere": objectosphere,
}
