"""What the row kernels measure, against numpy with more digits than they have."""

from typing import Any

import mpmath
import numpy as np
import pytest
from numpy.typing import NDArray

from audit.chunks import outputs
from lossd.audit import Setup
from lossd.audit.chunk import chunk_of
from lossd.audit.rows import Rows, measure
from lossd.compiled import compiled
from lossd.exponentials import LOWEST, SMALLEST_NORMAL, exp_of_negative, log, log_1p

SHAPES = [(5, 2), (300, 3), (7, 64), (130, 65), (33, 1000), (3, 5000)]
COLUMNS = [
    *("log_p", "miss", "confidence", "margin", "entropy", "residual", "log_sum_exp"),
    *("largest", "smallest", "total", "predicted", "rank"),
]


def rows_of(z: NDArray[np.float64], labels: NDArray[np.int64]) -> Rows:
    return measure(chunk_of(Setup(), z, labels, first_row=0), "logits")


@pytest.mark.parametrize("spread", [0.1, 1.0, 30.0])
@pytest.mark.parametrize(("rows", "classes"), SHAPES)
def test_columns_are_those_of_more_digits(rows: int, classes: int, spread: float) -> None:
    z, labels = outputs(rows, classes).values()
    z = (spread * z).astype(np.float64)
    found, wide = rows_of(z, labels), z.astype(np.longdouble)
    here = np.arange(rows)
    far = wide - wide.max(1, keepdims=True)
    e = np.exp(far)
    p = e / e.sum(1, keepdims=True)
    one = np.eye(classes, dtype=bool)[labels]
    log_p = far[here, labels] - np.log(e.sum(1))
    expected = {
        "log_p": log_p,
        "miss": np.where(one, 0, p).sum(1),
        "confidence": p.max(1),
        "margin": p[here, labels] - np.where(one, 0, p).max(1),
        "entropy": np.log(e.sum(1)) - (e * far).sum(1) / e.sum(1),
        "residual": ((p - one) ** 2).sum(1),
        "log_sum_exp": wide.max(1) + np.log(e.sum(1)),
        "largest": wide.max(1),
        "smallest": wide.min(1),
        "total": wide.sum(1),
    }
    # As far off as sums of so many terms may be, one after another.
    off = classes * 2.0**-53
    for name, values in expected.items():
        tolerance = {"rtol": off * 8, "atol": off * 4 * (abs(z).max() if name == "total" else 1)}
        np.testing.assert_allclose(getattr(found, name), values.astype(float), **tolerance)
    assert (found.predicted == z.argmax(1)).all()
    before = (z > z[here, labels][:, None]).sum(1)
    assert (found.rank == before).all()


def test_what_is_nearly_sure_keeps_its_digits() -> None:
    z = np.array([[0.0, -40.0, -41.0], [0.0, -700.0, -701.0], [0.0, 40.0, 41.0]])
    found = rows_of(z, np.zeros(3, np.int64))
    e = np.exp(np.array([-40.0, -41.0]))
    assert found.log_p[0] == pytest.approx(-e.sum(), rel=1e-15)
    assert found.miss[0] == pytest.approx(e.sum(), rel=1e-15)
    assert found.miss[1] == pytest.approx(np.exp(-700.0) + np.exp(-701.0), rel=1e-15)
    assert found.log_p[2] == pytest.approx(-41 - np.log1p(np.exp(-1.0)), rel=1e-15)


@pytest.mark.parametrize(("rows", "classes"), [(5_000, 10), (500, 65), (70, 1_500)])
@pytest.mark.parametrize("dtype", [np.float32, np.float64])
@pytest.mark.parametrize("scores", ["logits", "probabilities"])
def test_a_row_has_the_bits_it_has_alone(rows: int, classes: int, dtype: Any, scores: Any) -> None:
    z, labels = outputs(rows, classes).values()
    z = (np.exp(z - 6) if scores == "probabilities" else z).astype(dtype)
    whole = measure(chunk_of(Setup(), z, labels, first_row=0), scores)
    for cut in (slice(0, 1), slice(3, 20), slice(17, 81), slice(1, rows)):
        part = measure(chunk_of(Setup(), z[cut], labels[cut], first_row=0), scores)
        for name in COLUMNS:
            assert getattr(part, name).tobytes() == getattr(whole, name)[cut].tobytes(), name


@pytest.mark.parametrize("classes", [2, 5, 70])
def test_rows_that_cannot_be_used_are_told_apart(classes: int) -> None:
    z = np.zeros((9, classes))
    labels = np.zeros(9, np.int64)
    z[1, 0], z[2, 1], z[3, 1] = np.nan, np.inf, -np.inf
    z[4] = -np.inf
    labels[5], labels[6], labels[7] = classes, -1, -(2**62)
    z[8, 0] = -np.inf
    found = rows_of(z, labels)
    assert found.rejected.ids.tolist() == [1, 2, 4, 5, 6, 7]
    assert found.rejected.faults.tolist() == [1, 1, 2, 3, 3, 3]
    assert found.ids.tolist() == [0, 3, 8]
    assert found.loss[2] == np.inf
    assert found.miss[2] == 1.0
    assert found.log_p[1] == pytest.approx(-np.log(classes - 1), rel=1e-14)


