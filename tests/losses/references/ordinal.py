"""coral, corn, cumulative_link, emd_squared, sord, ordinal_log_loss."""

from typing import Any

import torch
import torch.nn.functional as F
from coral_pytorch.losses import coral_loss, corn_loss
from mpmath import mp, mpf
from spacecutter.losses import cumulative_link_loss
from spacecutter.models import LogisticCumulativeLink
from torch import Tensor

from references._mp import batch_case, log_softmax, row_case, softplus
from references._torch import labels, randoms, torch_case

DIGITS = "mpmath 1.3.0, 50 digits"
LOGITS = ("logits",)
THRESHOLDS = {"logits": randoms(800, 5, 3), "labels": [0, 1, 2, 3, 2]}
CLASSES = {"logits": randoms(801, 4, 4), "labels": labels(802, 4, 4)}
FAR_THRESHOLDS = {
    "logits": [[1e4, -1e4, 120.0], [-50.0, -120.0, 50.0], [-1e4, 1e4, 1e4]],
    "labels": [0, 3, 2],
}
FAR = {
    "logits": [[1e4, -1e4, 0.0], [120.0, 0.0, 50.0], [-120.0, 1e4, 9999.0], [50.0, -50.0, 0.0]],
    "labels": [1, 0, 2, 2],
}


def coral() -> list[dict[str, Any]]:
    def theirs(logits: Tensor, labels: Tensor, threshold_weights: Any = None) -> Tensor:
        levels = (labels[:, None] > torch.arange(logits.shape[1])).to(logits.dtype)
        values: Tensor = coral_loss(logits, levels, threshold_weights, reduction=None)
        return values

    def f(params: Any, logits: Any, labels: int) -> Any:
        return sum(softplus(-z if labels > k else z) for k, z in enumerate(logits))

    weighted = THRESHOLDS | {"threshold_weights": [0.5, 1.0, 2.0]}
    name = "coral_pytorch 1.4.0 coral_loss"
    return [
        torch_case(f"smooth: {name}", theirs, THRESHOLDS, wrt=LOGITS),
        torch_case(f"smooth: {name}, weighed", theirs, weighted, wrt=LOGITS),
        row_case(f"{DIGITS}: logits to 1e4", f, FAR_THRESHOLDS, wrt=LOGITS),
    ]


def corn() -> list[dict[str, Any]]:
    def theirs(logits: Tensor, labels: Tensor) -> Tensor:
        count = logits.shape[1]

        def one(i: int) -> Tensor:
            value: Tensor = corn_loss(logits[i : i + 1], labels[i : i + 1], count + 1)
            return value * min(int(labels[i]) + 1, count)  # theirs is the mean over questions

        return torch.stack([one(i) for i in range(len(logits))])

    def f(params: Any, logits: Any, labels: int) -> Any:
        asked = enumerate(logits[: labels + 1])
        return sum(softplus(-z if labels > k else z) for k, z in asked)

    name = "coral_pytorch 1.4.0 corn_loss"
    near = torch_case(f"smooth: {name}", theirs, THRESHOLDS, wrt=LOGITS)
    tensors = (torch.tensor(THRESHOLDS[key]) for key in ("logits", "labels"))
    assert abs(float(corn_loss(*tensors, 4)) - sum(near["values"]) / (1 + 2 + 3 + 3 + 3)) < 1e-6
    one = {"logits": randoms(803, 3, 1), "labels": [0, 1, 1]}
    return [
        near,
        torch_case(f"smooth: {name}, two classes", theirs, one, wrt=LOGITS),
        row_case(f"{DIGITS}: logits to 1e4", f, FAR_THRESHOLDS, wrt=LOGITS),
    ]


def cumulative_link() -> list[dict[str, Any]]:
    wrt = ("scores", "thresholds")

    def theirs(scores: Tensor, thresholds: Tensor, labels: Tensor) -> Tensor:
        model = LogisticCumulativeLink(len(thresholds) + 1).double()
        del model.cutpoints
        model.cutpoints = thresholds
        p = model(scores[:, None])
        values: Tensor = cumulative_link_loss(p, labels[:, None], reduction="none")[:, 0]
        return values

    def f(params: Any, scores: Any, thresholds: Any, labels: Any) -> Any:
        def mass(s: Any, y: int) -> Any:
            y = int(y)
            log_upper = -softplus(s - thresholds[y]) if y < len(thresholds) else mpf(0)
            if y == 0:
                return log_upper
            log_below = -softplus(thresholds[y - 1] - s)
            if y == len(thresholds):
                return log_below
            a, b = thresholds[y] - s, thresholds[y - 1] - s
            return mp.log(mp.exp(-softplus(-a)) - mp.exp(-softplus(-b)))

        with mp.workdps(100):  # sigmoids of 50 and more differ late
            return [-mass(s, y) for s, y in zip(scores, labels, strict=True)]

    near = {
        "scores": randoms(804, 5), "thresholds": [-1.25, 0.25, 1.5], "labels": [0, 1, 2, 3, 1],
    }  # fmt: skip
    far = {
        "scores": [1e4, -1e4, 1e4, 120.0], "thresholds": [-1.0, 0.5, 1.5], "labels": [0, 3, 1, 2],
    }  # fmt: skip
    apart = {"scores": [0.0, 50.0], "thresholds": [-120.0, 50.0], "labels": [1, 0]}
    name = "spacecutter 0.2.1 cumulative_link_loss"

    # -log(1 - e^-w) and its slope, of the two inner classes' widths.
    wide, narrow = (-mp.log(-mp.expm1(-mpf(w))) for w in (1.5, 1.0))
    wide_slope, narrow_slope = (float(1 / mp.expm1(mpf(w))) for w in (1.5, 1.0))
    return [
        torch_case(f"smooth: {name}", theirs, near, wrt=wrt),
        batch_case(f"smooth: {DIGITS}", f, near, wrt=wrt),
        batch_case(f"{DIGITS}: thresholds far apart", f, apart, wrt=wrt),
        {
            "from": "by hand, in the limit of far scores: slopes are 1 and those of the width",
            "inputs": far,
            "params": {},
            "values": [10001.0, 10001.5, 9999.5 + float(wide), 118.5 + float(narrow)],
            "gradients": {
                "scores": [1.0, -1.0, 1.0, 1.0],
                "thresholds": [
                    -1.0 + wide_slope,
                    -1.0 - wide_slope + narrow_slope,
                    1.0 - 1.0 - narrow_slope,
                ],
            },
        },
        {
            "from": "by hand: a class between thresholds that fall has no mass, and no gradient",
            "inputs": {"scores": [0.0, 0.0], "thresholds": [1.0, 1.0], "labels": [1, 0]},
            "params": {},
            "values": ["Infinity", float(mp.log1p(mp.exp(-1)))],
            "gradients": {
                "scores": [0.0, float(1 / (1 + mp.e))],
                "thresholds": [-float(1 / (1 + mp.e)), 0.0],
            },
        },
    ]


