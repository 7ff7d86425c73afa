"""charbonnier, cauchy, welsch, geman_mcclure, general_robust, tukey_biweight, wing, ..."""

from typing import Any

import numpy as np
from kornia.losses import cauchy_loss, charbonnier_loss, geman_mcclure_loss, welsch_loss
from mpmath import mp, mpf
from statsmodels.robust.norms import TukeyBiweight

from references._mp import INF, row_case
from references._torch import randoms, torch_case
from references.regression import FLAT, ROWS, WRT

FAR = {
    "prediction": [0.0, 50.0, -120.0, 1e4, 2.0**-13, 3.0],
    "target": [0.0, -50.0, 120.0, -1e4, 0.0, 2.0],
}
DIGITS = "mpmath 1.3.0, 50 digits"
FAR_APART = f"{DIGITS}: zero, tiny and far apart"
PAPER = f"paper only: {DIGITS}"


def by_kornia(function: Any, params: dict[str, Any]) -> dict[str, Any]:
    def theirs(prediction: Any, target: Any) -> Any:
        return function(prediction, target, reduction="none")

    name = f"smooth: kornia 0.9.0 {function.__name__}"
    return torch_case(name, theirs, ROWS, params, wrt=WRT)


def charbonnier() -> list[dict[str, Any]]:
    def f(params: Any, prediction: Any, target: Any) -> Any:
        epsilon = mpf(params.get("epsilon", 1e-3))
        root = mp.sqrt((prediction - target) ** 2 + epsilon**2)
        return root - epsilon if params.get("shifted") else root

    wide = {"epsilon": 1.0, "shifted": True}
    return [
        by_kornia(charbonnier_loss, wide),
        row_case(f"smooth: {DIGITS}", f, FLAT, wrt=WRT),
        row_case(FAR_APART, f, FAR, wrt=WRT),
        row_case(f"{FAR_APART}, shifted", f, FAR, {"epsilon": 0.5, "shifted": True}, wrt=WRT),
    ]


def barron(z: Any, alpha: Any) -> Any:
    """Its limits as the paper's equation 8 names them."""
    if alpha == 2:
        return z * z / 2
    if alpha == 0:
        return mp.log1p(z * z / 2)
    if alpha == -mp.inf:
        return -mp.expm1(-z * z / 2)
    b = abs(alpha - 2)
    return b / alpha * ((z * z / b + 1) ** (alpha / 2) - 1)


def scaled(alpha: Any) -> Any:
    def f(params: Any, prediction: Any, target: Any) -> Any:
        return barron((prediction - target) / mpf(params.get("scale", 1)), alpha)

    return f


def of_barron(function: Any, alpha: Any) -> Any:
    def made() -> list[dict[str, Any]]:
        f = scaled(mpf(alpha))
        return [
            by_kornia(function, {}),
            row_case(f"smooth: {DIGITS}: a scale of 2.5", f, FLAT, {"scale": 2.5}, wrt=WRT),
            row_case(FAR_APART, f, FAR, wrt=WRT),
            row_case(f"{FAR_APART}, a large scale", f, FAR, {"scale": 64.0}, wrt=WRT),
        ]

    return made


def general_robust() -> list[dict[str, Any]]:
    def f(params: Any, prediction: Any, target: Any, **shared: Any) -> Any:
        alpha = shared.get("alpha", mpf(params.get("alpha", 1)))
        return barron((prediction - target) / shared.get("scale", mpf(1)), alpha)

    def learned(source: str, inputs: Any, alpha: float, scale: float) -> dict[str, Any]:
        """Shared scalars: their gradients are those of the sum over rows."""
        rows = [dict(zip(inputs, each, strict=True)) for each in zip(*inputs.values(), strict=True)]
        made = row_case(source, lambda p, **row: f(p, alpha=mpf(alpha), scale=mpf(scale), **row),
                        inputs, wrt=WRT)  # fmt: skip
        given = {"alpha": mpf(alpha), "scale": mpf(scale)}

        def total(**changed: Any) -> Any:
            exact = [{key: mpf(x) for key, x in row.items()} for row in rows]
            return sum(f({}, **row, **given | changed) for row in exact)

        made["inputs"] = made["inputs"] | {
            "alpha": "-Infinity" if alpha == -INF else alpha, "scale": scale
        }  # fmt: skip
        made["gradients"] |= {"scale": float(mp.diff(lambda c: total(scale=c), scale))}
        made["gradients"] |= {"alpha": _slope(total, alpha)}
        return made

    def _slope(total: Any, alpha: float) -> float:
        if alpha in (2, -INF):  # infinite, and put to 0 by ruling; or 0
            return 0.0
        if alpha == 0:  # the formula has a hole there: by the limit from both sides
            return float((total(alpha=mpf("1e-20")) - total(alpha=mpf("-1e-20"))) / mpf("2e-20"))
        return float(mp.diff(lambda a: total(alpha=a), alpha))

    near = {"prediction": [0.0, 1.0, -3.0, 2.0**-7], "target": [0.0, 0.5, 1.0, 0.0]}
    return [
        learned(f"smooth: {DIGITS}: learned", FLAT, 0.5, 1.5),
        learned(f"{DIGITS}: alpha 2", FLAT, 2.0, 0.5),
        learned(f"smooth: {DIGITS}: alpha 0", FLAT, 0.0, 2.0),
        learned(f"{DIGITS}: alpha -inf", FLAT, -INF, 2.0),
        learned(f"smooth: {DIGITS}: alpha near 0", near, 2.0**-20, 1.0),
        learned(f"smooth: {DIGITS}: alpha near 2", near, 2 - 2.0**-10, 1.0),
        learned(f"smooth: {DIGITS}: alpha far below 0", near, -1e4, 2.0),
        row_case(FAR_APART, f, FAR, {"alpha": 1.5}, wrt=WRT),
        row_case(FAR_APART, f, FAR, {"alpha": -2.0}, wrt=WRT),
    ]