def test_ties_go_to_the_lowest_class() -> None:
    found = rows_of(np.zeros((4, 4)), np.arange(4))
    assert found.predicted.tolist() == [0, 0, 0, 0]
    assert found.rank.tolist() == [0, 1, 2, 3]
    assert found.margin.tolist() == [0, 0, 0, 0]


@compiled("void(float64[::1], float64[::1])")
def exp_of_all(x: Any, found: Any) -> None:
    for i in range(x.size):
        found[i] = exp_of_negative(x[i])


@compiled("void(float64[::1], float64[::1])")
def log_of_all(x: Any, found: Any) -> None:
    for i in range(x.size):
        found[i] = log(x[i])


@compiled("void(float64[::1], float64[::1])")
def log_1p_of_all(x: Any, found: Any) -> None:
    for i in range(x.size):
        found[i] = log_1p(x[i])


def units_off(run: Any, truth: Any, x: NDArray[np.float64]) -> float:
    """The largest error, in units in the last place."""
    found = np.empty_like(x)
    run(x, found)
    with mpmath.workprec(130):
        off = [
            abs(b - truth(mpmath.mpf(a))) for a, b in zip(x.tolist(), found.tolist(), strict=True)
        ]
    return float((np.array(off, float) / np.spacing(np.abs(found))).max())


def test_exponentials_and_logarithms_are_as_near_as_they_say() -> None:
    random = np.random.default_rng(0)
    some = np.concatenate([random.random(1_000), random.random(100) / 1e9, [0.0]])
    assert units_off(exp_of_all, mpmath.exp, -np.concatenate([some, 708 * some])) < 1
    near_one = np.concatenate([1 - some[1:-1] / 1e3, 1 + some / 1e3])
    wide = np.exp(700 * (2 * some - 1))
    ends = [SMALLEST_NORMAL, 1e308, 0.5**0.5, 2**0.5, np.nextafter(0.5**0.5, 0)]
    assert units_off(log_of_all, mpmath.log, np.concatenate([near_one, wide, ends])) < 2
    assert units_off(log_1p_of_all, mpmath.log1p, np.concatenate([some, 1e6 * some, wide])) < 3


def test_exponentials_end_in_nothing() -> None:
    x = np.array([0.0, -0.0, LOWEST, np.nextafter(LOWEST, -np.inf), -1e300, -np.inf])
    found = np.empty_like(x)
    exp_of_all(x, found)
    assert found.tolist() == [1.0, 1.0, pytest.approx(np.exp(LOWEST), rel=1e-15), 0.0, 0.0, 0.0]


@pytest.mark.parametrize("dtype", [np.float32, np.float64])
@pytest.mark.parametrize(("rows", "classes"), SHAPES)
def test_probabilities_are_taken_as_they_are(rows: int, classes: int, dtype: Any) -> None:
    z, labels = outputs(rows, classes).values()
    p = np.exp(z.astype(np.float64))
    p = (p / p.sum(1, keepdims=True)).astype(dtype)
    p[0, :2] = [0, 1e-310]
    found = measure(
        chunk_of(Setup(scores="probabilities"), p, labels, first_row=0), "probabilities"
    )
    wide, here, one = p.astype(np.float64), np.arange(rows), np.eye(classes, dtype=bool)[labels]
    own = wide[here, labels]
    with np.errstate(divide="ignore", invalid="ignore"):
        logs = np.log(wide)
        expected = {
            "log_p": logs[here, labels],
            "miss": 1 - own,
            "confidence": wide.max(1),
            "margin": own - np.where(one, -np.inf, wide).max(1),
            "entropy": -np.where(wide > 0, wide * logs, 0).sum(1),
            "residual": ((wide - one) ** 2).sum(1),
            "total": wide.sum(1),
            "smallest": wide.min(1),
        }
    near = {"rtol": classes * 1e-15, "atol": 1e-300}
    for name, values in expected.items():
        np.testing.assert_allclose(getattr(found, name), values, **near, err_msg=name)
    assert (found.predicted == wide.argmax(1)).all()


def test_probabilities_that_cannot_be_used_are_told_apart() -> None:
    p = np.full((6, 3), 1 / 3)
    p[1, 0], p[2, 1], p[3, 1] = np.nan, np.inf, -np.inf
    labels = np.array([0, 0, 0, 0, 3, 2])
    found = measure(chunk_of(Setup(), p, labels, first_row=0), "probabilities")
    assert found.rejected.ids.tolist() == [1, 2, 3, 4]
    assert found.rejected.faults.tolist() == [1, 1, 1, 3]
