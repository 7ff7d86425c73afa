"""Where kernels of labels have a kink, a tie or nothing left, and what they keep of digits."""

import dataclasses
import math
from typing import Any

import mpmath
import pytest
import torch
from torch import Tensor

from lossd.engine.compute import compute, compute_plainly, pick_kernel
from lossd.engine.fused import compute_by_kernel
from lossd.engine.memory import Buffers
from lossd.errors import LossdError
from lossd.losses import CATALOG
from lossd.schema import Call, Result, parse_call
from lossd.wire import Message

CPU = torch.device("cpu")
LOWEST = -math.inf


def call_of(loss: str, logits: Any, labels: list[int], params: Any = None, **more: Any) -> Call:
    tensors = {"logits": torch.as_tensor(logits), "labels": torch.tensor(labels)}
    tensors |= {key: torch.tensor(each) for key, each in more.items()}
    asked = {"outputs": ["rows", "gradients"], "reduction": "sum", "params": params or {}}
    return parse_call(loss, Message(tensors, asked))


def by_kernel(call: Call) -> Result | None:
    kernel = pick_kernel(call, CPU)
    assert kernel is not None
    return compute_by_kernel(kernel, call, Buffers(0))


def in_float64(call: Call) -> Result:
    wide = {key: x.double() if x.is_floating_point() else x for key, x in call.inputs.items()}
    return compute_plainly(dataclasses.replace(call, inputs=wide), CPU)


def rows_and_gradient(result: Result | None) -> tuple[Tensor, Tensor]:
    assert result is not None and result.rows is not None
    return result.rows.double(), result.gradients["logits"].double()


def assert_true(call: Call) -> None:
    """The kernel's answer is that of the plain function in float64."""
    for mine, true in zip(
        rows_and_gradient(by_kernel(call)), rows_and_gradient(in_float64(call)), strict=True
    ):
        torch.testing.assert_close(mine, true, rtol=5e-7, atol=5e-8)


TIES = [
    [2.0, 1.0, 1.0, 1.0],
    [1.0, 1.0, 1.0, 1.0],
    [1.0, 2.0, 2.0, LOWEST],
    [3.0, LOWEST, LOWEST, LOWEST],
    [0.0, -200.0, -200.0, -300.0],
]


@pytest.mark.parametrize("logits", TIES, ids=str)
@pytest.mark.parametrize("label", range(4))
@pytest.mark.parametrize("gamma", [0.0, 0.5, 1.0, 5.0])
def test_the_first_of_tied_classes_behind_the_label_takes_the_gradient_of_dual_focal(
    logits, label, gamma
) -> None:
    assert_true(call_of("dual_focal", [logits], [label], {"gamma": gamma}))


def test_dual_focal_tells_logits_apart_whose_log_probabilities_round_to_one_number() -> None:
    near = float(torch.nextafter(torch.tensor(0.01), torch.tensor(0.0)))
    assert_true(call_of("dual_focal", [[9.0, 0.01, near, -3.0]], [1]))


@pytest.mark.parametrize("spread", ["all", "others"])
@pytest.mark.parametrize("smoothing", [0.0, 0.3, 1.0])
@pytest.mark.parametrize("label", range(4))
@pytest.mark.parametrize("logits", TIES, ids=str)
@pytest.mark.parametrize("weight", [0.0, 1.5])
def test_label_smoothing_shares_among_the_possible_classes(
    spread, smoothing, label, logits, weight
) -> None:
    params = {"spread": spread, "smoothing": smoothing}
    weights = [1.0] * 4
    weights[label] = weight
    assert_true(call_of("label_smoothing", [logits], [label], params, class_weights=weights))


@pytest.mark.parametrize("label", range(4))
def test_a_logit_exactly_at_the_margin_is_not_pushed(label) -> None:
    params = {"margin": 2.0, "coefficient": 0.5}
    logits = [[3.0, 1.0, 3.0, 0.0], [0.0, -2.0, -2.5, -1.0], [-2.0, 0.0, 0.0, 0.0]]
    assert_true(call_of("margin_based_label_smoothing", logits, [label] * 3, params))


