"""Schedules: held to torch's own where it has them, and what every schedule keeps to."""

import math
from typing import Any

import httpx
import pytest
import torch
from torch.optim import lr_scheduler as theirs

from lossd.errors import BadOption, BadParams, UnknownRoute
from lossd.objectives import SCHEDULES, curve
from lossd.objectives.schedules import LAST_STEP, MOST_STEPS

BETWEEN = {"start": 0.5, "end": 2.0, "steps": 40}
EXAMPLES: dict[str, dict[str, Any]] = {
    "constant": {"value": 0.25},
    "linear": BETWEEN,
    "cosine": BETWEEN,
    "cosine_restarts": {"start": 1.0, "end": 0.1, "steps": 10, "factor": 2},
    "exponential": {"start": 2.0, "rate": 0.9},
    "step": {"start": 2.0, "rate": 0.5, "steps": 7},
    "polynomial": {**BETWEEN, "power": 3.0},
    "sigmoid_ramp_up": {"end": 3.0, "steps": 40},
    "cyclic": {"low": 0.1, "high": 1.1, "up": 6, "down": 4},
    "piecewise": {"boundaries": [10, 30], "values": [1.0, 0.1, 0.01]},
    "warm_up_cosine": {**BETWEEN, "peak": 4.0, "warm_up": 10},
}
every_schedule = pytest.mark.parametrize("name", SCHEDULES)
STEPS = list(range(60))


def values(name: str, **params: Any) -> list[float]:
    found: list[float] = curve(name, params, STEPS)["values"]
    return found


def by_torch(make: Any, start: float) -> list[float]:
    optimizer = torch.optim.SGD([torch.zeros(1, requires_grad=True)], lr=start)
    schedule = make(optimizer)
    found = []
    for _ in STEPS:
        found.append(optimizer.param_groups[0]["lr"])
        optimizer.step()
        schedule.step()
    return found


@pytest.mark.parametrize(
    ("name", "params", "make", "start"),
    [
        ("linear", {"start": 0.2, "end": 1.0, "steps": 40},
         lambda o: theirs.LinearLR(o, 0.2, 1.0, 40), 1.0),
        ("cosine_restarts", {"start": 1.0, "end": 0.1, "steps": 10, "factor": 2},
         lambda o: theirs.CosineAnnealingWarmRestarts(o, 10, 2, 0.1), 1.0),
        ("exponential", {"start": 2.0, "rate": 0.9},
         lambda o: theirs.ExponentialLR(o, 0.9), 2.0),
        ("step", {"start": 2.0, "rate": 0.5, "steps": 7},
         lambda o: theirs.StepLR(o, 7, 0.5), 2.0),
        ("polynomial", {"start": 2.0, "end": 0.0, "steps": 40, "power": 3.0},
         lambda o: theirs.PolynomialLR(o, 40, 3.0), 2.0),
        ("cyclic", {"low": 0.1, "high": 1.1, "up": 6, "down": 4},
         lambda o: theirs.CyclicLR(o, 0.1, 1.1, 6, 4, cycle_momentum=False), 0.1),
        ("piecewise", {"boundaries": [10, 30], "values": [1.0, 0.1, 0.01]},
         lambda o: theirs.MultiStepLR(o, [10, 30], 0.1), 1.0),
    ],
    ids=lambda x: x if isinstance(x, str) else "",
)  # fmt: skip
def test_torch_says_the_same(name: str, params: dict[str, Any], make: Any, start: float) -> None:
    assert values(name, **params) == pytest.approx(by_torch(make, start), rel=1e-9, abs=1e-12)


def test_a_cosine_is_that_of_torch_until_its_end() -> None:
    want = by_torch(lambda o: theirs.CosineAnnealingLR(o, 40, 0.5), 2.0)[:41]
    got = values("cosine", start=2.0, end=0.5, steps=40)
    assert got[:41] == pytest.approx(want, rel=1e-9) and set(got[40:]) == {0.5}


def test_warming_up_is_a_line_and_then_a_cosine() -> None:
    got = values("warm_up_cosine", **EXAMPLES["warm_up_cosine"])
    assert got[:10] == values("linear", start=0.5, end=4.0, steps=10)[:10]
    assert got[10:] == values("cosine", start=4.0, end=2.0, steps=30)[:50]


