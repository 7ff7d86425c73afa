"""Penalties on images, graphs, activations and constraints: kornia, torch, and mpmath."""

from typing import Any

import numpy as np
import torch
from kornia.losses import total_variation as kornia_total_variation
from mpmath import mp, mpf
from torch import Tensor

from references._mp_arrays import array_case
from references._torch import randoms, torch_case

TORCH = "torch 2.13.0"
PAPER = "paper only: mpmath 1.3.0"


def image_total_variation() -> list[dict[str, Any]]:
    def values(images: Tensor) -> Tensor:
        return kornia_total_variation(images, reduction="sum").sum(1)

    def formula(params: Any, images: Any) -> Any:
        found = []
        for image in images:
            total = mpf(0)
            for channel in image:
                for at in np.ndindex(channel.shape):
                    steps = []
                    for d in range(channel.ndim):
                        after = tuple(x + (i == d) for i, x in enumerate(at))
                        if after[d] < channel.shape[d]:
                            steps.append(channel[after] - channel[at])
                    if params["kind"] == "isotropic":
                        total += mp.sqrt(mp.fsum(x * x for x in steps))
                    else:
                        total += mp.fsum(x * x for x in steps)
            found.append(total)
        return np.array(found, dtype=object)

    wrt = ("images",)
    pictures = {"images": randoms(701, 2, 2, 3, 3)}
    volume = {"images": randoms(702, 1, 1, 2, 2, 2)}
    flat = {"images": [[[[0.5, 0.5], [0.5, 0.5]]], [[[1e4, 1e4], [-1e4, 1e4]]]]}
    return [
        torch_case("smooth: kornia 0.9.0", values, pictures, wrt=wrt),
        torch_case("kornia 0.9.0, flat and far", values, flat, wrt=wrt),
        array_case(f"{PAPER}, isotropic", formula, pictures, {"kind": "isotropic"}, wrt=wrt),
        array_case(f"smooth: {PAPER}, squared, a volume", formula, volume, {"kind": "squared"},
                   wrt=wrt),
    ]  # fmt: skip


def graph_laplacian() -> list[dict[str, Any]]:
    def formula(params: Any, values: Any, edges: Any, edge_weights: Any = None) -> Any:
        """By the matrix: tr(F^T (D - W) F)."""
        count = len(values)
        adjacent = np.full((count, count), mpf(0))
        for i, (a, b) in enumerate(edges):
            weight = mpf(1) if edge_weights is None else edge_weights[i]
            adjacent[a, b] += weight
            adjacent[b, a] += weight
        laplacian = np.diag(adjacent.sum(axis=1)) - adjacent
        return mpf(params.get("coefficient", 1.0)) * (values.T @ laplacian @ values).trace()

    wrt = ("values",)
    graph = {"values": randoms(703, 4, 2), "edges": [[0, 1], [1, 2], [2, 0], [3, 3]]}
    weights = {"edge_weights": [0.5, 0.0, 2.0, 1.0]}
    far = {"values": [[1e4], [-1e4], [0.5]], "edges": [[0, 1], [0, 1], [2, 1]]}
    return [
        array_case(f"smooth: {PAPER}", formula, graph, wrt=wrt),
        array_case(f"{PAPER}, weighted", formula, {**graph, **weights}, {"coefficient": 0.25},
                   wrt=wrt),
        array_case(f"{PAPER}, twice the same edge, 1e4", formula, far, wrt=wrt),
    ]  # fmt: skip


def activity_l1() -> list[dict[str, Any]]:
    def values(activations: Tensor) -> Tensor:
        zeros = torch.zeros_like(activations)
        found = torch.nn.functional.l1_loss(activations, zeros, reduction="none")
        return found.flatten(1).sum(1)

    wrt = ("activations",)
    return [
        torch_case(f"smooth: {TORCH}", values, {"activations": randoms(704, 3, 4)}, wrt=wrt),
        torch_case(f"{TORCH}, maps", values, {"activations": randoms(705, 2, 2, 3)}, wrt=wrt),
        torch_case(f"{TORCH}, zeros and 1e4", values, {"activations": [[0.0, 1e4], [-1e4, -0.0]]},
                   wrt=wrt),
    ]  # fmt: skip


