"""Terms of one tensor are computed together, which only the clock may notice."""

import gc
import math
import weakref
from typing import Any

import pytest
import torch
from torch import Tensor

from lossd.errors import NotFinite, OutOfRange
from lossd.objectives.compute import Computed, compute_objective
from lossd.objectives.objective import Objective
from lossd.objectives.parse import parse_objective
from lossd.wire import Message

GENERATOR = torch.Generator().manual_seed(3)
LABELS = torch.tensor([0, 3, 1, 2, 0, 1, 3, 3])


def term(name: str, loss: str, weight: Any = 1.0, **more: Any) -> dict[str, Any]:
    inputs = {"logits": "z", "labels": "y"}
    return {"name": name, "loss": loss, "inputs": inputs, "weight": weight, **more}


def objective_of(
    tensors: dict[str, Tensor], terms: list[dict[str, Any]], **fields: Any
) -> Objective:
    message = Message(tensors, {"terms": terms, **fields})
    return parse_objective(message, most_terms=99, most_elements=1 << 30)


def computed(tensors: dict[str, Tensor], terms: list[dict[str, Any]], **fields: Any) -> Computed:
    return compute_objective(objective_of(tensors, terms, **fields))


def given(dtype: torch.dtype = torch.float32) -> dict[str, Tensor]:
    generator = torch.Generator().manual_seed(3)
    z, teacher = (torch.randn(8, 5, generator=generator) for _ in range(2))
    weights = torch.tensor([0.5, 0.0, 2.0, 1.0, 1.0, 0.25, 3.0, 1.0])
    real = {"z": z, "teacher": teacher, "v": weights}
    return {"y": LABELS, "x": LABELS.flip(0)} | {key: each.to(dtype) for key, each in real.items()}


OTHER = {"inputs": {"logits": "z", "labels": "x"}}
TERMS = [
    term("ce", "cross_entropy"),
    term("other", "cross_entropy", -0.5, **OTHER),
    term("ignoring", "cross_entropy", 2.0, params={"ignore_index": 3}),
    term("focal", "focal", 0.3, params={"gamma": 1.5}, row_weights="v"),
    term("smooth", "label_smoothing", 0.7, reduction="sum"),
    term("sure", "confidence_penalty", 0.2, **OTHER),
    term("entropy", "entropy", -0.1, inputs={"logits": "z"}),
    term("brier", "brier", 1.5),
    term("dual", "dual_focal", 0.25),
    term("some", "poly_cross_entropy", 0.5, rows="y > 0"),
    term("mdca", "mdca", 3.0),
    term("mse", "mse", 0.1, inputs={"prediction": "z", "target": "teacher"}),
    term("kl", "kl_divergence", 0.6, inputs={"p_logits": "teacher", "q_logits": "z"}),
    term("none", "symmetric_cross_entropy", 0.0),
    term("later", "generalized_cross_entropy", {"schedule": "linear", "from": 0.0, "to": 2.0,
                                                "steps": 4}),
]  # fmt: skip


def test_in_float32_all_is_as_in_the_one_graph_of_float64() -> None:
    got = computed(given(), TERMS, step=1, outputs=["value", "gradients", "rows"])
    true = computed(given(torch.float64), TERMS, step=1, outputs=["value", "gradients", "rows"])
    assert got.value == pytest.approx(true.value, rel=1e-6)
    for name, result in got.results.items():
        want = true.results[name]
        assert result.value == pytest.approx(want.value, rel=2e-6), name
        assert result.denominator == pytest.approx(want.denominator)
        assert (result.rows is None) == (want.rows is None)
    torch.testing.assert_close(
        got.gradients["z"].double(), true.gradients["z"], rtol=1e-5, atol=1e-6
    )


def test_a_loss_of_no_rows_adds_nothing() -> None:
    for name in ("mdca", "cross_entropy"):
        nothing = term("nothing", name, rows="y > 9")
        got = computed(given(), [nothing, term("ce", "cross_entropy")])
        alone = computed(given(), [term("ce", "cross_entropy")])
        assert got.value == alone.value
        torch.testing.assert_close(got.gradients["z"], alone.gradients["z"])


@pytest.mark.parametrize("weight", [1e9, 1e-34, -1e34])
def test_weights_that_float32_does_not_hold_leave_no_gradient_behind(weight: float) -> None:
    tensors = {"z": torch.tensor([[20.0, 0.0, -100.0], [0.0, 1.0, 2.0]]), "y": torch.tensor([0, 1])}
    tensors["v"] = torch.tensor([1e30, 1.0]) if weight == 1e9 else torch.ones(2)
    heavy = term("heavy", "cross_entropy", weight, reduction="sum", row_weights="v")
    got = computed(tensors, [heavy, term("poly", "poly_cross_entropy")])
    assert bool(got.gradients["z"].isfinite().all())
    wide = {key: x.double() if x.is_floating_point() else x for key, x in tensors.items()}
    true = computed(wide, [heavy, term("poly", "poly_cross_entropy")]).gradients["z"]
    torch.testing.assert_close(got.gradients["z"].double(), true, rtol=1e-5, atol=1e-6)


def test_each_term_has_its_own_axis_of_classes() -> None:
    tensors = {"z": torch.randn(3, 3, 3, 3, generator=GENERATOR), "y": torch.randint(3, (3, 3, 3))}
    first = term("first", "cross_entropy", class_axis=1)
    last = term("last", "cross_entropy", class_axis=-1)
    alone = [computed(tensors, [each]) for each in (first, last)]
    both = computed(tensors, [first, last])
    assert both.value == pytest.approx(alone[0].value + alone[1].value)
    gradients = [each.gradients["z"] for each in alone]
    torch.testing.assert_close(both.gradients["z"], gradients[0] + gradients[1])


def test_one_tensor_by_two_names_has_two_gradients() -> None:
    tensors = given()
    tensors["q"] = tensors["z"]
    focal = term("focal", "focal", inputs={"logits": "q", "labels": "y"})
    both = computed(tensors, [term("ce", "cross_entropy"), focal])
    for name, each in (("z", term("ce", "cross_entropy")), ("q", focal)):
        torch.testing.assert_close(both.gradients[name], computed(tensors, [each]).gradients[name])


def test_the_first_of_the_terms_that_are_wrong_is_named() -> None:
    tensors = given()
    tensors["x"][4] = 5
    wrong = [term("ce", "cross_entropy"), term("dual", "dual_focal", **OTHER), *TERMS[1:3]]
    with pytest.raises(OutOfRange) as caught:
        computed(tensors, wrong)
    assert caught.value.at == "terms[1].inputs.labels"
    tensors["z"][2, 1] = math.nan
    with pytest.raises(NotFinite) as found:
        computed(tensors, wrong)
    assert found.value.at == "terms[0].inputs.logits"


def test_memory_is_free_without_the_garbage_collector() -> None:
    tensors = given()
    objective = objective_of(tensors, TERMS, step=1)
    held = weakref.ref(tensors["z"])
    gc.collect()
    gc.disable()
    try:
        got = compute_objective(objective)
        del objective, tensors
        assert held() is None
        assert math.isfinite(got.value)
    finally:
        gc.enable()
