"""Losses of calibration that look at one item: focal kin, smoothing, temperature, neighbours."""

from typing import Any

import torch
import torch.nn.functional as F
from monai.losses import NACLLoss
from mpmath import mp, mpf

from references._mp import INF, log_softmax, row_case
from references._torch import labels, randoms, torch_case

Z = ("logits",)
DIGITS = "mpmath 1.3.0, 50 digits"
PAPER = f"paper only: {DIGITS}"
EXTREME = f"{PAPER}: logits to 1e4"
ROWS = {"logits": randoms(331, 4, 3), "labels": labels(332, 3, 4)}
WIDE = {
    "logits": [[50.0, -50.0, 0.0], [120.0, -120.0, 119.0], [1e4, -1e4, 0.0], [0.5, 0.0, 0.25]],
    "labels": [1, 0, 1, 0],
}
MASKED = {"logits": [[1e4, -1e4, 0.0], [1.0, -INF, 2.0]], "labels": [0, 0]}
IGNORED = {"logits": [[1.0, 2.0, 3.0], [-INF] * 3, [0.0, 1.0, -INF]], "labels": [2, -100, 0]}
IGNORE = {"ignore_index": -100}
IMPOSSIBLE = {
    "from": "by hand: a label on an impossible class is infinite; gradient p - t",
    "inputs": {"logits": [[0.0, "-Infinity"]], "labels": [1]},
    "params": {},
    "values": ["Infinity"],
    "denominator": 1.0,
    "gradients": {"logits": [[1.0, -1.0]]},
}


def counts(params: Any, logits: Any, labels: Any, temperature: Any = None) -> Any:
    return mpf(labels != params.get("ignore_index"))


def flsd() -> list[dict[str, Any]]:
    def f(params: Any, logits: Any, labels: Any) -> Any:
        if labels == params.get("ignore_index"):
            return mpf(0)
        log_p = log_softmax(logits)[labels]
        below = mp.exp(log_p) < mpf(params.get("threshold", 0.2))
        gamma = params.get("gamma_below", 5.0) if below else params.get("gamma_above", 3.0)
        return -((-mp.expm1(log_p)) ** mpf(gamma)) * log_p

    def case(source: str, inputs: Any, params: Any = None) -> dict[str, Any]:
        return row_case(source, f, inputs, params, wrt=Z, weight=counts)

    other = {"gamma_below": 2.5, "gamma_above": 1.0, "threshold": 0.5}
    return [
        case(f"smooth: {PAPER}", ROWS),
        case(f"smooth: {PAPER}", ROWS, other),
        case(EXTREME, WIDE),
        case(EXTREME + ", -inf masks", MASKED),
        case(f"{PAPER}: an ignored row of -inf", IGNORED, IGNORE),
        IMPOSSIBLE,
    ]


def dual_focal() -> list[dict[str, Any]]:
    def f(params: Any, logits: Any, labels: Any) -> Any:
        if labels == params.get("ignore_index"):
            return mpf(0)
        log_p = log_softmax(logits)
        behind = max([mp.exp(x) for x in log_p if x < log_p[labels]], default=mpf(0))
        missed = -mp.expm1(log_p[labels])
        return -((missed + behind) ** mpf(params.get("gamma", 5.0))) * log_p[labels]

    def case(source: str, inputs: Any, params: Any = None) -> dict[str, Any]:
        return row_case(source, f, inputs, params, wrt=Z, weight=counts)

    return [
        case(f"smooth: {PAPER}", ROWS),
        case(f"smooth: {PAPER}", ROWS, {"gamma": 0.5}),
        case(EXTREME, WIDE, {"gamma": 2.0}),
        case(EXTREME + ", -inf masks", MASKED),
        case(f"{PAPER}: an ignored row of -inf", IGNORED, IGNORE),
        IMPOSSIBLE,
    ]