def tukey_biweight() -> list[dict[str, Any]]:
    def theirs(inputs: Any, cutoff: float, kind: str) -> dict[str, Any]:
        norm = TukeyBiweight(cutoff)
        difference = np.array(inputs["prediction"]) - np.array(inputs["target"])
        slopes = norm.psi(difference)
        return {
            "from": f"{kind}statsmodels 0.15.0 TukeyBiweight",
            "inputs": inputs,
            "params": {"cutoff": cutoff},
            "values": norm.rho(difference).tolist(),
            "gradients": {"prediction": slopes.tolist(), "target": (-slopes).tolist()},
        }

    def f(params: Any, prediction: Any, target: Any) -> Any:
        c = mpf(params.get("cutoff", 4.685))
        z = (prediction - target) / c
        return c * c / 6 * (1 - (1 - z * z) ** 3) if abs(z) < 1 else c * c / 6

    return [
        theirs(ROWS, 4.685, "smooth: "),
        theirs(FLAT, 0.75, "smooth: beyond the cut-off, "),
        row_case(FAR_APART, f, FAR, wrt=WRT),
    ]


def wing() -> list[dict[str, Any]]:
    def f(params: Any, prediction: Any, target: Any) -> Any:
        w, epsilon = mpf(params.get("width", 10)), mpf(params.get("curvature", 2))
        size = abs(prediction - target)
        near = w * mp.log1p(size / epsilon)
        return near if size < w else size - w + w * mp.log1p(w / epsilon)

    small = {"width": 1.0, "curvature": 0.5}
    apart = {key: x[1:] for key, x in FAR.items()}
    return [
        row_case(f"smooth: {PAPER}", f, FLAT, wrt=WRT),
        row_case(f"smooth: {PAPER}: narrow", f, FLAT, {"width": 0.75, "curvature": 0.25}, wrt=WRT),
        row_case(f"{PAPER}: tiny and far apart", f, apart, wrt=WRT),
        {
            "from": "by hand: equality, whose subgradient is 0 by ruling, and the edge, where it "
            "is that of the line",
            "inputs": {"prediction": [2.0, 1.0], "target": [2.0, 0.0]},
            "params": small,
            "values": [0.0, float(mp.log(3))],
            "gradients": {"prediction": [0.0, 1.0], "target": [0.0, -1.0]},
        },
    ]


def adaptive_wing() -> list[dict[str, Any]]:
    def f(params: Any, prediction: Any, target: Any) -> Any:
        omega, theta, epsilon, alpha = (
            mpf(params.get(key, default))
            for key, default in (("omega", 14), ("theta", 0.5), ("epsilon", 1), ("alpha", 2.1))
        )
        size, power = abs(prediction - target), alpha - mpf(target)
        if size < theta:
            return omega * mp.log1p((size / epsilon) ** power)
        edge = theta / epsilon
        slope = omega / (1 + edge**power) * power * edge ** (power - 1) / epsilon
        return slope * size - (theta * slope - omega * mp.log1p(edge**power))

    heat = {
        "prediction": randoms(61, 6, low=-0.5, high=1.5),
        "target": randoms(62, 6, low=0.0, high=1.0),
    }
    far = {"prediction": [1e4, -120.0, 0.5, 2.0**-10], "target": [1.0, 0.0, 0.25, 0.0]}
    other = {"omega": 2.0, "theta": 0.25, "epsilon": 0.5, "alpha": 2.5}
    equal = {"prediction": [1.0, 0.0, 0.5], "target": [1.0, 0.0, 0.5]}
    zero = {"prediction": [0.0] * 3}
    x = ("prediction",)
    return [
        row_case(f"smooth: {PAPER}", f, heat, wrt=x),
        row_case(f"smooth: {PAPER}: other parameters", f, heat, other, wrt=x),
        row_case(f"{PAPER}: far apart", f, far, wrt=x),
        row_case(f"{PAPER}: equality, gradient 0", f, equal, {"alpha": 2.0}, wrt=x, kinks=zero),
    ]


CASES = {
    "charbonnier": charbonnier,
    "cauchy": of_barron(cauchy_loss, 0),
    "welsch": of_barron(welsch_loss, -INF),
    "geman_mcclure": of_barron(geman_mcclure_loss, -2),
    "general_robust": general_robust,
    "tukey_biweight": tukey_biweight,
    "wing": wing,
    "adaptive_wing": adaptive_wing,
}
