"""distribution_balanced, equalization, influence_balanced."""

from typing import Any

import torch
from mpmath import mp, mpf

from references._labelled import DIGITS, FAR, IGNORED, MASKED, NEAR, Z, item_case
from references._mp import log_softmax, number, row_case, softplus
from references._torch import module_alone, randoms, torch_case

timm = module_alone("timm", "loss/distribution_balanced_loss.py")
COUNTS = [64.0, 16.0, 1.0]


def distribution_balanced() -> list[dict[str, Any]]:
    shared = {"class_counts": [64.0, 16.0, 0.0], "item_count": 100.0}

    def f(params: Any, logits: Any, targets: Any, class_counts: Any, item_count: Any) -> Any:
        n = [min(max(x, mpf(1)), mpf(item_count) - 1) for x in number(class_counts)]
        kappa, scale = mpf(params.get("prior_scale", 0.05)), mpf(params.get("negative_scale", 2.0))
        gamma, total = mpf(params.get("gamma", 2.0)), mpf(item_count)
        together = sum(y / x for y, x in zip(number(targets), n, strict=True))

        def focal(x: Any) -> Any:
            return (2 if gamma else 1) * mp.exp(-gamma * softplus(-x)) * softplus(x)

        values = []
        for z, y, x in zip(logits, number(targets), n, strict=True):
            u = z - kappa / scale * mp.log(total / x - 1)
            middle = 10 * (1 / x / together - mpf(0.2)) if together else mp.inf
            weight = mpf(0.1) + (1 / (1 + mp.exp(-middle)))
            values.append(weight * (y * focal(-u) + (1 - y) * focal(scale * u) / scale))
        return values

    def elements(source: str, inputs: Any, **params: Any) -> dict[str, Any]:
        """Elements of one row share a weight that has no gradient, so they may be added up."""
        added = row_case(
            source, lambda p, **row: sum(f(p, **row)), inputs, params, wrt=Z, shared=shared
        )
        rows = row_case(source, f, inputs, params, wrt=(), shared=shared)
        return added | {"values": rows["values"]}

    def checked(case: dict[str, Any], **options: Any) -> dict[str, Any]:
        """timm computes in float32."""
        theirs = timm.DistributionBalancedLoss([64, 16, 0], 100, reduction="none", **options)
        logits = torch.tensor(case["inputs"]["logits"], requires_grad=True)
        values = theirs(logits, torch.tensor(case["inputs"]["targets"]))
        (gradient,) = torch.autograd.grad(values.sum(), logits)
        for got, want in ((values, case["values"]), (gradient, case["gradients"]["logits"])):
            torch.testing.assert_close(got, torch.tensor(want), rtol=1e-4, atol=1e-6)
        return case

    near = {"logits": randoms(311, 3, 3), "targets": [[1.0, 0.0, 1.0], [0.0, 1.0, 0.0], [0.0] * 3]}
    soft = {"logits": randoms(312, 2, 3), "targets": [[0.75, 0.25, 0.0], [0.5, 0.0, 1.0]]}
    far = {
        "logits": [[50.0, -50.0, 0.0], [120.0, -120.0, 1.0], [1e4, -1e4, 0.0], [-1e4, 1e4, 5.0]],
        "targets": [[0.0, 1.0, 1.0], [0.0, 1.0, 0.0], [0.0, 1.0, 0.0], [0.0, 1.0, 0.0]],
    }
    name = f"smooth: {DIGITS}; checked with timm 1.0.31 in float32"
    return [
        checked(elements(name, near)),
        checked(elements(name, soft, gamma=0.0), focal_gamma=0.0),
        elements(f"{DIGITS}: logits to 1e4", far),
        elements(f"{DIGITS}: logits to 1e4", far, gamma=0.0, negative_scale=4.0, prior_scale=1.0),
    ]


def equalization() -> list[dict[str, Any]]:
    shared = {"class_frequencies": [0.75, 0.25, 0.0009765625]}

    def f(
        params: Any, logits: Any, labels: Any, class_frequencies: Any, foreground: Any = 1
    ) -> Any:
        rare = [x < mpf(params.get("threshold", 1.76e-3)) for x in number(class_frequencies)]
        if params.get("kind") == "softmax":
            kept = [z if k == labels or not rare[k] else -mp.inf for k, z in enumerate(logits)]
            return -log_softmax(kept)[labels]
        total = mpf(0)
        for k, z in enumerate(logits):
            if foreground and k == labels:
                total += softplus(-z)
            elif not (foreground and rare[k]):
                total += softplus(z)
        return total

    softmax = {"kind": "softmax", "keep_probability": 1.0}
    background = NEAR | {"foreground": [1, 0, 1, 1]}
    ignored = {"ignore_index": -100}
    return [
        item_case(f"smooth: paper only: {DIGITS}", f, NEAR, {}, **shared),
        item_case(f"smooth: paper only: {DIGITS}, background", f, background, {}, **shared),
        item_case(f"smooth: paper only: {DIGITS}", f, NEAR, softmax, **shared),
        item_case(f"{DIGITS}: logits to 1e4", f, FAR, {"threshold": 0.5}, **shared),
        item_case(f"{DIGITS}: logits to 1e4", f, FAR, softmax, **shared),
        item_case(f"{DIGITS}: an ignored row", f, IGNORED, ignored, **shared),
    ]


def influence_balanced() -> list[dict[str, Any]]:
    norms = {"feature_norms": [3.5, 0.0, 2.0, 64.0]}
    full = {"weight_gradient": "full", "eps": 0.25, "alpha": 2.0}

    def f(params: Any, logits: Any, labels: Any, feature_norms: Any = 1.0, **more: Any) -> Any:
        log_p = log_softmax(logits)[labels]
        w = number(more["class_weights"])[labels] if more else mpf(1)
        influence = -2 * mp.expm1(log_p) * mpf(feature_norms)
        return mpf(params["alpha"]) * w * -log_p / (influence + mpf(params["eps"]))

    def plain(params: Any, **_: Any) -> Any:
        return mpf(1)

    def theirs(logits: Any, labels: Any, feature_norms: Any = 1.0) -> Any:
        p = torch.softmax(logits, 1)
        size = (p - torch.nn.functional.one_hot(labels, 3)).abs().sum(1) * feature_norms
        value = torch.nn.functional.cross_entropy(logits, labels, reduction="none")
        return 2.0 * value / (size + 0.25).detach()

    held = {"alpha": 2.0, "eps": 0.25, "weight_gradient": "detached"}
    return [
        torch_case(
            "torch 2.13.0 F.cross_entropy over a detached influence",
            theirs,
            NEAR | norms,
            held,
            wrt=Z,
            denominator=4.0,
        ),
        item_case(f"smooth: paper only: {DIGITS}", f, NEAR | norms, full),
        item_case(
            f"smooth: paper only: {DIGITS}, class weights",
            f,
            NEAR,
            full,
            plain,
            class_weights=[0.25, 0.5, 2.0],
        ),
        item_case(f"{DIGITS}: logits to 1e4", f, FAR, full),
        item_case(f"{DIGITS}: masks", f, MASKED, full | {"ignore_index": -100}),
    ]


CASES = {
    "distribution_balanced": distribution_balanced,
    "equalization": equalization,
    "influence_balanced": influence_balanced,
}
