"""A weight that follows values: its formula, its edges, and that it is listed as what it is."""

import httpx
import pytest
from hypothesis import given
from hypothesis import strategies as st

from lossd.objectives.controllers import CONTROLLERS, LossRatio, LossRatioState

RATIO = CONTROLLERS["loss_ratio"]
NEW = LossRatioState(term=None, other=None)
values = st.none() | st.floats(-1e30, 1e30)


def test_it_is_a_ratio_of_moving_averages() -> None:
    at = LossRatio(ratio=0.5, momentum=0.75, low=0.0, high=1e4)
    weight, state = RATIO.step(at, NEW, 2.0, 8.0)
    assert weight == 0.5 * 8.0 / 2.0 and (state.term, state.other) == (2.0, 8.0)
    weight, state = RATIO.step(at, state, -4.0, 4.0)
    assert (state.term, state.other) == (0.75 * 2 + 0.25 * 4, 0.75 * 8 + 0.25 * 4)
    assert weight == pytest.approx(0.5 * 7.0 / 2.5)


def test_the_weighted_value_comes_to_the_ratio_where_values_stay() -> None:
    at, state = LossRatio(ratio=0.1), LossRatioState(term=50.0, other=1e-3)
    for _ in range(400):
        weight, state = RATIO.step(at, state, 3.0, 7.0)
    assert weight * 3.0 == pytest.approx(0.1 * 7.0)


@pytest.mark.parametrize(
    ("value", "other", "want"),
    [(0.0, 1.0, 5.0), (0.0, 0.0, 0.25), (1.0, 0.0, 0.25), (None, 1.0, 0.25), (1.0, None, 0.25),
     (1e-300, 1e300, 5.0), (float("nan"), 1.0, 0.25), (float("inf"), 1.0, 0.25)],
)  # fmt: skip
def test_what_cannot_be_divided_is_at_a_bound(
    value: float | None, other: float | None, want: float
) -> None:
    assert RATIO.step(LossRatio(ratio=1.0, low=0.25, high=5.0), NEW, value, other)[0] == want


@pytest.mark.parametrize("bad", [None, float("nan"), float("inf"), float("-inf")])
def test_a_value_that_is_not_finite_leaves_the_averages_alone(bad: float | None) -> None:
    before = LossRatioState(term=2.0, other=3.0)
    weight, state = RATIO.step(LossRatio(ratio=1.0), before, bad, bad)
    assert state == before and weight == 1.5


@given(st.lists(st.tuples(values, values), max_size=5))
def test_it_stays_within_its_bounds_and_its_state_is_one(pairs: list[tuple[float, float]]) -> None:
    at, state = LossRatio(ratio=2.0, low=0.5, high=3.0), NEW
    for value, other in pairs:
        before = state
        weight, state = RATIO.step(at, state, value, other)
        assert 0.5 <= weight <= 3.0
        assert RATIO.step(at, before, value, other) == (weight, state)
        assert LossRatioState.model_validate(state.model_dump(mode="json")) == state


def test_it_is_listed_as_no_function_of_the_step(http: httpx.Client) -> None:
    listed = http.get("/v1/schedules").json()
    (controller,) = listed["controllers"]
    assert controller["name"] == "loss_ratio" and "step" in controller["summary"]
    assert "loss_ratio" not in {each["name"] for each in listed["schedules"]}
    reply = http.post("/v1/schedules/loss_ratio", json={"params": {}, "steps": [0]})
    assert reply.status_code == 404
