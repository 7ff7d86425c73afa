"""mse, l1, smooth_l1, huber, log_cosh."""

from typing import Any

import optax
import torch.nn.functional as F
from mpmath import mp, mpf

from references._jax import jax_case
from references._mp import row_case
from references._torch import randoms, torch_case

WRT = ("prediction", "target")
ROWS = {"prediction": randoms(1, 4, 3), "target": randoms(2, 4, 3)}
FLAT = {"prediction": randoms(3, 6), "target": randoms(4, 6)}
FAR = {
    "prediction": [0.0, 50.0, -120.0, 1e4, 2.0**-13, 3.0, 2.0, 1.0, 1e6],
    "target": [0.0, -50.0, 120.0, -1e4, 0.0, 2.0, 0.0, 0.5, -1e6],
}
EXTREME = "mpmath 1.3.0, 50 digits: zero difference, kinks and far apart"


def mse() -> list[dict[str, Any]]:
    def f(params: Any, prediction: Any, target: Any) -> Any:
        return (prediction - target) ** 2

    return [
        torch_case(
            "smooth: torch 2.13.0 F.mse_loss",
            lambda prediction, target: F.mse_loss(prediction, target, reduction="none"),
            ROWS,
            wrt=WRT,
        ),
        jax_case(
            "optax 0.2.8 squared_error",
            lambda prediction, target: optax.squared_error(prediction, target),
            FLAT,
            wrt=WRT,
        ),
        row_case(EXTREME, f, FAR, wrt=WRT),
    ]


def l1() -> list[dict[str, Any]]:
    def f(params: Any, prediction: Any, target: Any) -> Any:
        return abs(prediction - target)

    signs = [0.0, 1.0, -1.0, 1.0, 1.0, 1.0, 1.0, 1.0, 1.0]
    return [
        torch_case(
            "smooth: torch 2.13.0 F.l1_loss",
            lambda prediction, target: F.l1_loss(prediction, target, reduction="none"),
            ROWS,
            wrt=WRT,
        ),
        row_case(
            EXTREME + "; subgradient 0 at 0 by ruling",
            f,
            FAR,
            wrt=WRT,
            kinks={"prediction": signs, "target": [-s for s in signs]},
        ),
        torch_case(
            "torch 2.13.0 F.l1_loss: one number per row",
            lambda prediction, target: F.l1_loss(prediction, target, reduction="none"),
            {key: [row[0] for row in x] for key, x in ROWS.items()},
            wrt=WRT,
        ),
    ]


def smooth_l1() -> list[dict[str, Any]]:
    def f(params: Any, prediction: Any, target: Any) -> Any:
        d, beta = abs(prediction - target), mpf(params["beta"])
        return d * d / (2 * beta) if d < beta else d - beta / 2

    def of(beta: float) -> Any:
        return lambda prediction, target: F.smooth_l1_loss(
            prediction, target, beta=beta, reduction="none"
        )

    return [
        torch_case("smooth: torch 2.13.0 F.smooth_l1_loss", of(1.0), ROWS, wrt=WRT),
        torch_case("smooth: torch 2.13.0 F.smooth_l1_loss", of(2.0), FLAT, {"beta": 2.0}, wrt=WRT),
        torch_case(
            "smooth: torch 2.13.0 F.smooth_l1_loss, beta 0 is l1",
            of(0.0),
            FLAT,
            {"beta": 0.0},
            wrt=WRT,
        ),
        torch_case(
            "torch 2.13.0 F.smooth_l1_loss, zero difference, kinks and far apart",
            of(2.0),
            FAR,
            {"beta": 2.0},
            wrt=WRT,
        ),
        row_case(
            "mpmath 1.3.0, 50 digits: tiny beta",
            f,
            {"prediction": [1.0, 2.0**-20], "target": [0.0, 0.0]},
            {"beta": 2.0**-12},
            wrt=WRT,
        ),
    ]


def huber() -> list[dict[str, Any]]:
    def of(delta: float) -> Any:
        return lambda prediction, target: F.huber_loss(
            prediction, target, delta=delta, reduction="none"
        )

    def optax_huber(prediction: Any, target: Any) -> Any:
        return optax.huber_loss(prediction, target, delta=0.5)

    return [
        torch_case("smooth: torch 2.13.0 F.huber_loss", of(1.0), ROWS, wrt=WRT),
        torch_case("smooth: torch 2.13.0 F.huber_loss", of(2.5), FLAT, {"delta": 2.5}, wrt=WRT),
        jax_case("optax 0.2.8 huber_loss", optax_huber, FLAT, {"delta": 0.5}, wrt=WRT),
        torch_case(
            "torch 2.13.0 F.huber_loss, zero difference, kinks and far apart",
            of(2.0),
            FAR,
            {"delta": 2.0},
            wrt=WRT,
        ),
    ]


def log_cosh() -> list[dict[str, Any]]:
    def f(params: Any, prediction: Any, target: Any) -> Any:
        d = abs(prediction - target)
        return d + mp.log1p(mp.exp(-2 * d)) - mp.log(2)

    def optax_log_cosh(prediction: Any, target: Any) -> Any:
        return optax.losses.log_cosh(prediction, target)

    near = {"prediction": [1.0, -1.0, 0.5, 2.0**-7, 0.0], "target": [0.0, 0.0, 0.0, 0.0, 2.0**-20]}
    name = "smooth: optax 0.2.8 log_cosh"
    return [
        jax_case(name, optax_log_cosh, ROWS, wrt=WRT),
        jax_case(name, optax_log_cosh, FLAT, wrt=WRT),
        row_case(EXTREME, f, FAR, wrt=WRT),
        row_case("smooth: mpmath 1.3.0, 50 digits: where the formulas meet", f, near, wrt=WRT),
    ]


CASES = {"mse": mse, "l1": l1, "smooth_l1": smooth_l1, "huber": huber, "log_cosh": log_cosh}
