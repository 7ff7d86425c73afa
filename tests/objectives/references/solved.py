"""Methods whose equation a general solver solves: cvxpy, mpmath, and autograd for GradNorm."""

from typing import Any

import cvxpy as cp
import numpy as np
import torch
from mpmath import mp
from torchjd.aggregation import FairGradWeighting, NashMTL

from references._tasks import case, gradients, losses, tensor

mp.dps = 40
# In the first the gradients conflict; in the last they depend on each other, without canceling.
SETS = [(0, 3, 5, 0.0), (1, 4, 9, 0.0), (2, 6, 8, 0.5), (3, 2, 4, 0.0), (4, 5, 3, 1.5)]
# Where the first linearization in TorchJD's NashMTL is unbounded.
UNBOUNDED = [(38, 3, 8, 0.0), (53, 3, 3, 0.0)]


def least_norm(gramian: Any) -> Any:
    values, vectors = np.linalg.eigh(gramian)
    root = np.sqrt(np.maximum(values, 0))[:, None] * vectors.T
    a = cp.Variable(len(gramian))
    problem = cp.Problem(cp.Minimize(cp.sum_squares(root @ a)), [a >= 0, cp.sum(a) == 1])
    problem.solve(cp.CLARABEL, tol_gap_abs=1e-14, tol_gap_rel=1e-14, tol_feas=1e-14)
    return a.value


def mgda() -> list[Any]:
    made = []
    for seed, tasks, width, _ in SETS[:4]:
        rows, given = gradients(seed, tasks, width), losses(seed, tasks)
        norms = np.linalg.norm(rows, axis=1)
        for kind, divisor in (
            ("none", 1.0),
            ("l2", norms),
            ("loss", given),
            ("loss+", given * norms),
        ):
            unit = rows / np.broadcast_to(divisor, tasks)[:, None]
            params = {"normalization": kind}
            call = {"gradients": rows, "losses": given, "params": params}
            source = "cvxpy 1.9.3, Clarabel: the quadratic program of arXiv:1810.04650, eq. 3"
            made.append(case(source, call | {"weights": least_norm(unit @ unit.T)}, tolerance=1e-6))
    return made


def root(gramian: Any, power: float, start: Any) -> Any:
    g = mp.matrix(gramian.tolist())

    def equation(*x: Any) -> Any:
        inner = g * mp.matrix(list(x))
        return [inner[k] - x[k] ** -mp.mpf(power) for k in range(len(x))]

    found = mp.findroot(equation, [mp.mpf(each) for each in start], tol=1e-30, maxsteps=200)
    assert all(each > 0 for each in found)
    return [float(each) for each in found]


def roughly(gramian: Any, alpha: float) -> Any:
    """Where TorchJD's least squares come to, which is near enough to start from."""
    return FairGradWeighting(alpha=alpha, max_iters=20000)(tensor(gramian)).numpy()


def fairgrad() -> list[Any]:
    made = []
    for alpha in (0.5, 1.0, 2.0, 5.0):
        for seed, tasks, width, pull in SETS:
            rows = gradients(seed, tasks, width, pull=pull)
            gramian = rows @ rows.T
            start = roughly(gramian, alpha)
            solution = root(gramian, 1 / alpha, start)
            near = np.allclose(start, solution, rtol=1e-4)
            source = "mpmath 1.3.0, 40 digits: the root of G x = x^(-1/alpha)"
            source += "; torchjd 0.18.0 FairGradWeighting is within 1e-4 of it" if near else ""
            call = {"gradients": rows, "params": {"alpha": alpha}, "weights": solution}
            made.append(case(source, call))
    return made


def nash_mtl() -> list[Any]:
    made = []
    for seed, tasks, width, pull in [*SETS, *UNBOUNDED]:
        rows = gradients(seed, tasks, width, pull=pull)
        solution = root(rows @ rows.T, 1.0, roughly(rows @ rows.T, 1.0))
        aggregator = NashMTL(n_tasks=tasks, max_norm=0.0)
        theirs = aggregator.weighting(tensor(rows)).numpy().astype(float)
        same = np.allclose(theirs / theirs.sum(), np.array(solution) / np.sum(solution), rtol=1e-3)
        source = "mpmath 1.3.0, 40 digits: the root of G x = 1/x; torchjd 0.18.0 NashMTL "
        source += "agrees up to its scale" if same else "gives `reference_weights`"
        call = {"gradients": rows, "params": {}, "weights": solution}
        more = {} if same else {"reference_weights": theirs.tolist()}
        made.append(case(source, call, **more))
    return made


def gradnorm() -> list[Any]:
    made = []
    for alpha, rate in ((1.5, 0.025), (0.12, 0.01)):
        for seed, tasks in ((0, 3), (1, 5), (2, 2)):
            weights, calls = torch.ones(tasks, dtype=torch.float64), []
            first = tensor(losses(100 * seed, tasks))
            for turn in range(5):
                given = losses(100 * seed + turn, tasks)
                norms = losses(300 * seed + turn, tasks)
                w = weights.clone().requires_grad_()
                ratio = tensor(given) / first
                target = ((w * tensor(norms)).mean() * (ratio / ratio.mean()) ** alpha).detach()
                loss = (w * tensor(norms) - target).abs().sum()
                (slope,) = torch.autograd.grad(loss, w)
                calls.append(
                    {
                        "losses": given,
                        "norms": norms,
                        "params": {"alpha": alpha, "learning_rate": rate},
                        "weights": weights,
                        "param_gradients": {"weights": slope},
                    }
                )
                weights = weights - rate * slope
                weights = weights * tasks / weights.sum()
            source = "arXiv:1711.02257, eq. 2 and algorithm 1 with torch 2.13.0's autograd"
            made.append(case(source, *calls))
    return made


CASES = {"mgda": mgda, "fairgrad": fairgrad, "nash_mtl": nash_mtl, "gradnorm": gradnorm}
