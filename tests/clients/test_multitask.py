"""Multi-task balancing from the SDK."""

import asyncio
from typing import Any

import httpx
import numpy as np
import pytest

from lossd_client import AsyncClient, BadRequest, Client, Comparison

ROWS = np.array([[1.0, 0.5, -0.5], [-0.5, 1.0, 2.0], [0.3, -2.0, 0.1]])
LOSSES = np.array([0.9, 2.5, 1.1])


@pytest.fixture(params=["blocking", "asynchronous"])
def ask(request: pytest.FixtureRequest, url: str) -> Any:
    """Calls a method of either client."""

    async def wait(method: str, *args: Any, **named: Any) -> Any:
        async with AsyncClient(url) as client:
            return await getattr(client, method)(*args, **named)

    def block(method: str, *args: Any, **named: Any) -> Any:
        if request.param == "asynchronous":
            return asyncio.run(wait(method, *args, **named))
        with Client(url) as client:
            return getattr(client, method)(*args, **named)

    return block


def test_a_gramian_gives_weights_and_gradients_a_direction(ask: Any) -> None:
    by_gramian = ask("multitask", "pcgrad", gramian=ROWS @ ROWS.T, losses=LOSSES, seed=3)
    by_rows = ask("multitask", "pcgrad", gradients=ROWS, losses=LOSSES, seed=3)
    np.testing.assert_allclose(by_gramian.weights, by_rows.weights, rtol=1e-12)
    assert by_gramian.gradient is None
    np.testing.assert_allclose(by_rows.gradient, by_rows.weights @ ROWS, rtol=1e-12)
    assert by_rows.value == pytest.approx(by_rows.weights @ LOSSES)
    assert len(by_rows.certificate.cosines) == 3
    assert by_rows.certificate.conflicts[0][2] < 0


def test_groups_come_back_as_groups(ask: Any) -> None:
    groups = {"encoder": ROWS[:, :2], "head": ROWS[:, 2:]}
    found = ask("multitask", "mgda", gradients=groups)
    whole = ask("multitask", "mgda", gradients=ROWS)
    joined = np.concatenate([found.gradient["encoder"], found.gradient["head"]])
    np.testing.assert_allclose(joined, whole.gradient, rtol=1e-9)


def test_a_state_goes_from_call_to_call(ask: Any) -> None:
    first = ask("multitask", "gradvac", gramian=ROWS @ ROWS.T, seed=0)
    second = ask("multitask", "gradvac", gramian=ROWS @ ROWS.T, seed=1, state=first.state)
    again = ask("multitask", "gradvac", gramian=ROWS @ ROWS.T, seed=1, state=first.state)
    assert second.state == again.state != first.state
    assert np.array_equal(second.weights, again.weights)


def test_all_that_apply_are_compared(ask: Any, http: httpx.Client) -> None:
    found: Comparison = ask("compare_multitask", gramian=ROWS @ ROWS.T, losses=LOSSES, seed=0)
    listed = {each["name"] for each in http.get("/v1/multitask").json()["methods"]}
    assert found.methods.keys() | found.problems.keys() == listed
    alone = ask("multitask", "upgrad", gramian=ROWS @ ROWS.T, losses=LOSSES)
    np.testing.assert_allclose(found.methods["upgrad"].weights, alone.weights)
    assert found.methods["upgrad"].certificate.smallest_inner_product >= -1e-9
    assert all(each.code for each in found.problems.values()) and found.problems


def test_what_is_no_gramian_is_refused(ask: Any) -> None:
    with pytest.raises(BadRequest, match="negative eigenvalue"):
        ask("multitask", "mgda", gramian=np.array([[1.0, 2.0], [2.0, 1.0]]))
