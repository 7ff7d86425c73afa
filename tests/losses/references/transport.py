"""sinkhorn, sinkhorn_divergence."""

from typing import Any

import ot
import torch
from torch import Tensor

from references._torch import randoms, torch_case

POT = "POT 0.9.7.post1 ot.sinkhorn"


def _plan(a: Tensor, b: Tensor, costs: Tensor, epsilon: float) -> Tensor:
    got = ot.sinkhorn(
        a.numpy(), b.numpy(), costs.detach().numpy(), epsilon, method="sinkhorn_log",
        numItermax=100_000, stopThr=1e-15, warn=False,
    )  # fmt: skip
    return torch.from_numpy(got)


def _cost(a: Tensor, b: Tensor, costs: Tensor, epsilon: float) -> Tensor:
    """Its derivative by the costs is the plan: the rest of the objective is at its optimum."""
    plan = _plan(a, b, costs, epsilon)
    divergence = torch.xlogy(plan, plan / (a[:, None] * b).clamp(min=1e-300)).sum()
    return (plan * costs).sum() + epsilon * divergence


def _equal(count: int) -> Tensor:
    return torch.full((count,), 1.0 / count, dtype=torch.float64)


def sinkhorn() -> list[dict[str, Any]]:
    def theirs(epsilon: float) -> Any:
        def rows(costs: Tensor, source_weights: Any = None, target_weights: Any = None) -> Tensor:
            n, m = costs.shape[1:]
            a = [_equal(n)] * len(costs) if source_weights is None else source_weights
            b = [_equal(m)] * len(costs) if target_weights is None else target_weights
            return torch.stack([_cost(a[i], b[i], costs[i], epsilon) for i in range(len(costs))])

        return rows

    near = {"costs": randoms(850, 2, 3, 2, low=0, high=2)}
    weighted = near | {
        "source_weights": [[0.5, 0.25, 0.25], [0.125, 0.875, 0.0]],
        "target_weights": [[0.75, 0.25], [0.5, 0.5]],
    }
    far = {"costs": [[[0.0, 1e4], [1e4, 0.0]], [[1e4, 1e4], [1e4, 1e4]]]}
    half, wrt = {"regularization": 0.5}, ("costs",)
    return [
        torch_case(f"smooth: {POT}", theirs(0.5), near, half, wrt=wrt),
        torch_case(f"smooth: {POT}, masses", theirs(0.5), weighted, half, wrt=wrt),
        torch_case(f"{POT}, costs to 1e4", theirs(10.0), far, {"regularization": 10.0}, wrt=wrt),
    ]


def sinkhorn_divergence() -> list[dict[str, Any]]:
    def theirs(epsilon: float, power: int = 2) -> Any:
        def distances(x: Tensor, y: Tensor) -> Tensor:
            apart = x[:, None] - y
            if power == 2:
                return 0.5 * apart.square().sum(2)
            return torch.linalg.vector_norm(apart, dim=2)

        def one(x: Tensor, y: Tensor) -> Tensor:
            a, b = _equal(len(x)), _equal(len(y))
            within = _cost(a, a, distances(x, x), epsilon) + _cost(b, b, distances(y, y), epsilon)
            return _cost(a, b, distances(x, y), epsilon) - 0.5 * within

        def rows(source_points: Tensor, target_points: Tensor) -> Tensor:
            return torch.stack([one(*x) for x in zip(source_points, target_points, strict=True)])

        return rows

    near = {
        "source_points": randoms(851, 2, 3, 2, low=-1, high=1),
        "target_points": randoms(852, 2, 2, 2, low=-1, high=1),
    }
    same = {
        "source_points": [[[0.5, 1.0], [0.0, 0.0]]],
        "target_points": [[[0.0, 0.0], [0.5, 1.0]]],
    }
    wrt, half = tuple(near), {"regularization": 0.5}
    distance = half | {"cost": "euclidean"}
    return [
        torch_case(f"smooth: {POT}", theirs(0.5), near, half, wrt=wrt),
        torch_case(f"{POT}, distances", theirs(0.5, 1), near, distance, wrt=wrt),
        torch_case(f"{POT}, equal clouds", theirs(0.5, 1), same, distance, wrt=wrt),
    ]


CASES = {"sinkhorn": sinkhorn, "sinkhorn_divergence": sinkhorn_divergence}
