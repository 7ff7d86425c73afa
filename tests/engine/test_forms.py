"""Gradients in smaller forms, against the dense ones."""

import pytest
import torch
from catalog_cases import Case

from case_requests import CASES, CPU, message_of, run
from lossd.engine import compute
from lossd.schema import parse_call
from lossd.wire import Message

every_case = pytest.mark.parametrize(
    "case", CASES, ids=[f"{case.spec.name}-{i}" for i, case in enumerate(CASES)]
)


@every_case
def test_row_norms_are_those_of_the_dense_gradient(case: Case) -> None:
    dense = run(case, message_of(case)).gradients
    got = run(case, message_of(case, gradient_form="row_norms"))
    for key, gradient in dense.items():
        if case.spec.coupling == "whole":
            assert torch.equal(got.gradients[key], gradient)
            continue
        norms = got.condensed[f"gradient_row_norms.{key}"]
        assert not got.gradients and norms.shape == gradient.shape[:1]
        torch.testing.assert_close(
            norms, gradient.flatten(1).norm(dim=1) if gradient.ndim > 1 else gradient.abs()
        )


@every_case
@pytest.mark.parametrize("k", [1, 3, 1000])
def test_top_k_are_the_largest_elements_in_order(case: Case, k: int) -> None:
    if case.spec.coupling == "whole":
        return
    dense = run(case, message_of(case)).gradients
    got = run(case, message_of(case, gradient_form="top_k", gradient_top_k=k)).condensed
    for key, gradient in dense.items():
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