@pytest.mark.parametrize("margin", [0.0, 3e38, 1e300])
@pytest.mark.parametrize("ignore_index", [None, 1])
def test_infinite_logits_are_refused_whatever_the_margin(margin, ignore_index) -> None:
    params = {"margin": margin, "coefficient": 0.0, "ignore_index": ignore_index}
    for bad in (LOWEST, math.inf, math.nan):
        logits = torch.zeros(3, 40)
        logits[1, 33] = bad
        call = call_of("margin_based_label_smoothing", logits, [0, 1, 2], params)
        assert by_kernel(call) is None
        with pytest.raises(LossdError) as caught:
            compute(call, CPU)
        assert caught.value.at == "inputs.logits" and caught.value.indices == [[1, 33]]


@pytest.mark.parametrize("label", [0, 1, 3])
def test_a_class_without_items_cannot_be(label) -> None:
    counts = [90.0, 0.0, 9.0, 1.0]
    assert_true(call_of("logit_adjustment", [[1.0, 80.0, 2.0, 1.0]], [label], class_counts=counts))


@pytest.mark.parametrize("counts", [[0.0, 0.0, 5.0], [0.0, 0.0, 0.0], [3e38, 3e38, 3e38]])
def test_what_the_prior_leaves_without_a_class_is_answered_without_the_kernel(counts) -> None:
    call = call_of("logit_adjustment", [[1.0, 2.0, LOWEST]], [1], class_counts=counts)
    assert by_kernel(call) is None
    rows, gradient = rows_and_gradient(compute(call, CPU))
    assert rows.tolist() == [math.inf] and not gradient.any()


@pytest.mark.parametrize("tau", [0.0, 1.0, 100.0])
def test_logits_that_undo_the_prior_keep_the_digits_of_their_differences(tau) -> None:
    counts, label = [1000.0, 7.0, 3.0], 1
    shifts = [float(torch.tensor(-tau * math.log(each))) for each in counts]
    logits = torch.tensor([[shifts[0], shifts[1] + 0.5, shifts[2] - 1.0]])
    with mpmath.workdps(50):
        terms = [
            mpmath.mpf(count) ** tau * mpmath.exp(mpmath.mpf(z))
            for count, z in zip(counts, logits[0].tolist(), strict=True)
        ]
        shares = [float(each / sum(terms)) for each in terms]
        value = -float(mpmath.log(terms[label] / sum(terms)))
    call = call_of("logit_adjustment", logits, [label], {"tau": tau}, class_counts=counts)
    rows, gradient = rows_and_gradient(by_kernel(call))
    unit = 2e-7 * max(1.0, tau)  # differences as large as tau log prior
    assert rows.item() == pytest.approx(value, rel=unit)
    shares[label] -= 1.0
    assert gradient[0].tolist() == pytest.approx(shares, rel=2 * unit)


@pytest.mark.parametrize("name", ["label_smoothing", "margin_based_label_smoothing", "dual_focal"])
@pytest.mark.parametrize("lead", [5.0, 17.0, 50.0, 80.0])
def test_a_sure_answer_keeps_every_digit_of_its_kin(name, lead) -> None:
    spec = CATALOG[name]
    plain: dict[str, Any] = {"smoothing": 0.0, "coefficient": 0.0, "gamma": 0.0}
    params = {key: plain[key] for key in plain if key in spec.params.model_fields}
    rest = 3 * math.exp(-lead)
    got = rows_and_gradient(by_kernel(call_of(name, [[0.0, lead, 0.0, 0.0]], [1], params)))
    assert got[0].item() == pytest.approx(math.log1p(rest), rel=3e-7)
    miss = rest / (1 + rest)
    assert got[1][0].tolist() == pytest.approx([miss / 3, -miss, miss / 3, miss / 3], rel=4e-7)
