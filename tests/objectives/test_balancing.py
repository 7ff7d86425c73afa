"""Balanced terms: what is balanced, in which order, and what the others keep."""

from typing import Any

import pytest
import torch

from lossd.errors import BadOption, LossdError, TooLarge
from lossd.objectives.compute import Computed
from objective_bodies import computed, objective_of

TENSORS: dict[str, Any] = {
    "v": [1.0, 2.0], "up": [3.0, 1.0], "down": [-1.0, 0.0], "none": [0, 0], "u": [0.5],
}  # fmt: skip
UP = {"name": "up", "loss": "mse", "inputs": {"prediction": "v", "target": "up"}}
DOWN = {"name": "down", "loss": "mse", "inputs": {"prediction": "v", "target": "down"}}
DECAY = {"name": "decay", "loss": "l2_penalty", "inputs": {"weights": "v"}}
EMPTY = DOWN | {"name": "empty", "rows": "none > 0"}
OFF = DOWN | {"name": "off", "weight": 0.0}
STATEFUL = ["dwa", "famo", "gradnorm", "gradvac"]


def of(*terms: Any, **balance: Any) -> Computed:
    body = {"tensors": TENSORS, "terms": terms, "wrt": ["v"], "dtype": "float64"}
    return computed(body | {"balance": balance})


@pytest.mark.parametrize("more", [{"method": "graddrop", "seed": 0},
                                  {"method": "gradvac", "params": {"per_group": True}}],
                         ids=["graddrop", "gradvac"])  # fmt: skip
def test_a_term_that_is_not_balanced_adds_its_gradient_to_the_direction(more: Any) -> None:
    without = of(UP, DOWN, **more)
    got = of(UP, DOWN, DECAY, terms=["up", "down"], **more)
    want = without.gradients["v"] + 2 * torch.tensor(TENSORS["v"], dtype=torch.float64)
    torch.testing.assert_close(got.gradients["v"], want)


@pytest.mark.parametrize("absent", [EMPTY, OFF], ids=["no rows", "weight 0"])
@pytest.mark.parametrize(
    ("method", "params"),
    [("mgda", {}), ("gls", {}), ("pcgrad", {}), ("fixed", {"weights": [3.0, 7.0, 2.0]}),
     ("graddrop", {"leak": [0.25, 0.5, 1.0]})],
)  # fmt: skip
def test_a_term_that_does_not_count_is_no_task(
    method: str, params: dict[str, list[float]], absent: Any
) -> None:
    present = {key: [x[0], x[2]] for key, x in params.items()}
    names = ["up", absent["name"], "down"]
    got = of(UP, absent, DOWN, method=method, params=params, seed=1, terms=names)
    want = of(UP, DOWN, method=method, params=present, seed=1, terms=["up", "down"])
    assert torch.equal(got.gradients["v"], want.gradients["v"]) and got.value == want.value
    assert got.balancing is not None and want.balancing is not None
    assert got.balancing.weights == want.balancing.weights


@pytest.mark.parametrize("order", [[2, 1, 0], [[2, 1, 0]] * 3])
def test_an_order_of_all_terms_is_one_of_those_that_count(order: Any) -> None:
    names = ["up", "off", "down"]
    got = of(UP, OFF, DOWN, method="pcgrad", terms=names, permutation=order)
    want = of(UP, DOWN, method="pcgrad", permutation=[1, 0])
    assert torch.equal(got.gradients["v"], want.gradients["v"])
    with pytest.raises(BadOption) as caught:
        of(UP, OFF, DOWN, method="pcgrad", terms=names, permutation=[0, 1, 1])
    assert caught.value.at == "balance.permutation"


def test_where_no_balanced_term_counts_there_is_nothing_to_balance() -> None:
    got = of(OFF, EMPTY, DECAY, method="mgda", terms=["off", "empty"])
    assert got.balancing is None and got.value == 5.0
    assert got.gradients["v"].tolist() == [2.0, 4.0]


@pytest.mark.parametrize("absent", [EMPTY, OFF], ids=["no rows", "weight 0"])
@pytest.mark.parametrize("method", STATEFUL)
def test_a_method_with_a_state_names_the_term_that_does_not_count(method: str, absent: Any) -> None:
    with pytest.raises(BadOption) as caught:
        of(UP, DOWN, absent, method=method)
    assert caught.value.at == "balance.terms" and absent["name"] in caught.value.message


def test_a_method_s_numbers_are_in_the_order_of_the_named_terms() -> None:
    for names, numbers in ((["up", "down"], [1.0, 10.0]), (["down", "up"], [10.0, 1.0])):
        got = of(UP, DOWN, method="fixed", terms=names, params={"weights": numbers})
        assert got.balancing is not None
        assert got.balancing.weights == {"up": 1.0, "down": 10.0}


@pytest.mark.parametrize("method", STATEFUL)
def test_a_state_of_other_terms_or_another_order_is_refused(method: str) -> None:
    first = of(UP, DOWN, method=method)
    state = first.state["balance"]
    assert state["terms"] == ["up", "down"]
    again = of(UP, DOWN, DECAY, method=method, terms=["up", "down"], state=state)
    assert again.state["balance"]["step"] == 2
    for terms in (["down", "up"], ["up", "decay"]):
        with pytest.raises(LossdError) as caught:
            of(UP, DOWN, DECAY, method=method, terms=terms, state=state)
        assert (caught.value.code, caught.value.at) == ("bad_option", "balance.state.terms")


def test_no_more_terms_are_balanced_than_a_lane_has_time_for() -> None:
    many = [UP | {"name": f"t{i}"} for i in range(65)]
    for terms, named, at in ((many, None, "balance.terms"), ([UP, DOWN], [], "balance.terms")):
        with pytest.raises(LossdError) as caught:
            of(*terms, method="pcgrad", **({} if named is None else {"terms": named}))
        assert caught.value.at == at


def test_gradients_that_a_method_holds_count_against_the_limit() -> None:
    """Also of the terms that do not take a tensor."""
    tensors = {"large": [0.0] * 1000, "target": [1.0] * 1000, "small": [0.0], "goal": [1.0]}
    large = {"loss": "mse", "inputs": {"prediction": "large", "target": "target"}}
    small = {"loss": "mse", "inputs": {"prediction": "small", "target": "goal"}}
    body = {"tensors": tensors, "terms": [large] * 2 + [small] * 8, "wrt": ["large", "small"]}
    objective_of(body | {"balance": {"method": "pcgrad"}}, 5000)
    with pytest.raises(TooLarge) as caught:
        objective_of(body | {"balance": {"method": "graddrop", "seed": 0}}, 5000)
    assert caught.value.at == "balance.method"


def test_weights_that_multiply_to_infinity_are_refused() -> None:
    with pytest.raises(LossdError) as caught:
        of(UP | {"weight": 1e308}, DOWN, method="fixed", params={"weights": [100.0, 1.0]})
    assert caught.value.at.startswith("terms[0]")
