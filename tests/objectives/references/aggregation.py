"""Methods of gradients, by TorchJD's aggregators."""

from functools import partialmethod
from typing import Any
from unittest import mock

import cvxpy as cp
import numpy as np
import torch
from torchjd._linalg import QuadprogProjector
from torchjd.aggregation import (
    AlignedMTLWeighting,
    CAGradWeighting,
    ConFIG,
    DualProjWeighting,
    GradDrop,
    GradVacWeighting,
    IMTLGWeighting,
    PCGradWeighting,
    UPGradWeighting,
)

from references._tasks import case, drawing, gradients, tensor

SOURCE = "torchjd 0.18.0"
SETS = [(0, 3, 5), (1, 4, 9), (2, 6, 8), (3, 2, 4)]


def weights_of(weighting: Any, rows: Any) -> Any:
    return weighting(tensor(rows @ rows.T))


def by_gramian(name: str, weighting: Any, params: dict[str, Any], sets: Any = SETS) -> list[Any]:
    made = []
    for seed, tasks, width in sets:
        rows = gradients(seed, tasks, width)
        call = {"gradients": rows, "params": params, "weights": weights_of(weighting, rows)}
        made.append(case(f"{SOURCE} {name}", call))
    return made


def aligned_mtl() -> list[Any]:
    made = []
    for scale, theirs in (("min", "min"), ("median", "median"), ("mean", "rmse")):
        weighting = AlignedMTLWeighting(scale_mode=theirs)
        made += by_gramian("AlignedMTLWeighting", weighting, {"scale": scale})
    preference = torch.tensor([0.5, 2.0, 1.0], dtype=torch.float64)
    rows = gradients(4, 3, 7)
    got = weights_of(AlignedMTLWeighting(preference), rows)
    params = {"preference": preference}
    made.append(
        case(
            f"{SOURCE} AlignedMTLWeighting",
            {"gradients": rows, "params": params, "weights": got},
        )
    )
    return made


def imtl_g() -> list[Any]:
    made = by_gramian("IMTLGWeighting", IMTLGWeighting(), {})
    rows = gradients(5, 5, 3)
    source = f"{SOURCE} IMTLGWeighting, dependent gradients"
    call = {"gradients": rows, "params": {}, "weights": weights_of(IMTLGWeighting(), rows)}
    return [*made, case(source, call)]


def config() -> list[Any]:
    made = []
    for preference in (None, [1.0, 2.0, 0.5]):
        for seed, tasks, width in [*SETS, (5, 5, 3), (6, 3, 6)]:
            if preference and tasks != 3:
                continue
            rows = gradients(seed, tasks, width)
            vector = None if preference is None else tensor(np.array(preference))
            params = {"preference": preference} if preference else {}
            call = {"gradients": rows, "params": params, "direction": ConFIG(vector)(tensor(rows))}
            made.append(case(f"{SOURCE} ConFIG", call))
    return made


def cagrad() -> list[Any]:
    made = []
    exact = partialmethod(cp.Problem.solve, tol_gap_abs=1e-14, tol_gap_rel=1e-14, tol_feas=1e-14)
    with mock.patch.object(cp.Problem, "solve", exact):
        for c in (0.2, 0.5, 1.5):
            name = "CAGradWeighting, Clarabel to 1e-14"
            made += by_gramian(name, CAGradWeighting(c, 1e-9), {"c": c})
    return made


def projector() -> QuadprogProjector:
    return QuadprogProjector(norm_eps=1e-12, reg_eps=1e-12)


def upgrad() -> list[Any]:
    return by_gramian("UPGradWeighting, quadprog", UPGradWeighting(projector=projector()), {})


def dualproj() -> list[Any]:
    return by_gramian("DualProjWeighting, quadprog", DualProjWeighting(projector=projector()), {})


def pcgrad() -> list[Any]:
    made = []
    for seed, tasks, width in SETS:
        rows = gradients(seed, tasks, width)
        generator = np.random.default_rng(100 + seed)
        orders = [generator.permutation(tasks) for _ in range(tasks)]
        left = iter(orders)
        with drawing("randperm", lambda _, left=left: next(left)):
            weights = weights_of(PCGradWeighting(), rows)
        call = {"gradients": rows, "params": {}, "permutation": orders, "weights": weights}
        made.append(case(f"{SOURCE} PCGradWeighting, its permutations known", call))
    return made


def gradvac() -> list[Any]:
    made = []
    for beta in (0.5, 0.1):
        for seed, tasks, width in SETS:
            weighting, calls = GradVacWeighting(beta, eps=0.0), []
            for turn in range(4):
                rows = gradients(10 * seed + turn, tasks, width)
                generator = np.random.default_rng(100 + turn)
                orders = [generator.permutation(tasks) for _ in range(tasks)]
                ranks = iter(
                    np.array([sorted(set(range(tasks)) - {i}).index(j) for j in order if j != i])
                    for i, order in enumerate(orders)
                )
                with drawing("randperm", lambda _, ranks=ranks: next(ranks)):
                    weights = weights_of(weighting, rows)
                calls.append(
                    {
                        "gradients": rows,
                        "params": {"beta": beta},
                        "permutation": orders,
                        "weights": weights,
                    }
                )
            made.append(case(f"{SOURCE} GradVacWeighting, its permutations known", *calls))
    return made


def graddrop() -> list[Any]:
    made = []
    for leak in (None, [0.25, 0.0, 1.0]):
        for seed, tasks, width in SETS:
            if leak and tasks != 3:
                continue
            rows = gradients(seed, tasks, width)
            chance = np.random.default_rng(seed).random(width)
            vector = None if leak is None else tensor(np.array(leak))
            with drawing("rand", lambda _, chance=chance: chance):
                direction = GradDrop(leak=vector)(tensor(rows))
            params = {"leak": leak} if leak else {}
            call = {"gradients": rows, "params": params, "seed": seed, "direction": direction}
            made.append(case(f"{SOURCE} GradDrop, drawing numpy's random(P) of the seed", call))
    return made


CASES = {
    "aligned_mtl": aligned_mtl,
    "imtl_g": imtl_g,
    "config": config,
    "cagrad": cagrad,
    "upgrad": upgrad,
    "dualproj": dualproj,
    "pcgrad": pcgrad,
    "gradvac": gradvac,
    "graddrop": graddrop,
}
