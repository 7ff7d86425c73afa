"""auc_margin, pairwise_auc, partial_auc, soft_f1."""

from typing import Any

import torch
from monai.losses import AUCMLoss
from mpmath import mp, mpf

from references._mp import row_case, softplus
from references._torch import randoms
from references._whole import whole_case

DIGITS = "mpmath 1.3.0, 50 digits"
NEAR = {"scores": randoms(361, 5), "is_positive": [1, 0, 0, 1, 0]}
WIDE = {"scores": [50.0, -50.0, 1e4, -1e4, 0.5], "is_positive": [1, 0, 0, 1, 0]}
S, Z = ("scores",), ("logits",)


def auc_margin() -> list[dict[str, Any]]:
    learned = ("positive_mean", "negative_mean", "alpha")

    def f(params: Any, scores: Any, is_positive: Any, positive_share: Any, **more: Any) -> Any:
        a, b, alpha = (more[name] for name in learned)
        pi, m = positive_share, mpf(params.get("margin", 1.0))
        constant = 2 * alpha * pi * (1 - pi) * m - pi * (1 - pi) * alpha**2
        if is_positive:
            return (1 - pi) * (scores - a) ** 2 - 2 * alpha * (1 - pi) * scores + constant
        return pi * (scores - b) ** 2 + 2 * alpha * pi * scores + constant

    def case(source: str, inputs: Any, shared: Any, params: Any = None) -> dict[str, Any]:
        """The gradients of what all rows share are sums over the rows."""
        made = row_case(source, f, inputs, params, wrt=S, shared=shared)
        constant = {name: mpf(x) for name, x in shared.items()}
        for name in learned:

            def total(t: Any, name: str = name) -> Any:
                pairs = zip(inputs["scores"], inputs["is_positive"], strict=True)
                return sum(f(params or {}, mpf(s), y, **(constant | {name: t})) for s, y in pairs)

            made["gradients"][name] = float(mp.diff(total, constant[name]))
        return made

    shared = {
        "positive_mean": 0.75,
        "negative_mean": -0.25,
        "alpha": 0.5,
        "positive_share": 0.125,
    }
    near = case(f"smooth: {DIGITS}; mean checked with monai 1.6.1 AUCMLoss", NEAR, shared)
    theirs = AUCMLoss(imratio=0.125).double()
    with torch.no_grad():
        theirs.a.fill_(0.75), theirs.b.fill_(-0.25), theirs.alpha.fill_(0.5)
    scores = torch.tensor(NEAR["scores"], dtype=torch.float64, requires_grad=True)
    value = theirs(scores[:, None], torch.tensor(NEAR["is_positive"])[:, None])
    assert abs(value.item() - sum(near["values"]) / 5) < 1e-6
    leaves = {"scores": scores, "positive_mean": theirs.a, "negative_mean": theirs.b}
    leaves["alpha"] = theirs.alpha
    slopes = torch.autograd.grad(value, list(leaves.values()))
    for name, slope in zip(leaves, slopes, strict=True):
        wanted = torch.tensor(near["gradients"][name], dtype=torch.float64) / 5
        torch.testing.assert_close(slope.double(), wanted, rtol=1e-5, atol=1e-6)
    edge = shared | {"positive_share": 1.0, "alpha": 0.0}
    return [
        near,
        case(f"smooth: {DIGITS}: margin", NEAR, shared, {"margin": 0.25}),
        case(f"{DIGITS}: scores to 1e4", WIDE, shared),
        case(f"{DIGITS}: only positives, alpha 0", NEAR, edge),
    ]


def pairwise_auc() -> list[dict[str, Any]]:
    def f(params: Any, scores: Any, is_positive: Any) -> Any:
        kind, m = params.get("surrogate", "logistic"), mpf(params.get("margin", 1.0))
        costs = []
        for s, y in zip(scores, is_positive, strict=True):
            for t, x in zip(scores, is_positive, strict=True):
                if y and not x:
                    short = max(mpf(0), m - (s - t))
                    costs.append(
                        softplus(t - s)
                        if kind == "logistic"
                        else short
                        if kind == "hinge"
                        else short**2
                    )
        return sum(costs, mpf(0)) / max(len(costs), 1)

    name = f"paper only: {DIGITS}"
    hinge, squared = ({"surrogate": kind} for kind in ("hinge", "squared_hinge"))
    alone = {"scores": [1.0, 2.0], "is_positive": [1, 1]}
    kink = {"scores": [1.0, 0.0], "is_positive": [1, 0]}
    return [
        whole_case(f"smooth: {name}", f, NEAR, wrt=S),
        whole_case(f"smooth: {name}", f, NEAR, squared | {"margin": 0.5}, wrt=S),
        whole_case(f"smooth: {name}", f, NEAR, hinge, wrt=S),
        whole_case(f"{name}: scores to 1e4", f, WIDE, wrt=S),
        whole_case("by hand: no pair", f, alone, wrt=S),
        whole_case(
            "by hand: subgradient 0 at the kink, by ruling",
            f,
            kink,
            hinge,
            wrt=(),
            kinks={"scores": [0.0, 0.0]},
        ),
    ]