def flops() -> list[dict[str, Any]]:
    def formula(params: Any, activations: Any) -> Any:
        mean = abs(activations).sum(axis=0) / len(activations)
        return mpf(params["coefficient"]) * (mean**2).sum()

    wrt = ("activations",)
    positive = {"activations": randoms(706, 3, 4, low=0.0)}
    one = {"coefficient": 1.0}
    signs = {"activations": [[0.0, -1.5, 1e4], [0.0, 2.0, -1e4], [-0.0, 0.5, 1.0]]}
    return [
        array_case(f"smooth: {PAPER}", formula, positive, one, wrt=wrt),
        array_case(f"{PAPER}, both signs", formula, signs, {"coefficient": 0.25}, wrt=wrt),
        array_case(f"{PAPER}, one text", formula, {"activations": [[0.5, 0.0]]}, one, wrt=wrt),
    ]  # fmt: skip


def decorrelation() -> list[dict[str, Any]]:
    def values(activations: Tensor) -> Tensor:
        covariance = torch.cov(activations.T, correction=0)
        return (covariance.square().sum() - covariance.diagonal().square().sum()) / 2

    def formula(params: Any, activations: Any) -> Any:
        centred = activations - activations.sum(axis=0) / len(activations)
        c = centred.T @ centred / len(activations)
        off = [c[i, j] ** 2 for i in range(len(c)) for j in range(len(c)) if i != j]
        return mpf(params.get("coefficient", 1.0)) / 2 * mp.fsum(off)

    wrt = ("activations",)
    far = {"activations": [[1e4, 1e4 + 0.5], [1e4 + 1.0, 1e4], [1e4, 1e4]]}
    return [
        torch_case(f"smooth: {TORCH}", values, {"activations": randoms(707, 4, 3)}, wrt=wrt),
        array_case(f"{PAPER}, far from 0", formula, far, {"coefficient": 0.5}, wrt=wrt),
        array_case(f"{PAPER}, one row", formula, {"activations": [[1.0, 2.0]]}, wrt=wrt),
    ]


def log_barrier() -> list[dict[str, Any]]:
    def formula(params: Any, constraints: Any) -> Any:
        t = mpf(params.get("t", 5.0))

        def one(g: Any) -> Any:
            if params.get("extended", True) and g > -1 / t**2:
                return t * g - mp.log(1 / t**2) / t + 1 / t
            return -mp.log(-g) / t

        return np.frompyfunc(one, 1, 1)(constraints)

    wrt = ("constraints",)
    held = {"constraints": [[-1.0, -0.5], [-1e4, -(2.0**-20)]]}
    found = array_case(f"{PAPER}, plain", formula, held, {"extended": False}, wrt=wrt)
    broken = {"from": f"{PAPER}, plain and broken", "inputs": {"constraints": [0.0, 1e4]},
              "params": {"extended": False}, "values": ["Infinity", "Infinity"],
              "gradients": {"constraints": [0.0, 0.0]}}  # fmt: skip
    return [
        array_case(f"smooth: {PAPER}", formula, {"constraints": [[-1.0, 0.5], [-0.02, -3.0]]},
                   wrt=wrt),
        array_case(f"{PAPER}, at the border and 1e4", formula,
                   {"constraints": [-0.25, 1e4, -1e4, 0.0]}, {"t": 2.0}, wrt=wrt),
        found, broken,
    ]  # fmt: skip


def jacobian_penalty() -> list[dict[str, Any]]:
    def values(jacobian: Tensor) -> Tensor:
        zeros = torch.zeros_like(jacobian)
        found = torch.nn.functional.mse_loss(jacobian, zeros, reduction="none")
        return found.flatten(1).sum(1) / 2

    wrt = ("jacobian",)
    return [
        torch_case(f"smooth: {TORCH}", values, {"jacobian": randoms(708, 2, 2, 3)}, wrt=wrt),
        torch_case(f"{TORCH}, zeros and 1e4", values, {"jacobian": [[0.0, 1e4], [-1e4, 0.0]]},
                   wrt=wrt),
        torch_case(f"{TORCH}, numbers", values, {"jacobian": [[0.5], [-2.0]]}, wrt=wrt),
    ]  # fmt: skip


CASES = {
    "image_total_variation": image_total_variation,
    "graph_laplacian": graph_laplacian,
    "activity_l1": activity_l1,
    "flops": flops,
    "decorrelation": decorrelation,
    "log_barrier": log_barrier,
    "jacobian_penalty": jacobian_penalty,
}
