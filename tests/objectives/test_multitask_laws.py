"""What holds of every method, on random, conflicting, dependent and degenerate gradients."""

import json
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from lossd.errors import LossdError, MissingInput
from lossd.objectives.multitask import METHODS, Balanced, Tasks, balance, compare, find

every_method = pytest.mark.parametrize("method", METHODS)
# No order of the tasks, no seed, no parameter per task: a permutation of them permutes the weights.
SYMMETRIC = [
    "aligned_mtl", "cagrad", "config", "dwa", "equal", "fairgrad", "famo", "gls", "gradnorm",
    "imtl_g", "imtl_l", "mgda", "nash_mtl", "stch", "uncertainty_weighting", "upgrad", "dualproj",
]  # fmt: skip
SOLVED = [
    "aligned_mtl", "cagrad", "dualproj", "fairgrad", "mgda", "nash_mtl", "pcgrad", "gradvac",
    "upgrad",
]  # fmt: skip
KINDS = ["random", "conflicting", "dependent", "duplicated", "zero", "opposed", "scaled"]


def rows_of(kind: str, seed: int, count: int) -> Any:
    """Gradients (K, P) of some kind."""
    generator = np.random.default_rng(seed)
    rows = generator.standard_normal((count, count + 3))
    if kind == "conflicting":
        rows -= 0.9 * rows.mean(axis=0)
    elif kind == "dependent":
        rows = generator.standard_normal((count, max(1, count // 2))) @ rows[: max(1, count // 2)]
    elif kind == "duplicated":
        rows[-1] = rows[0]
    elif kind == "zero":
        rows[0] = 0.0
    elif kind == "opposed":
        rows[-1] = -2.0 * rows[0]
    elif kind == "scaled":
        rows *= 10.0 ** generator.uniform(-2, 2, (count, 1))
    return rows


def losses_of(seed: int, count: int) -> Any:
    return np.random.default_rng(1000 + seed).uniform(0.1, 4.0, count)


def asked(method: str, tasks: Tasks, **options: Any) -> Balanced:
    params = {"weights": [1.0] * tasks.count} if method == "fixed" else {}
    return balance(method, tasks, params | options.pop("params", {}), **{"seed": 5, **options})


some_tasks = given(
    kind=st.sampled_from(KINDS), seed=st.integers(0, 10_000), count=st.integers(1, 9)
)
few = settings(max_examples=25, deadline=None)


@every_method
@few
@some_tasks
def test_it_is_defined_finite_and_the_same_again(
    method: str, kind: str, seed: int, count: int
) -> None:
    rows, losses = rows_of(kind, seed, count), losses_of(seed, count)
    tasks = Tasks(losses=losses, gradients=rows)
    first = asked(method, tasks)
    again = asked(method, tasks)
    assert first.direction is not None and np.isfinite(first.direction).all()
    np.testing.assert_array_equal(first.direction, again.direction)
    assert json.dumps(first.certificate.as_json(), allow_nan=False) == json.dumps(
        again.certificate.as_json()
    )
    if first.weights is not None:
        assert np.isfinite(first.weights).all() and first.weights.shape == (count,)
        np.testing.assert_array_equal(first.direction, first.weights @ rows)
    state = json.dumps(first.state, allow_nan=False)
    assert json.loads(state) == again.state
    if first.state is not None:
        after = asked(method, tasks, state=json.loads(state))
        assert after.state is not None and after.state["step"] == 2
        retried = asked(method, tasks, state=json.loads(state))
        assert retried.state == after.state
        np.testing.assert_array_equal(retried.direction, after.direction)


@pytest.mark.parametrize("method", SOLVED)
@few
@some_tasks
def test_its_equation_is_solved_wherever_it_has_a_solution(
    method: str, kind: str, seed: int, count: int
) -> None:
    answer = asked(method, Tasks(gradients=rows_of(kind, seed, count)))
    codes = {each.code for each in answer.warnings}
    if not codes & {"pareto_stationary", "inexact"}:
        assert answer.certificate.residual is not None and answer.certificate.residual <= 1e-8


@pytest.mark.parametrize("method", SYMMETRIC)
@few
@some_tasks
def test_permuted_tasks_have_permuted_weights(
    method: str, kind: str, seed: int, count: int
) -> None:
    rows, losses = rows_of(kind, seed, count), losses_of(seed, count)
    order = np.random.default_rng(seed).permutation(count)
    one = asked(method, Tasks(losses=losses, gradients=rows))
    other = asked(method, Tasks(losses=losses[order], gradients=rows[order]))
    size = np.abs(rows).max()
    tolerance = 1e-6 * size * max(1.0, float(np.abs(one.weights).max()))
    np.testing.assert_allclose(one.direction, other.direction, rtol=1e-5, atol=tolerance)
    if kind in ("random", "conflicting", "scaled"):
        np.testing.assert_allclose(
            one.weights[order], other.weights, rtol=1e-5, atol=1e-7 * np.abs(one.weights).max()
        )


# Of gradients multiplied by t the weights are multiplied by t to this power.
HOMOGENEOUS = {
    "mgda": 0.0, "imtl_g": 0.0, "config": 0.0, "aligned_mtl": 0.0, "cagrad": 0.0, "upgrad": 0.0,
    "dualproj": 0.0, "pcgrad": 0.0, "gradvac": 0.0, "nash_mtl": -1.0, "fairgrad": -1.0,
}  # fmt: skip


@pytest.mark.parametrize("method", HOMOGENEOUS)
@few
@given(seed=st.integers(0, 10_000), count=st.integers(1, 6), power=st.integers(-20, 20))
def test_the_unit_of_all_gradients_does_what_the_formula_says(
    method: str, seed: int, count: int, power: int
) -> None:
    rows, scale = rows_of("random", seed, count), 2.0**power
    one, other = (asked(method, Tasks(gradients=x)).weights for x in (rows, scale * rows))
    want = one * scale ** HOMOGENEOUS[method]
    np.testing.assert_allclose(other, want, rtol=1e-7, atol=1e-9 * np.abs(want).max())


@few
@given(seed=st.integers(0, 10_000), count=st.integers(1, 6))
def test_nash_ignores_each_tasks_own_unit(seed: int, count: int) -> None:
    rows = rows_of("random", seed, count)
    units = 10.0 ** np.random.default_rng(seed).uniform(-2, 2, count)
    one, other = (asked("nash_mtl", Tasks(gradients=x)) for x in (rows, units[:, None] * rows))
    np.testing.assert_allclose(other.weights * units, one.weights, rtol=1e-7)


@few
@given(seed=st.integers(0, 10_000), count=st.integers(1, 6))
def test_fairness_of_one_is_nash(seed: int, count: int) -> None:
    tasks = Tasks(gradients=rows_of("random", seed, count))
    np.testing.assert_array_equal(
        asked("fairgrad", tasks, params={"alpha": 1.0}).weights, asked("nash_mtl", tasks).weights
    )


@few
@given(seed=st.integers(0, 10_000), count=st.integers(1, 6))
def test_imtl_l_is_twice_uncertainty_weighting_of_the_opposite(seed: int, count: int) -> None:
    tasks = Tasks(losses=losses_of(seed, count))
    s = np.random.default_rng(seed).standard_normal(count)
    one = balance("imtl_l", tasks, {"log_scales": s.tolist()})
    other = balance("uncertainty_weighting", tasks, {"log_variances": (-s).tolist()})
    np.testing.assert_allclose(one.weights, 2.0 * other.weights, rtol=1e-12)
    assert one.value == pytest.approx(2.0 * other.value, rel=1e-12)


@pytest.mark.parametrize("method", ["upgrad", "dualproj", "mgda", "nash_mtl"])
@few
@some_tasks
def test_no_task_gets_worse_by_what_promises_so(
    method: str, kind: str, seed: int, count: int
) -> None:
    rows = rows_of(kind, seed, count)
    answer = asked(method, Tasks(gradients=rows))
    lengths = np.linalg.norm(rows, axis=1)
    size = float(np.abs(answer.weights) @ lengths) * lengths.max() or 1.0
    assert answer.certificate.smallest_inner_product is not None
    assert answer.certificate.smallest_inner_product >= -1e-9 * size


@few
@some_tasks
def test_the_certificate_is_what_the_gradients_say(kind: str, seed: int, count: int) -> None:
    rows = rows_of(kind, seed, count)
    answer = asked("pcgrad", Tasks(gradients=rows))
    certificate, direction = answer.certificate, answer.direction
    inner, lengths = rows @ direction, np.linalg.norm(rows, axis=1)
    scale = float(np.abs(answer.weights) @ lengths) * lengths.max()
    np.testing.assert_allclose(
        certificate.smallest_inner_product, inner.min(), atol=1e-12 * scale + 1e-15
    )
    size = lengths * np.linalg.norm(direction)
    if (size > 1e-6 * scale).all():
        np.testing.assert_allclose(certificate.cosines, inner / size, atol=1e-6)
        conflicts = rows @ rows.T / np.outer(lengths, lengths)
        np.testing.assert_allclose(certificate.conflicts, conflicts, atol=1e-12)
    hull = asked("mgda", Tasks(gradients=rows)).direction
    assert certificate.stationarity == pytest.approx(float(hull @ hull), rel=1e-6, abs=1e-12)


def test_what_uses_one_seed_or_order_gives_one_answer_and_another_seed_another() -> None:
    rows, losses = rows_of("conflicting", 0, 6), losses_of(0, 6)
    tasks = Tasks(losses=losses, gradients=rows)
    for method, spec in METHODS.items():
        if spec.randomness == "none":
            continue
        found = {tuple(asked(method, tasks, seed=seed).direction) for seed in range(8)}
        assert len(found) > 1, method
        assert spec.randomness == "seed or permutation" or needs_a_seed(method, tasks)
    orders = [np.random.default_rng(5).permutation(6).tolist()]
    one = balance("pcgrad", tasks, permutation=orders[0])
    other = balance("pcgrad", tasks, permutation=orders * 6)
    np.testing.assert_array_equal(one.weights, other.weights)


def needs_a_seed(method: str, tasks: Tasks) -> bool:
    with pytest.raises(MissingInput) as caught:
        balance(method, tasks)
    return caught.value.at == "seed"


@every_method
def test_one_task_alone_is_followed(method: str) -> None:
    rows = np.array([[3.0, -4.0]])
    answer = asked(method, Tasks(losses=np.array([2.0]), gradients=rows))
    if method == "graddrop":
        assert ((answer.direction == 0) | (answer.direction == rows[0])).all()
        return
    assert answer.weights is not None and answer.weights[0] > 0
    assert answer.certificate.cosines == pytest.approx([1.0])


@every_method
def test_where_all_gradients_are_zero_there_is_an_answer(method: str) -> None:
    answer = asked(method, Tasks(losses=np.ones(3), gradients=np.zeros((3, 4))))
    np.testing.assert_array_equal(answer.direction, np.zeros(4))
    assert answer.certificate.stationarity == 0.0


WITH_ONE_ZERO = [
    [[-0.001, 0.001], [0, 0], [1, 1]],
    [[0, 0.2, -1.7], [0.8, -0.6, -1.2], [0.6, 1.3, 0.5], [0, 0, 0]],
    [[1e-5, -2.0], [0, 0], [-3.0, 1e-4], [2.0, 2.5]],
]


@every_method
@pytest.mark.parametrize("rows", WITH_ONE_ZERO, ids=["two", "three", "four"])
def test_a_task_without_a_gradient_has_no_boundless_weight(method: str, rows: Any) -> None:
    known = np.array(rows, np.float64)
    answer = asked(method, Tasks(losses=np.ones(len(known)), gradients=known))
    if answer.weights is not None:
        sizes, held = np.abs(answer.weights), known.any(axis=1)
        assert sizes[~held].max() <= 1e6 * max(1.0, float(sizes[held].max()))
    if method in SOLVED and "pareto_stationary" not in {each.code for each in answer.warnings}:
        assert answer.certificate.residual is not None and answer.certificate.residual <= 1e-8


def test_gradients_that_cancel_to_rounding_leave_cagrad_in_its_ball() -> None:
    rows = np.array([[-1e-15], [1.0]])
    answer = asked("cagrad", Tasks(gradients=rows))
    assert np.abs(answer.weights).max() <= 1e14
    assert abs(float(answer.direction[0]) - 0.5) <= 0.5 * 0.5 * (1 + 1e-9)


@pytest.mark.parametrize("method", ["nash_mtl", "fairgrad"])
def test_where_no_bargain_exists_the_answer_is_a_stationary_point_and_says_so(method: str) -> None:
    rows = np.array([[1.0, 0.0], [-2.0, 0.0], [0.0, 1.0]])
    answer = balance(method, Tasks(gradients=rows))
    assert [each.code for each in answer.warnings] == ["pareto_stationary"]
    np.testing.assert_allclose(answer.direction, 0.0, atol=1e-12)
    left_out = balance(method, Tasks(gradients=np.vstack([rows[::2], np.zeros(2)])))
    assert [each.code for each in left_out.warnings] == ["zero_gradient"]
    assert left_out.weights[2] == 0.0 and left_out.certificate.residual <= 1e-12


def test_a_gramian_rounded_to_float32_is_taken_and_a_wrong_one_is_not() -> None:
    rows = rows_of("dependent", 3, 8).astype(np.float32)
    rounded = Tasks(gramian=(rows @ rows.T).astype(np.float64))
    assert np.linalg.eigvalsh(rounded.gramian)[0] < 0
    for answer in compare(rounded, seed=0).values():
        assert isinstance(answer, Balanced) or answer.code in ("missing_input", "bad_params")
    with pytest.raises(LossdError) as caught:
        balance("mgda", Tasks(gramian=np.diag([1.0, -0.1])))
    assert caught.value.got == "-0.1"


@every_method
def test_what_a_method_says_of_itself_is_whole(method: str) -> None:
    spec = find(method)
    assert spec.summary.endswith(".") and spec.source and spec.formula and spec.equation
    assert all(each.description for each in spec.params.model_fields.values())
