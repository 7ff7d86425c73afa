"""Multi-task balancing from the SDK."""

import asyncio
from typing import Any

import httpx
import numpy as np
import pytest
import torch

from lossd_client import AsyncClient, BadRequest, Client, Comparison, LossdError, Term
from lossd_client._calls import Answer
from lossd_client._wire import encode, pack_all
from lossd_client.multitask import read

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


def test_a_comparison_has_the_weights_of_groups(ask: Any) -> None:
    groups = {"encoder": ROWS[:, :2], "head": ROWS[:, 2:]}
    params = {"per_group": True}
    alone = ask("multitask", "gradvac", gradients=groups, params=params)
    found = ask("compare_multitask", gradients=groups, params={"gradvac": params})
    compared = found.methods["gradvac"]
    assert compared.weights is None and compared.group_weights.keys() == groups.keys()
    for name, weights in alone.group_weights.items():
        np.testing.assert_array_equal(compared.group_weights[name], weights)


ORDER = [2, 0, 1]
ORDERS = [[0, 1, 2], [2, 1, 0], [1, 2, 0]]


@pytest.mark.parametrize("order", [ORDER, ORDERS], ids=["for_all", "for_each"])
def test_a_permutation_may_be_nested_and_an_array(ask: Any, order: Any) -> None:
    first = ask("multitask", "pcgrad", gradients=ROWS, permutation=order)
    for same in (tuple(order), np.array(order), torch.tensor(order), list(map(np.array, order))):
        again = ask("multitask", "pcgrad", gradients=ROWS, permutation=same)
        np.testing.assert_array_equal(first.weights, again.weights)


def test_a_permutation_of_other_than_integers_is_refused(ask: Any) -> None:
    with pytest.raises(BadRequest) as caught:
        ask("multitask", "pcgrad", gradients=ROWS[:2], permutation=[0.9, 1.2])
    assert caught.value.at == "permutation"


def test_options_may_be_numbers_and_arrays_of_numpy(ask: Any) -> None:
    plain = ask("multitask", "rlw", losses=LOSSES, seed=3)
    same = ask("multitask", "rlw", losses=LOSSES, seed=np.int64(3))
    np.testing.assert_array_equal(plain.weights, same.weights)
    weights = np.array([0.5, 2.0, 1.0])
    fixed = ask("multitask", "fixed", losses=LOSSES, params={"weights": weights})
    np.testing.assert_array_equal(fixed.weights, weights)
    term = Term("mse", {"prediction": "x", "target": "y"}, weight=np.float32(0.5))
    objective = ask("objective", [term], {"x": LOSSES, "y": LOSSES + 2.0}, step=np.int64(7))
    assert objective.value == pytest.approx(2.0) and objective.step == 7


@pytest.mark.parametrize("names", [["a", "a/b"], ["a/b", "a"]], ids=" then ".join)
def test_a_name_that_is_a_tensor_and_a_group_is_unreadable(names: list[str]) -> None:
    tensors = {f"gradient.{name}": np.ones(2) for name in names}
    said = {"method": "equal", "certificate": {}, "params": {}, "warnings": []}
    body = bytearray(b"".join(encode(pack_all(tensors), said)))
    with pytest.raises(LossdError, match="both a tensor and a group"):
        read(Answer(200, httpx.Headers(), memoryview(body)))