def partial_auc() -> list[dict[str, Any]]:
    def f(params: Any, scores: Any, is_positive: Any) -> Any:
        kind, heat = params.get("surrogate", "squared_hinge"), mpf(params.get("temperature", 1.0))
        m = mpf(params.get("margin", 1.0))
        pairs = list(zip(scores, is_positive, strict=True))
        found = []
        for s in (s for s, y in pairs if y):
            leads = [s - t for t, y in pairs if not y]
            if not leads:
                continue
            short = [max(mpf(0), m - lead) for lead in leads]
            squares = [x * x for x in short]
            costs = {"hinge": short, "squared_hinge": squares}.get(kind)
            costs = costs or [softplus(-lead) for lead in leads]
            total = sum(mp.exp(x / heat) for x in costs) / len(costs)
            found.append(heat * mp.log(total))
        return sum(found, mpf(0)) / max(len(found), 1)

    name = f"paper only: {DIGITS}"
    alone = {"scores": [1.0, 2.0], "is_positive": [1, 1]}
    logistic = {"surrogate": "logistic", "temperature": 0.25}
    wide = WIDE | {"scores": [50.0, -50.0, 120.0, -120.0, 0.5]}
    return [
        whole_case(f"smooth: {name}", f, NEAR, wrt=S),
        whole_case(f"smooth: {name}", f, NEAR, logistic, wrt=S),
        whole_case(f"{name}: scores to 120", f, wide, wrt=S),
        whole_case(f"{name}: scores to 1e4", f, WIDE, {"surrogate": "hinge"}, wrt=S),
        whole_case("by hand: no pair", f, alone, wrt=S),
    ]


def soft_f1() -> list[dict[str, Any]]:
    def f(params: Any, logits: Any, targets: Any) -> Any:
        slope, offset = mpf(params.get("slope", 1.0)), mpf(params.get("offset", 0.0))
        columns = [
            list(zip(z, y, strict=True))
            for z, y in zip(zip(*logits, strict=True), zip(*targets, strict=True), strict=True)
        ]
        if params.get("average") == "micro":
            columns = [[each for column in columns for each in column]]
        found = []
        for column in columns:
            p = [(mp.exp(-softplus(-slope * (z + offset))), y) for z, y in column]
            hits = sum(x * y for x, y in p)
            wrong = sum(x * (1 - y) + (1 - x) * y for x, y in p)
            found.append(wrong / (2 * hits + wrong))
        return sum(found) / len(found)

    near = {"logits": randoms(362, 3, 3), "targets": [[1, 0, 0], [0, 1, 0], [1, 1, 0]]}
    wide = {
        "logits": [[50.0, -50.0], [-120.0, 0.5], [1e4, -1e4]],
        "targets": [[1, 1], [1, 0], [0, 0]],
    }
    name = f"paper only: {DIGITS}"
    other = {"average": "micro", "slope": 2.0, "offset": -0.5}
    return [
        whole_case(f"smooth: {name}", f, near, wrt=Z),
        whole_case(f"smooth: {name}", f, near, other, wrt=Z),
        whole_case(f"{name}: logits to 1e4", f, wide, wrt=Z),
        {
            "from": "by hand: nothing is and nothing is predicted, to the last bit",
            "inputs": {"logits": [[-1e4], [-1e4]], "targets": [[0], [0]]},
            "params": {},
            "values": 1.0,
            "gradients": {"logits": [[0.0], [0.0]]},
        },
    ]


CASES = {
    "auc_margin": auc_margin,
    "pairwise_auc": pairwise_auc,
    "partial_auc": partial_auc,
    "soft_f1": soft_f1,
}
