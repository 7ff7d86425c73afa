"""The logistic function and logarithms of the kernels, in units in the last place."""

import mpmath
import numba
import numpy as np

from lossd.engine.kernels._loads import load, store
from lossd.engine.kernels._logarithm import log_of_normal, minus_log_of_rest
from lossd.engine.kernels._logistic import log1p_of_unit, logistic

ONE, HALF = np.float32(1), np.float32(0.5)


@numba.njit
def _logistic_of_all(z, out):
    for j in range(0, z.size, 16):
        found = logistic(load(z, j, ONE))
        for i in range(4):
            store(out[i], j, found[i])


@numba.njit
def _log1p_of_all(e, out):
    for j in range(0, e.size, 16):
        store(out, j, log1p_of_unit(load(e, j, ONE)))


@numba.njit
def _log_of_all(x, out):
    for j in range(0, x.size, 16):
        store(out, j, log_of_normal(load(x, j, ONE)))


@numba.njit
def _minus_log_of_rest_of_all(x, out):
    for j in range(0, x.size, 16):
        store(out, j, minus_log_of_rest(load(x, j, HALF)))


def units(got: np.ndarray, true: np.ndarray) -> float:
    return float((np.abs(got - true) / np.spacing(true.astype(np.float32))).max())


def test_log1p_is_within_2_units_for_every_float32_of_some_binades():
    for low in (1.0, 0.5, 0.25, 1e-3, 1e-10):
        first = np.float32(low).view(np.int32)
        e = np.arange(first - (1 << 22), first + 1, dtype=np.int32).view(np.float32)
        out = np.empty_like(e)
        _log1p_of_all(e, out)
        assert units(out.astype(np.float64), np.log1p(e.astype(np.float64))) <= 2


def test_logarithms_are_within_3_units():
    for low in (1.0, 0.75, 0.7, 0.5, 1e-3, 1e-30, 2e-38):
        first = np.float32(low).view(np.int32)
        x = np.arange(first - (1 << 17), first + 1, dtype=np.int32).view(np.float32)
        x = x[x >= np.finfo(np.float32).tiny]
        out = np.empty_like(x)
        _log_of_all(x, out)
        exact = np.log(x.astype(np.float64))
        assert units(out[x < 1].astype(np.float64), exact[x < 1]) <= 3
        assert not out[x == 1].any()
    x = np.concatenate([np.geomspace(1e-37, 0.5, 4001), np.linspace(0, 0.5, 4001)])
    x = x[x > 0].astype(np.float32)
    out = np.empty_like(x)
    _minus_log_of_rest_of_all(x, out)
    assert units(out.astype(np.float64), -np.log1p(-x.astype(np.float64))) <= 3


def test_the_logistic_function_is_that_of_mpmath_at_every_size():
    z = np.concatenate([np.linspace(-86, 86, 1201), np.geomspace(1e-30, 3e38, 300)])
    z = np.concatenate([z, -z]).astype(np.float32)
    out = np.empty((4, z.size), np.float32)
    _logistic_of_all(z, out)
    mpmath.mp.dps = 60
    exact = [mpmath.mpf(float(each)) for each in z]
    for sign, value, share in ((1, out[0], out[2]), (-1, out[1], out[3])):
        softplus = np.array([float(mpmath.log1p(mpmath.exp(sign * x))) for x in exact])
        sigmoid = np.array([float(1 / (1 + mpmath.exp(-sign * x))) for x in exact])
        for got, true in ((value, softplus), (share, sigmoid)):
            normal = true > 1.2e-38
            assert units(got[normal].astype(np.float64), true[normal]) <= 4
            assert (got[~normal] <= 1.2e-38).all()
