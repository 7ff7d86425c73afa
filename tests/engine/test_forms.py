"""Gradients in smaller forms, against the dense ones."""

from collections.abc import Mapping

import pytest
import torch
from catalog_cases import Case, of_cases

from case_requests import CASES, CPU, message_of, run
from lossd.engine import compute
from lossd.errors import BadOption
from lossd.losses import CATALOG
from lossd.schema import parse_call, to_message
from lossd.wire import Message
from lossd_client._recipe import Exponentials, rebuild

first_cases = of_cases(CASES, 1)  # what is made of a gradient does not depend on its loss


def has_rows(case: Case, key: str) -> bool:
    return case.spec.inputs[key.partition("/")[0]].scope == "row"


@first_cases
def test_row_norms_are_those_of_the_dense_gradient(case: Case) -> None:
    dense = run(case, message_of(case)).gradients
    got = run(case, message_of(case, gradient_form="row_norms"))
    for key, gradient in dense.items():
        if not has_rows(case, key):
            assert torch.equal(got.gradients[key], gradient)
            continue
        norms = got.condensed[f"gradient_row_norms.{key}"]
        assert key not in got.gradients and norms.shape == gradient.shape[:1]
        torch.testing.assert_close(
            norms, gradient.flatten(1).norm(dim=1) if gradient.ndim > 1 else gradient.abs()
        )


@first_cases
def test_top_k_are_the_largest_elements_in_order(case: Case) -> None:
    dense = run(case, message_of(case)).gradients
    for k in (1, 3, 1000):
        assert_top_k(case, k, dense)


def assert_top_k(case: Case, k: int, dense: Mapping[str, torch.Tensor]) -> None:
    result = run(case, message_of(case, gradient_form="top_k", gradient_top_k=k))
    got = result.condensed
    for key, gradient in dense.items():
        if not has_rows(case, key):
            assert torch.equal(result.gradients[key], gradient)
            continue
        flat = gradient.reshape(len(gradient), -1)
        indices = got[f"gradient_top_k_indices.{key}"]
        values = got[f"gradient_top_k_values.{key}"]
        kept = min(k, flat.shape[1])
        assert indices.shape == values.shape == (len(flat), kept)
        assert torch.equal(flat.gather(1, indices), values)
        assert torch.equal(values.abs(), flat.abs().sort(dim=1, descending=True).values[:, :kept])


def test_indices_follow_the_layout_that_was_sent() -> None:
    logits = torch.randn(2, 3, 4)
    labels = torch.zeros(2, 4, dtype=torch.long)
    tensors = {"logits": logits.movedim(1, -1), "labels": labels}
    fields = {"class_axis": -1, "gradient_form": "top_k", "gradient_top_k": 2}
    got = compute(parse_call("cross_entropy", Message(tensors, fields)), CPU).condensed
    plain = compute(parse_call("cross_entropy", Message({**tensors, "logits": logits})), CPU)
    sent = plain.gradients["logits"].movedim(1, -1).reshape(2, -1)
    indices = got["gradient_top_k_indices.logits"]
    assert torch.equal(sent.gather(1, indices), got["gradient_top_k_values.logits"])


@pytest.mark.parametrize("form", ["row_norms", "top_k"])
def test_an_empty_batch_has_empty_forms(form: str) -> None:
    tensors = {"prediction": torch.zeros(0, 3), "target": torch.zeros(0, 3)}
    call = parse_call("mse", Message(tensors, {"gradient_form": form}))
    assert all(len(x) == 0 for x in compute(call, CPU).condensed.values())


@of_cases(CASES, 1)
def test_a_loss_without_a_recipe_says_so(case: Case) -> None:
    if case.spec.recipe is None:
        with pytest.raises(BadOption, match="no recipe"):
            run(case, message_of(case, gradient_form="recipe"))


@of_cases([case for case in CASES if case.spec.recipe])
def test_a_gradient_rebuilt_from_its_recipe_is_the_dense_one(case: Case) -> None:
    for weights in (None, torch.arange(1.0, len(case.tensors()["logits"]) + 1).double()):
        message = message_of(case, gradient_form="recipe")
        if weights is not None:
            message = Message({**message.tensors, "row_weights": weights}, message.fields)
        call = parse_call(case.spec.name, message)
        fields = {**message.fields, "gradient_form": "dense"}
        dense = run(case, Message(message.tensors, fields)).gradients
        answer = to_message(call, compute(call, CPU))
        rebuilt = rebuild(
            Exponentials(message.tensors, None),
            answer.fields["recipe"],
            answer.tensors["gradient_recipe_log_sum_exp.logits"].numpy(),
            answer.tensors["gradient_recipe_factor.logits"].numpy(),
        )
        torch.testing.assert_close(torch.from_numpy(rebuilt), dense["logits"])


@pytest.mark.parametrize("name", [each.name for each in CATALOG.values() if each.recipe])
@pytest.mark.parametrize("params", [{}, {"ignore_index": 1}], ids=str)
def test_a_recipe_gives_the_digits_of_the_dense_gradient(name: str, params: dict) -> None:
    torch.manual_seed(0)
    logits = torch.randn(64, 50, 3) * 20 + 1e4
    labels = torch.randint(50, (64, 3))
    exact = parse_call(name, Message({"logits": logits.double(), "labels": labels},
                                     {"params": params}))  # fmt: skip
    truth = compute(exact, CPU).gradients["logits"]
    message = Message(
        {"logits": logits.movedim(1, -1), "labels": labels},
        {"params": params, "gradient_form": "recipe", "class_axis": -1},
    )
    call = parse_call(name, message)
    answer = to_message(call, compute(call, CPU))
    rebuilt = rebuild(
        Exponentials(message.tensors, -1),
        answer.fields["recipe"],
        answer.tensors["gradient_recipe_log_sum_exp.logits"].numpy(),
        answer.tensors["gradient_recipe_factor.logits"].numpy(),
    )
    assert rebuilt.dtype == "float32" and rebuilt.shape == (64, 3, 50)
    got = torch.from_numpy(rebuilt).movedim(-1, 1).double()
    plain = compute(parse_call(name, Message({"logits": logits, "labels": labels},
                                             {"params": params})), CPU)  # fmt: skip
    own = (plain.gradients["logits"].double() - truth).abs().max()
    assert (got - truth).abs().max() <= own + 1e-9