def margin_based_label_smoothing() -> list[dict[str, Any]]:
    def f(params: Any, logits: Any, labels: Any) -> Any:
        if labels == params.get("ignore_index"):
            return mpf(0)
        m, top = mpf(params.get("margin", 10.0)), max(logits)
        penalty = sum(max(mpf(0), top - z - m) for z in logits)
        if params.get("divide_by_classes", True):
            penalty /= len(logits)
        return mpf(params.get("coefficient", 0.1)) * penalty - log_softmax(logits)[labels]

    def case(source: str, inputs: Any, params: Any = None, **more: Any) -> dict[str, Any]:
        return row_case(source, f, inputs, params, wrt=Z, weight=counts, **more)

    ignored = {"logits": [[1.0, 2.0, 3.0], [0.0, 1e4, 0.0]], "labels": [2, -100]}
    return [
        case(f"smooth: {PAPER}", ROWS, {"margin": 0.75}),
        case(
            f"smooth: {PAPER}: the sum over classes",
            ROWS,
            {"margin": 0.75, "divide_by_classes": False, "coefficient": 0.5},
        ),
        case(EXTREME, WIDE),
        case(f"{PAPER}: an ignored row", ignored, IGNORE),
        case(
            "by hand: subgradient 0 at the margin; the first of two largest, by ruling",
            {"logits": [[1.0, 0.0], [1.0, 1.0]], "labels": [0, 1]},
            {"margin": 1.0},
            kinks={
                "logits": [
                    [float(1 / (1 + mp.e)) * s for s in (-1, 1)],
                    [0.5, -0.5],
                ]
            },
        ),
    ]


def logit_normalization() -> list[dict[str, Any]]:
    def f(params: Any, logits: Any, labels: Any) -> Any:
        if labels == params.get("ignore_index"):
            return mpf(0)
        length = mp.sqrt(sum(z * z for z in logits)) * mpf(params.get("temperature", 0.04))
        return -log_softmax([z / length for z in logits])[labels]

    def case(source: str, inputs: Any, params: Any = None) -> dict[str, Any]:
        return row_case(source, f, inputs, params, wrt=Z, weight=counts)

    def closed(logits: Any, label: int) -> list[float]:
        """(p - t) across the direction, over the length and the temperature."""
        length = mp.sqrt(sum(mpf(z) ** 2 for z in logits))
        unit, heat = [mpf(z) / length for z in logits], mpf(0.04)
        log_p = log_softmax([u / heat for u in unit])
        off = [mp.exp(x) - (k == label) for k, x in enumerate(log_p)]
        along = sum(u * each for u, each in zip(unit, off, strict=True))
        pairs = zip(unit, off, strict=True)
        return [float((each - u * along) / (heat * length)) for u, each in pairs]

    dense = {"logits": randoms(333, 2, 3, 2), "labels": labels(334, 3, 2, 2)}
    small = {"logits": [[1e-30, -2e-30, 0.0], [3e30, 1e30, 0.0]], "labels": [1, 0]}
    return [
        torch_case(
            "smooth: torch 2.13.0 F.cross_entropy of F.normalize, dense",
            lambda logits, labels: F.cross_entropy(
                F.normalize(logits, dim=1) / 0.5, labels, reduction="none"
            ),
            dense,
            {"temperature": 0.5},
            wrt=Z,
            denominator=4.0,
        ),
        case(f"smooth: {PAPER}", ROWS),
        case(EXTREME, WIDE, {"temperature": 1.0}),
        case(f"{PAPER}: lengths of 1e-30 and 1e30", small)
        | {"gradients": {"logits": [closed(*each) for each in zip(*small.values(), strict=True)]}},
        {
            "from": "by hand: logits of 0 have no direction; an ignored row",
            "inputs": {"logits": [[0.0, 0.0], [1.0, 2.0]], "labels": [0, -1]},
            "params": {"ignore_index": -1},
            "values": [float(mp.log(2)), 0.0],
            "denominator": 1.0,
            "gradients": {"logits": [[0.0, 0.0], [0.0, 0.0]]},
        },
    ]


