"""Batches and sweeps from the SDK."""

import asyncio
from typing import Any

import numpy as np
import pytest
import torch

import lossd_client
from lossd_client import AsyncClient, Batch, Call, Client, UnknownLoss

LOGITS = np.array([[2.0, 0.5, -1.0], [0.1, 1.2, 0.3]], np.float32)
LABELS = np.array([0, 2])
INPUTS = {"logits": LOGITS, "labels": LABELS}


@pytest.fixture(params=["blocking", "asynchronous"])
def ask(request: pytest.FixtureRequest, url: str) -> Any:
    """Calls a method of either client."""

    async def wait(method: str, *args: Any) -> Any:
        async with AsyncClient(url) as client:
            return await getattr(client, method)(*args)

    def block(method: str, *args: Any) -> Any:
        if request.param == "asynchronous":
            return asyncio.run(wait(method, *args))
        with Client(url) as client:
            return getattr(client, method)(*args)

    return block


def alone(url: str, loss: str, **options: Any) -> lossd_client.Result:
    with Client(url) as client:
        return client.compute(loss, inputs=INPUTS, **options)


def test_a_batch_answers_each_call_as_alone(ask: Any, url: str) -> None:
    options: dict[str, Any] = {"outputs": ["value", "rows", "gradients"], "reduction": "sum"}
    calls = [Call("focal", INPUTS, "f", params={"gamma": 1.0}, **options), Call("brier", INPUTS)]
    found: Batch = ask("batch", calls)
    assert list(found) == ["f", "1"] and len(found) == 2 and not found.problems
    want = alone(url, "focal", params={"gamma": 1.0}, **options)
    assert found["f"].value == want.value and found["f"].params == want.params
    assert np.array_equal(found["f"].rows, want.rows)
    assert np.array_equal(found["f"].gradients["logits"], want.gradients["logits"])
    assert found["1"].value == alone(url, "brier").value


def test_tensors_may_be_named(ask: Any, url: str) -> None:
    tensors = {"z": torch.from_numpy(LOGITS), "y": LABELS, "w": {"a": [1.0], "b": [2.0, 3.0]}}
    calls = [
        Call("cross_entropy", {"logits": "z", "labels": "y"}, "ce", row_weights=[1.0, 2.0]),
        Call("l2_penalty", {"weights": "w"}, "whole"),
        Call("l2_penalty", {"weights": {"mine": [4.0], "theirs": "y"}}, "mixed"),
    ]
    found = ask("batch", calls, tensors)
    assert found["ce"].value == alone(url, "cross_entropy", row_weights=[1.0, 2.0]).value
    assert found["whole"].value == 14 and found["mixed"].value == 20
    assert found["mixed"].gradients["weights"]["mine"] == [8.0]


def test_an_array_of_several_calls_is_sent_once() -> None:
    from lossd_client.batch import ask as asked

    once = asked([Call("focal", INPUTS)], None).request.headers["content-length"]
    often = asked([Call("focal", INPUTS)] * 50, None).request.headers["content-length"]
    assert int(often) - int(once) < 49 * (100 + LOGITS.nbytes)
    assert (
        sum(
            LOGITS.nbytes == len(x)
            for x in asked([Call("focal", INPUTS)] * 9, None).request.content or []
        )
        == 1
    )


def test_a_call_that_fails_raises_when_it_is_read(ask: Any, url: str) -> None:
    found = ask("batch", [Call("focl", INPUTS, "bad"), Call("focal", INPUTS, "good")])
    assert found["good"].value == alone(url, "focal").value
    assert found.problems.keys() == {"bad"} and list(found) == ["bad", "good"]
    with pytest.raises(UnknownLoss, match=r"calls\[0\]\.loss"):
        found["bad"]
    with pytest.raises(KeyError):
        found["none"]


def test_a_sweep_answers_each_point(ask: Any, url: str) -> None:
    points = [{"gamma": gamma} for gamma in (0.0, 1.0, 2.0)]
    found = ask("sweep", Call("focal", INPUTS, params={"ignore_index": 2}), points)
    for point, got in zip(points, found, strict=True):
        want = alone(url, "focal", params={"ignore_index": 2, **point})
        assert got.value == want.value and got.params == want.params
        assert np.array_equal(got.gradients["logits"], want.gradients["logits"])
    with pytest.raises(lossd_client.BadParams, match=r"sweep\[1\]\.gamma"):
        ask("sweep", Call("focal", INPUTS), [{}, {"gamma": -1.0}])


def test_recipes_are_rebuilt_in_batches(ask: Any, url: str) -> None:
    tensors = {"z": LOGITS, "y": LABELS}
    inputs = {"logits": "z", "labels": "y"}
    found = ask("batch", [Call("cross_entropy", inputs, "r", gradient_form="recipe")], tensors)
    want = alone(url, "cross_entropy").gradients["logits"]
    np.testing.assert_allclose(found["r"].gradients["logits"], want, rtol=1e-6, atol=1e-7)


def test_the_batch_as_a_whole_may_be_refused(ask: Any) -> None:
    with pytest.raises(lossd_client.BadOption, match="two calls of one name"):
        ask("batch", [Call("focal", INPUTS, "a"), Call("focal", INPUTS, "a")])
    with pytest.raises(TypeError, match="numbers"):
        ask("batch", [Call("focal", {"logits": [["a"]], "labels": LABELS})])
