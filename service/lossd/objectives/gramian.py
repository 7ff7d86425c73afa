"""How terms' gradients lie to each other: their inner products by one tensor."""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

_CHUNK = 1 << 20  # elements of all terms together that are widened to float64 at once


@dataclass(frozen=True, slots=True)
class Gramian:
    """The inner products, in float64, of the terms that take the tensor."""

    terms: tuple[str, ...]
    products: NDArray[np.float64]

    @property
    def norms(self) -> NDArray[np.float64]:
        """The Euclidean length of each term's gradient."""
        lengths: NDArray[np.float64] = np.sqrt(np.diagonal(self.products))
        return lengths

    @property
    def cosines(self) -> NDArray[np.float64]:
        """Of the angle between any two; 0 where one of them is 0."""
        norms = self.norms
        with np.errstate(invalid="ignore", divide="ignore", over="ignore"):
            found = self.products / norms[:, None] / norms[None, :]
        found[(norms == 0)[:, None] | (norms == 0)[None, :]] = 0.0
        clipped: NDArray[np.float64] = np.clip(found, -1.0, 1.0)
        return clipped

    def shares(self, weights: Mapping[str, float]) -> NDArray[np.float64]:
        """Each term's weighted length over the sum of all of them; 0 where all are."""
        with np.errstate(invalid="ignore", over="ignore"):
            lengths = self.norms * np.abs([weights[name] for name in self.terms])
            total = lengths.sum()
            return lengths / total if total else lengths

    def conflicts(self) -> Iterator[tuple[str, str, float]]:
        """The pairs whose gradients point against each other, with their cosines."""
        cosines = self.cosines
        for i, j in zip(*np.triu_indices(len(self.terms), 1), strict=True):
            if cosines[i, j] < 0:
                yield self.terms[i], self.terms[j], float(cosines[i, j])


def gramian_of(name: str, own: Mapping[str, Mapping[str, Tensor]]) -> Gramian:
    """Of the terms that have a gradient by the tensor of that name."""
    terms = tuple(term for term, gradients in own.items() if name in gradients)
    return Gramian(terms, products_of([own[term][name].reshape(-1) for term in terms]))


def products_of(flat: Sequence[Tensor]) -> NDArray[np.float64]:
    """The inner products of vectors, in float64: (count, count)."""
    count = len(flat)
    total = torch.zeros(count, count, dtype=torch.float64)
    length = flat[0].numel() if flat else 0
    step = max(1, _CHUNK // max(1, count))
    for start in range(0, length, step):
        block = torch.stack([x[start : start + step].double() for x in flat])
        total += block @ block.T
    found: NDArray[np.float64] = total.numpy()
    return found
