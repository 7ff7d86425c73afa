"""Isotonic regression of shares: what a calibrated score would have been."""

import numpy as np
from numpy.typing import NDArray


def pooled(hits: NDArray[np.int64], counts: NDArray[np.int64]) -> list[tuple[int, int]]:
    """Pool adjacent violators: blocks of (hits, count) whose shares rise, from low to high.

    The bins go in from the lowest score to the highest; empty ones are nothing. Exact.
    """
    blocks: list[tuple[int, int]] = []
    for hit, count in zip(hits.tolist(), counts.tolist(), strict=True):
        if not count:
            continue
        while blocks and blocks[-1][0] * count >= hit * blocks[-1][1]:
            more, rows = blocks.pop()
            hit, count = hit + more, count + rows
        blocks.append((hit, count))
    return blocks
