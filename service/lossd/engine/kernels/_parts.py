"""What several losses make of one measured softmax: a row's value, and its gradient's coefficients.

One function for each compiled function of a kernel that can share: the same loss, without passes.
"""

import math
from collections.abc import Callable, Mapping
from types import MappingProxyType
from typing import Any

import numpy as np

from lossd.compiled import compiled, inlined
from lossd.engine.kernels._blocks import Work
from lossd.engine.kernels._entropy import entropy_counted, with_entropy
from lossd.engine.kernels._job import FINE, SUSPECT
from lossd.engine.kernels._measured import (
    DISTANCES,
    FAR,
    MOST,
    OF_ALL,
    OF_DISTANCE,
    OF_E,
    OF_SQUARE,
    OTHERS,
    POSSIBLE,
    SQUARES,
)
from lossd.engine.kernels._rows import log_of_total
from lossd.engine.kernels._softmax import focused, labelled
from lossd.engine.kernels.brier import score
from lossd.engine.kernels.label_smoothing import smoothed

_ROWS = "int64(float32[:, ::1], float64[:, ::1], int64[:], "
_OUT = ", float64[:], float64[:], float64[:, :], float64[:])"


@inlined()
def _around(row: Any, z: Any, label: int) -> Any:
    """A label's distance from the largest, its exponential, the sum of all others, of all.

    All others are the whole but for what is at most half of it: no digits are lost.
    """
    lead = row[MOST] - np.float64(z[label])
    if lead == 0.0:
        return lead, 1.0, row[OTHERS], 1.0 + row[OTHERS]
    own, total = math.exp(-lead), 1.0 + row[OTHERS]
    return lead, own, total - own, total


@compiled(
    _ROWS
    + "boolean, int64, float32[::1], boolean, float64, boolean, float64, float64, float64"
    + _OUT
)
def of_labelled(
    logits: Any,
    measured: Any,
    labels: Any,
    may_ignore: bool,
    ignore_index: int,
    weights: Any,
    weighs_factor: bool,
    gamma: float,
    detached: bool,
    power: float,
    of_nats: float,
    of_miss: float,
    outer: Any,
    values: Any,
    coefficients: Any,
    at_label: Any,
) -> int:
    """`labelled`."""
    for i in range(labels.size):
        label = labels[i]
        values[i] = 0.0
        if may_ignore and label == ignore_index:
            continue
        if not 0 <= label < logits.shape[1]:
            return SUSPECT
        lead, own, rest, total = _around(measured[i], logits[i], label)
        nats = lead + log_of_total(rest, own, lead)
        weight = np.float64(weights[label]) if weights.size else 1.0
        value, slope = focused(
            nats, own / total, rest / total, gamma, detached, power, of_nats, of_miss
        )
        values[i] = weight * value if weight != 0.0 else 0.0
        factor = outer[min(i, outer.size - 1)] * weight
        if factor != 0.0:
            factor *= slope / total
            coefficients[i, OF_E] += factor
            at_label[i] -= factor * rest
    return FINE


@compiled(_ROWS + "boolean, int64, float32[::1], float64, boolean" + _OUT)
def of_smoothed(
    logits: Any,
    measured: Any,
    labels: Any,
    may_ignore: bool,
    ignore_index: int,
    weights: Any,
    smoothing: float,
    spares_label: bool,
    outer: Any,
    values: Any,
    coefficients: Any,
    at_label: Any,
) -> int:
    """`smoothed` over all classes, the label's too."""
    for i in range(labels.size):
        label, row = labels[i], measured[i]
        values[i] = 0.0
        if may_ignore and label == ignore_index:
            continue
        if not 0 <= label < logits.shape[1]:
            return SUSPECT
        lead, own, rest, total = _around(row, logits[i], label)
        log_total = log_of_total(rest, own, lead)
        share = smoothing / row[POSSIBLE]
        value = share * (row[DISTANCES] + row[POSSIBLE] * log_total)
        if smoothing < 1.0:
            value += (1.0 - smoothing) * (lead + log_total)
        weight = np.float64(weights[label]) if weights.size else 1.0
        values[i] = weight * value if weight != 0.0 else 0.0
        factor = outer[min(i, outer.size - 1)] * weight
        if factor != 0.0:
            own_share = share if lead < math.inf else 0.0
            spread = smoothing - own_share  # that the others take
            coefficients[i, OF_E] += factor / total
            coefficients[i, OF_ALL] -= factor * share
            at_label[i] += factor * (spread - rest / total)
    return FINE