def temperature_scaled_cross_entropy() -> list[dict[str, Any]]:
    def f(params: Any, logits: Any, labels: Any, temperature: Any) -> Any:
        if labels == params.get("ignore_index"):
            return mpf(0)
        return -log_softmax([z / temperature for z in logits])[labels]

    def case(source: str, inputs: Any, at: float, params: Any = None) -> dict[str, Any]:
        """The gradient of the temperature, which all rows share, is the sum of theirs."""
        shared = {"temperature": at}
        made = row_case(source, f, inputs, params, wrt=Z, shared=shared, weight=counts)
        slopes = [
            mp.diff(lambda t, z=z, y=y: f(params or {}, [mpf(x) for x in z], y, t), mpf(at))
            for z, y in zip(inputs["logits"], inputs["labels"], strict=True)
        ]
        made["gradients"]["temperature"] = float(sum(slopes))
        return made

    return [
        torch_case(
            "smooth: torch 2.13.0 F.cross_entropy of a quotient",
            lambda logits, labels, temperature: F.cross_entropy(
                logits / temperature, labels, reduction="none"
            ),
            ROWS | {"temperature": 1.75},
            wrt=("logits", "temperature"),
            denominator=4.0,
        ),
        case(EXTREME, WIDE, 1.0),
        case(f"{DIGITS}: a small temperature", WIDE, 2.0**-10),
        case(f"{DIGITS}: an ignored row", ROWS, 0.5, {"ignore_index": ROWS["labels"][0]}),
    ]


def nacl() -> list[dict[str, Any]]:
    def f(params: Any, logits: Any, labels: Any) -> Any:
        """Of one axis: logits[class][place]."""
        reach, p = params.get("radius", 1), params.get("p", 1)
        found = []
        for i, y in enumerate(labels):
            z = [each[i] for each in logits]
            near = [labels[j] for j in range(i - reach, i + reach + 1) if 0 <= j < len(labels)]
            shares = [mpf(near.count(k)) / (2 * reach + 1) for k in range(len(z))]
            off = sum(abs(u - x) ** p for u, x in zip(shares, z, strict=True)) / len(z)
            found.append(mpf(params.get("coefficient", 0.1)) * off - log_softmax(z)[y])
        return found

    def one_axis(source: str, inputs: Any, params: Any = None) -> dict[str, Any]:
        (z,), (y,) = inputs["logits"], inputs["labels"]
        given = [[mpf(x) for x in each] for each in z]

        def slope(k: int, i: int) -> float:
            def moved(t: Any) -> Any:
                changed = [list(each) for each in given]
                changed[k][i] = t
                return sum(f(params or {}, changed, y))

            return float(mp.diff(moved, given[k][i]))

        places = range(len(y))
        return {
            "from": source,
            "inputs": inputs,
            "params": params or {},
            "values": [[float(x) for x in f(params or {}, given, y)]],
            "gradients": {"logits": [[[slope(k, i) for i in places] for k in range(len(z))]]},
        }

    image = {"logits": randoms(335, 1, 3, 2, 3), "labels": labels(336, 3, 1, 2, 3)}
    case = torch_case(
        "smooth: torch 2.13.0 F.cross_entropy and F.avg_pool2d; mean checked with monai 1.6.1",
        lambda logits, labels: (
            F.cross_entropy(logits, labels, reduction="none")
            + 0.1
            * (F.avg_pool2d(F.one_hot(labels, 3).movedim(-1, 1).double(), 3, 1, 1) - logits)
            .abs()
            .mean(1)
        ),
        image,
        wrt=Z,
    )
    theirs = NACLLoss(classes=3, dim=2)(
        torch.tensor(image["logits"]), torch.tensor(image["labels"])
    )
    torch.testing.assert_close(theirs, torch.tensor(case["values"]).mean(), rtol=1e-5, atol=1e-6)
    far = {
        "logits": [[[50.0, 1e4, 0.5], [-50.0, -1e4, 120.0]]],
        "labels": [[1, 0, 0]],
    }
    line = {"logits": randoms(337, 1, 2, 4), "labels": [[0, 1, 1, 0]]}
    return [
        case,
        one_axis(
            f"smooth: {DIGITS}: one axis, squares",
            line,
            {"radius": 2, "p": 2, "coefficient": 0.5},
        ),
        one_axis(f"{DIGITS}: logits to 1e4", far),
        {
            "from": "by hand: subgradient 0 where a logit is its share, by ruling",
            "inputs": {"logits": [[1.0, 0.0]], "labels": [0]},
            "params": {"radius": 0},
            "values": [float(mp.log1p(mp.exp(-1)))],
            "gradients": {"logits": [[float(-1 / (1 + mp.e)), float(1 / (1 + mp.e))]]},
        },
    ]


CASES = {
    "flsd": flsd,
    "dual_focal": dual_focal,
    "margin_based_label_smoothing": margin_based_label_smoothing,
    "logit_normalization": logit_normalization,
    "temperature_scaled_cross_entropy": temperature_scaled_cross_entropy,
    "nacl": nacl,
}