def test_a_ramp_is_what_its_paper_says() -> None:
    got = values("sigmoid_ramp_up", end=3.0, steps=40)
    assert got[0] == 3.0 * math.exp(-5.0) and got[20] == 3.0 * math.exp(-1.25)
    assert set(got[40:]) == {3.0}


@every_schedule
def test_it_is_a_pure_function_that_starts_and_ends_where_it_says(name: str) -> None:
    params = EXAMPLES[name]
    assert values(name, **params) == values(name, **params)
    far = curve(name, params, [0, LAST_STEP])
    assert all(math.isfinite(x) for x in far["values"])
    if "steps" in params and "end" in params and name != "cosine_restarts":
        assert far["values"][1] == params["end"]
    if "start" in params:
        assert far["values"][0] == params["start"]


@every_schedule
def test_it_is_served(http: httpx.Client, name: str) -> None:
    listed = {each["name"]: each for each in http.get("/v1/schedules").json()["schedules"]}
    assert listed.keys() == SCHEDULES.keys() and listed[name]["params"]["properties"]
    body = {"params": EXAMPLES[name], "steps": [0, 5, 50]}
    got = http.post(f"/v1/schedules/{name}", json=body)
    assert got.is_success and got.json()["steps"] == [0, 5, 50]
    assert got.json()["values"] == curve(name, EXAMPLES[name], [0, 5, 50])["values"]


def test_what_grows_beyond_all_numbers_is_infinite(http: httpx.Client) -> None:
    body = {"params": {"start": -1.0, "rate": 10.0}, "steps": [400]}
    assert http.post("/v1/schedules/exponential", json=body).json()["values"] == ["-Infinity"]


@pytest.mark.parametrize(
    ("name", "params", "steps", "error", "at"),
    [
        ("linar", BETWEEN, [0], UnknownRoute, "schedule"),
        ("linear", [], [0], BadParams, "params"),
        ("linear", {**BETWEEN, "steps": 0}, [0], BadParams, "params.steps"),
        ("linear", {**BETWEEN, "start": math.nan}, [0], BadParams, "params.start"),
        ("linear", {**BETWEEN, "more": 1}, [0], BadParams, "params.more"),
        ("piecewise", {"boundaries": [2, 1], "values": [1.0, 2.0, 3.0]}, [0], BadParams, "params"),
        ("piecewise", {"boundaries": [2], "values": [1.0]}, [0], BadParams, "params"),
        ("warm_up_cosine", {**BETWEEN, "peak": 1.0, "warm_up": 40}, [0], BadParams, "params"),
        ("linear", BETWEEN, None, BadOption, "steps"),
        ("linear", BETWEEN, [0] * (MOST_STEPS + 1), BadOption, "steps"),
        ("linear", BETWEEN, [0, -1], BadOption, "steps[1]"),
        ("linear", BETWEEN, [True], BadOption, "steps[0]"),
        ("linear", BETWEEN, [1.0], BadOption, "steps[0]"),
        ("linear", BETWEEN, [2**60], BadOption, "steps[0]"),
    ],
)
def test_what_is_wrong_is_named(
    name: str, params: Any, steps: Any, error: type[Exception], at: str
) -> None:
    with pytest.raises(error) as caught:
        curve(name, params, steps)
    assert caught.value.at == at  # type: ignore[attr-defined] # it is a LossdError


def test_the_longest_curve_is_answered_and_a_longer_body_is_not(http: httpx.Client) -> None:
    params = {"boundaries": list(range(1000)), "values": [0.5] * 1001}
    body = {"params": params, "steps": [500] * MOST_STEPS}
    assert http.post("/v1/schedules/piecewise", json=body).json()["values"] == [0.5] * MOST_STEPS
    long = http.post("/v1/schedules/linear", content=b" " * 4_000_001)
    assert long.status_code == 413 and long.json()["at"] == "body"


@pytest.mark.parametrize("body", [b"", b"{", b"[]", b'{"steps": [0], "other": 1}', b"\xff"])
def test_no_body_is_answered_with_a_bug(http: httpx.Client, body: bytes) -> None:
    got = http.post("/v1/schedules/linear", content=body)
    assert 400 <= got.status_code < 500 and got.json()["code"]