@compiled(_ROWS + "boolean, int64, float32[::1], float32, float64, float64" + _OUT)
def of_entropy(
    logits: Any,
    measured: Any,
    labels: Any,
    may_ignore: bool,
    ignore_index: int,
    weights: Any,
    inverse: np.float32,
    of_entropy: float,
    threshold: float,
    outer: Any,
    values: Any,
    coefficients: Any,
    at_label: Any,
) -> int:
    """`with_entropy` at temperature 1."""
    for i in range(logits.shape[0]):
        row, z = measured[i], logits[i]
        values[i] = 0.0
        label = -1
        if labels.size:
            label = labels[i]
            if may_ignore and label == ignore_index:
                continue
            if not 0 <= label < logits.shape[1]:
                return SUSPECT
        total = 1.0 + row[OTHERS]
        mean = row[FAR] / total
        entropy = math.log1p(row[OTHERS]) + mean
        value, counted = entropy_counted(entropy, of_entropy, threshold)
        weight = 1.0
        lead, own, rest = 0.0, 0.0, 0.0
        if labels.size:
            lead, own, rest, total = _around(row, z, label)
            value += lead + log_of_total(rest, own, lead)
            weight = np.float64(weights[label]) if weights.size else 1.0
        values[i] = weight * value if weight != 0.0 else 0.0
        factor = outer[min(i, outer.size - 1)] * weight / total
        if factor != 0.0:
            coefficients[i, OF_E] -= factor * counted * mean
            coefficients[i, OF_DISTANCE] += factor * counted
            if labels.size:
                coefficients[i, OF_E] += factor
                own_pull = counted * own * (lead - mean) if own > 0.0 else 0.0
                at_label[i] += factor * (own_pull - rest)
    return FINE


@compiled(_ROWS + "boolean, float64, float64, float64" + _OUT)
def of_score(
    logits: Any,
    measured: Any,
    labels: Any,
    is_logits: bool,
    tolerance: float,
    tolerance_of_targets: float,
    share: float,
    outer: Any,
    values: Any,
    coefficients: Any,
    at_label: Any,
) -> int:
    """`score` of logits and labels."""
    for i in range(labels.size):
        label, row = labels[i], measured[i]
        if not 0 <= label < logits.shape[1]:
            return SUSPECT
        lead, own, rest, total = _around(row, logits[i], label)
        but_largest = row[SQUARES] / (total * total)
        squares = but_largest  # of all but the label
        if lead > 0.0:
            squares += (1.0 - own * own) / (total * total)
        hit, miss = own / total, rest / total
        values[i] = share * (squares + miss * miss)
        factor = 2.0 * share * outer[min(i, outer.size - 1)]
        if factor != 0.0:
            of_largest = row[OTHERS] / (total * total) - but_largest + hit
            coefficients[i, OF_E] += factor * of_largest / total
            coefficients[i, OF_SQUARE] += factor / (total * total)
            at_label[i] -= factor * hit * (miss * miss + squares)
    return FINE


_OF_ONE_SOFTMAX: Mapping[Callable[..., int], Callable[..., int]] = MappingProxyType(
    {labelled: of_labelled, smoothed: of_smoothed, with_entropy: of_entropy, score: of_score}
)


def core_of_one_softmax(work: Work) -> Callable[..., int] | None:
    """The same loss of a softmax that others share; None where it needs a pass of its own."""
    if work.core is smoothed and work.constants[-1]:  # what spares the label would lose digits
        return None
    if work.core is with_entropy and work.constants[3] != 1.0:  # another temperature
        return None
    return _OF_ONE_SOFTMAX.get(work.core)
