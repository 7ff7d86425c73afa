"""Methods of losses, by TorchJD's scalarizers; weights are the derivatives by autograd."""

from typing import Any

import numpy as np
import torch
from torch import Tensor
from torchjd.scalarization import DWA, FAMO, IMTLL, STCH, UW, Constant, GeometricMean, Mean, Sum
from torchjd.scalarization import Random as RandomScalarizer

from references._tasks import case, drawing, losses, tensor

SOURCE = "torchjd 0.18.0"
SETS = [(0, 3), (1, 5), (2, 2), (3, 1)]


def differentiated(scalarizer: Any, given: Any, own: Tensor | None = None) -> Any:
    """Value, derivatives with respect to the losses, and to the scalarizer's own parameter."""
    values = tensor(given).requires_grad_()
    value = scalarizer(values)
    leaves = [values] if own is None else [values, own]
    found = torch.autograd.grad(value, leaves)
    return value.item(), found[0], found[1] if own is not None else None


def plain(name: str, make: Any, params: Any) -> list[Any]:
    made = []
    for seed, tasks in SETS:
        given = losses(seed, tasks)
        value, weights, _ = differentiated(make(tasks), given)
        call = {"losses": given, "params": params(tasks), "weights": weights, "value": value}
        made.append(case(f"{SOURCE} {name}", call))
    return made


def equal() -> list[Any]:
    return [
        *plain("Sum", lambda _: Sum(), lambda _: {}),
        *plain("Mean", lambda _: Mean(), lambda _: {"total": "one"}),
    ]


def fixed() -> list[Any]:
    def weights(tasks: int) -> Any:
        return np.arange(1, tasks + 1) / 4

    return plain(
        "Constant", lambda k: Constant(tensor(weights(k))), lambda k: {"weights": weights(k)}
    )


def gls() -> list[Any]:
    return plain("GeometricMean", lambda _: GeometricMean(), lambda _: {})


def stch() -> list[Any]:
    def preference(tasks: int) -> Any:
        return np.arange(1, tasks + 1) / 8

    return [
        *plain("STCH", lambda _: STCH(1.0), lambda _: {}),
        *plain("STCH", lambda _: STCH(0.1), lambda _: {"mu": 0.1}),
        *plain(
            "STCH",
            lambda k: STCH(0.5, tensor(preference(k)), tensor(-preference(k))),
            lambda k: {"mu": 0.5, "preference": preference(k), "ideal": -preference(k)},
        ),
    ]


def learned(name: str, make: Any, own: str, key: str) -> list[Any]:
    made = []
    for seed, tasks in SETS:
        given, scalarizer = losses(seed, tasks), make(tasks).double()
        s = np.random.default_rng(50 + seed).integers(-128, 128, tasks) / 64
        parameter = getattr(scalarizer, own)
        with torch.no_grad():
            parameter.copy_(tensor(s))
        value, weights, slope = differentiated(scalarizer, given, parameter)
        call = {
            "losses": given,
            "params": {key: s},
            "weights": weights,
            "value": value,
            "param_gradients": {key: slope},
        }
        made.append(case(f"{SOURCE} {name}", call))
    return made


def uncertainty_weighting() -> list[Any]:
    return learned("UW", UW, "log_var", "log_variances")


def imtl_l() -> list[Any]:
    return learned("IMTLL", IMTLL, "log_scale", "log_scales")


def dwa() -> list[Any]:
    made = []
    for temperature in (2.0, 0.5):
        for seed, tasks in SETS:
            scalarizer, calls = DWA(temperature), []
            for turn in range(12):
                given = losses(100 * seed + turn, tasks)
                value, weights, _ = differentiated(scalarizer, given)
                last = turn % 3 == 2
                if last:
                    scalarizer.step()
                params = {"temperature": temperature, "end_of_epoch": last}
                calls.append(
                    {"losses": given, "params": params, "weights": weights, "value": value}
                )
            made.append(case(f"{SOURCE} DWA, four epochs of three batches", *calls))
    return made


def famo() -> list[Any]:
    made = []
    for decay in (1e-3, 0.1):
        for seed, tasks in SETS:
            bounds = np.full(tasks, -0.5) if decay == 0.1 else np.zeros(tasks)
            scalarizer = FAMO(tasks, tensor(bounds), lr=0.05, weight_decay=decay).double()
            params = {"learning_rate": 0.05, "weight_decay": decay, "minimum_losses": bounds}
            calls = []
            for turn in range(6):
                given, after = losses(100 * seed + turn, tasks), losses(200 * seed + turn, tasks)
                value, weights, _ = differentiated(scalarizer, given)
                scalarizer.update(tensor(after))
                calls += [
                    {"losses": given, "params": params, "weights": weights, "value": value},
                    {"losses": after, "params": params | {"phase": "update"}},
                ]
            made.append(case(f"{SOURCE} FAMO, six steps", *calls, tolerance=2e-6))
    return made


def rlw() -> list[Any]:
    made = []
    for seed, tasks in SETS:
        given = losses(seed, tasks)
        drawn = np.random.default_rng(seed).standard_normal(tasks)
        with drawing("randn", lambda _, drawn=drawn: drawn):
            value, weights, _ = differentiated(RandomScalarizer(), given)
        call = {"losses": given, "params": {}, "seed": seed, "weights": weights, "value": value}
        made.append(case(f"{SOURCE} Random, drawing numpy's standard_normal of the seed", call))
    return made


CASES = {
    "equal": equal,
    "fixed": fixed,
    "gls": gls,
    "stch": stch,
    "uncertainty_weighting": uncertainty_weighting,
    "imtl_l": imtl_l,
    "dwa": dwa,
    "famo": famo,
    "rlw": rlw,
}