def emd_squared() -> list[dict[str, Any]]:
    def theirs(logits: Tensor, labels: Any = None, target_probabilities: Any = None) -> Tensor:
        target = target_probabilities
        if target is None:
            target = F.one_hot(labels, logits.shape[1]).to(logits.dtype)
        step = torch.ones(logits.shape[1], logits.shape[1], dtype=logits.dtype).triu()
        return F.mse_loss(torch.softmax(logits, 1) @ step, target @ step, reduction="none").sum(1)

    def f(params: Any, logits: Any, labels: int) -> Any:
        p = [mp.exp(x) for x in log_softmax(logits)]
        sums = [sum(p[: k + 1]) - (1 if k >= labels else 0) for k in range(len(p))]
        return sum(x * x for x in sums)

    soft = {
        "logits": randoms(805, 3, 4),
        "target_probabilities": [[0.25, 0.5, 0.25, 0.0], [0.0, 0.0, 0.0, 1.0], [0.25] * 4],
    }
    name = "torch 2.13.0 F.mse_loss of cumulative sums"
    return [
        torch_case(f"smooth: {name}", theirs, CLASSES, wrt=LOGITS),
        torch_case(f"smooth: {name}, soft targets", theirs, soft, wrt=LOGITS),
        row_case(f"{DIGITS}: logits to 1e4", f, FAR, wrt=LOGITS),
    ]


def sord() -> list[dict[str, Any]]:
    def theirs(power: int = 1, scale: float = 1.0) -> Any:
        def rows(logits: Tensor, labels: Tensor) -> Tensor:
            distance = (labels[:, None] - torch.arange(logits.shape[1])).abs().double() ** power
            return F.cross_entropy(logits, torch.softmax(-scale * distance, 1), reduction="none")

        return rows

    def f(params: Any, logits: Any, labels: int) -> Any:
        weights = [mp.exp(-abs(labels - k)) for k in range(len(logits))]
        pairs = zip(weights, log_softmax(logits), strict=True)
        return -sum(w * x for w, x in pairs) / sum(weights)

    name = "torch 2.13.0 F.cross_entropy of soft labels"
    squared = {"distance": "squared", "scale": 0.5}
    return [
        torch_case(f"smooth: {name}", theirs(), CLASSES, wrt=LOGITS),
        torch_case(f"smooth: {name}, squared", theirs(2, 0.5), CLASSES, squared, wrt=LOGITS),
        row_case(f"{DIGITS}: logits to 1e4", f, FAR, wrt=LOGITS),
    ]


def ordinal_log_loss() -> list[dict[str, Any]]:
    def f(params: Any, logits: Any, labels: int) -> Any:
        alpha, total = mpf(params.get("alpha", 1.5)), mpf(0)
        for k in range(len(logits)):
            if k != labels:
                rest = log_softmax([*logits[:k], *logits[k + 1 :]])
                other = 0 if k else 1
                # log(1 - p_k) by the others: lse(rest) - lse(all), each as logit - log-probability.
                log_rest = logits[other] - rest[0]
                log_all = logits[other] - log_softmax(logits)[other]
                total -= mpf(abs(labels - k)) ** alpha * (log_rest - log_all)
        return total

    def theirs(logits: Tensor, labels: Tensor) -> Tensor:
        p = torch.softmax(logits, 1)
        distance = (labels[:, None] - torch.arange(logits.shape[1])).abs().double()
        rest = F.binary_cross_entropy(p, torch.zeros_like(p), reduction="none")
        return (rest * distance**1.5).sum(1)

    one = {
        "from": "by hand: a single class is never wrong",
        "inputs": {"logits": [[2.0]], "labels": [0]},
        "params": {},
        "values": [0.0],
        "gradients": {"logits": [[0.0]]},
    }
    name = "torch 2.13.0 F.binary_cross_entropy against 0"
    return [
        torch_case(f"smooth: {name}", theirs, CLASSES, wrt=LOGITS),
        row_case(f"smooth: {DIGITS}: alpha 1", f, CLASSES, {"alpha": 1.0}, wrt=LOGITS),
        row_case(f"{DIGITS}: logits to 1e4", f, FAR, wrt=LOGITS),
        one,
    ]


CASES = {
    "coral": coral,
    "corn": corn,
    "cumulative_link": cumulative_link,
    "emd_squared": emd_squared,
    "sord": sord,
    "ordinal_log_loss": ordinal_log_loss,
}
