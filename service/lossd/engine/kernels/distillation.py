"""Distillation, its softened part in float64 like its plain function's.

T^2 would show the rounding of float32.
"""

import math
from typing import Any

import numpy as np
from numpy.typing import NDArray

from lossd.compiled import SUMS, called, compiled
from lossd.engine.kernels import _weights
from lossd.engine.kernels._blocks import Work, binder
from lossd.engine.kernels._job import FINE, SUSPECT
from lossd.engine.kernels._rows import all_finite, exp_and_sum, largest, log_of_total
from lossd.exponentials import exp_of_negative
from lossd.schema import Call

_NO_WEIGHTS = np.empty(0, np.float32)


def applies(call: Call) -> bool:
    """Every call; logits that are not finite are left to the plain function."""
    return True


def weigh(call: Call) -> NDArray[np.float64] | float:
    """1 each; 0 where ignored."""
    params: Any = call.params
    if "labels" not in call.inputs:
        return 1.0
    return _weights.of_labels(call.inputs["labels"], _NO_WEIGHTS, params.ignore_index)


def work(call: Call) -> Work:
    """What computes the rows of a call."""
    params: Any = call.params
    may_ignore = params.ignore_index is not None and "labels" in call.inputs
    scale = params.temperature**2 if params.scale_by_temperature_squared else 1.0
    alpha = params.alpha if "labels" in call.inputs else 0.0
    ignore_index = params.ignore_index if may_ignore else 0
    constants = (may_ignore, ignore_index, params.temperature, (1.0 - alpha) * scale, alpha)
    sides = ("student_logits", "teacher_logits")
    return Work(distilled, sides, sides[:1], "labels", constants)


bind = binder(work)


@called(SUMS)
def _softened(z: Any, most: float, temperature: float, e: Any) -> float:
    """Write e^((z - most) / T); their sum."""
    total, inverse = 0.0, 1.0 / temperature
    for j in range(z.size):
        e[j] = exp_of_negative((np.float64(z[j]) - most) * inverse)
    for j in range(z.size):
        total += e[j]
    return total


@called(SUMS)
def _apart(z: Any, top: float, x: Any, other_top: float, f: Any) -> float:
    """The sum of f times how much further z is from its largest than x from its own."""
    far = 0.0
    for j in range(z.size):
        far += f[j] * ((np.float64(x[j]) - other_top) - (np.float64(z[j]) - top))
    return far


@compiled(
    "int64(float32[:, ::1], float32[:, ::1], int64[::1], boolean, int64, float64, float64,"
    " float64, float32[:], float64[::1], float32[:, ::1])"
)
def distilled(
    student: Any,
    teacher: Any,
    labels: Any,
    may_ignore: bool,
    ignore_index: int,
    temperature: float,
    soft: float,
    hard: float,
    outer: Any,
    values: Any,
    gradient: Any,
) -> int:
    """Values soft KL(p || q) - hard log of the student's own probability of the label.

    Gradients soft (q - p) / T + hard (softmax - onehot). Fused checks: logits that are not finite,
    labels.
    """
    classes = student.shape[1]
    scratch = np.empty((2, classes))
    e, f = scratch[0], scratch[1]
    hards = np.empty(classes if hard != 0.0 else 0, np.float32)
    for i in range(student.shape[0]):
        z, x = student[i], teacher[i]
        if not all_finite(z) or not all_finite(x):
            return SUSPECT
        top, other_top = np.float64(largest(z)), np.float64(largest(x))
        label = labels[i] if labels.size else -1
        ignored = may_ignore and label == ignore_index
        if labels.size and not ignored and not 0 <= label < classes:
            return SUSPECT
        if ignored:
            values[i] = 0.0
            if gradient.size:
                gradient[i] = np.float32(0)
            continue
        total, other = _softened(z, top, temperature, e), _softened(x, other_top, temperature, f)
        log_ratio, far = math.log(total) - math.log(other), _apart(z, top, x, other_top, f)
        value = soft * (far / (temperature * other) + log_ratio) if soft != 0.0 else 0.0
        lead, own, rest = 0.0, 1.0, 0.0
        if hard != 0.0:
            rest = exp_and_sum(z, np.float32(top), label, hards)
            lead = top - np.float64(z[label])
            own = math.exp(-lead)
            value += hard * (lead + log_of_total(rest, own, lead))
        if not abs(value) < math.inf:
            return SUSPECT
        values[i] = value
        if not gradient.size:
            continue
        weight = np.float64(outer[min(i, outer.size - 1)])
        pull = weight * soft / temperature
        of_e, of_f, of_hard = pull / total, pull / other, weight * hard / (rest + own)
        g = gradient[i]
        for j in range(classes):
            g[j] = np.float32(of_e * e[j] - of_f * f[j])
        if hard != 0.0:
            at_label = of_e * e[label] - of_f * f[label] - of_hard * rest
            for j in range(classes):
                g[j] += np.float32(of_hard) * hards[j]
            g[label] = np.float32(at_label)
    return FINE
