"""Several calls of one tensor, computed together: values and gradients are those of each alone."""

import dataclasses
import math
from collections.abc import Sequence
from typing import Any

import pytest
import torch
from torch import Tensor

from lossd.engine.compute import compute, compute_plainly, pick_kernel
from lossd.engine.fused import Slices
from lossd.engine.kernels import KERNELS
from lossd.engine.memory import Buffers
from lossd.engine.summed import Part, compute_summed, part_of
from lossd.schema import Call, Result, check_values, parse_call
from lossd.wire import Message

CPU = torch.device("cpu")
LOWEST = -math.inf
ROWS, CLASSES = 9, 23

Said = tuple[str, dict[str, Any], tuple[str, ...]]
SHARING: list[Said] = [
    ("cross_entropy", {}, ()),
    ("cross_entropy", {"ignore_index": 3}, ("class_weights",)),
    ("focal", {"gamma": 0.0}, ("alpha",)),
    ("focal", {"gamma": 2.0}, ()),
    ("focal", {"gamma": 1.5, "modulation_gradient": "detached", "ignore_index": 0}, ()),
    ("generalized_cross_entropy", {"q": 0.7}, ("class_weights",)),
    ("poly_cross_entropy", {"epsilon": -0.5}, ()),
    ("symmetric_cross_entropy", {"alpha": 0.3}, ()),
    ("label_smoothing", {"smoothing": 0.1}, ("class_weights",)),
    ("label_smoothing", {"smoothing": 1.0, "ignore_index": 3}, ()),
    ("confidence_penalty", {"beta": 0.2}, ("class_weights",)),
    ("confidence_penalty", {"beta": 0.5, "threshold": 1.0, "ignore_index": 3}, ()),
    ("entropy", {}, ()),
    ("brier", {}, ()),
    ("brier", {"scale_by_half": True}, ()),
]
APART: list[Said] = [
    ("label_smoothing", {"smoothing": 0.2, "spread": "others"}, ()),
    ("entropy", {"temperature": 2.0}, ()),
    ("cross_entropy", {"label_smoothing": 0.1}, ()),
    ("dual_focal", {}, ()),
    ("margin_based_label_smoothing", {}, ()),
]
FINITE_ONLY = APART[-1:]


def logits_of(kind: str) -> Tensor:
    generator = torch.Generator().manual_seed(1)
    z = torch.randn(ROWS, CLASSES, generator=generator)
    if kind == "sure":  # the first class is nearly certain
        z[:, 0] += 30.0
    elif kind == "far":
        z *= 1e4
    elif kind == "ties":
        z = z.round()
    elif kind == "masked":
        z[:, 5:9] = LOWEST
        z[2, 1:] = LOWEST
    return z


LABELS = torch.tensor([0, 3, 0, 22, 9, 3, 0, 1, 10])
OTHER_LABELS = torch.tensor([0, 1, 0, 3, 3, 3, 20, 0, 10])
EVERY_KIND = ("plain", "sure", "far", "ties", "masked")


def call_of(said: Said, logits: Tensor, labels: Tensor, **fields: Any) -> Call:
    loss, params, weights = said
    tensors = {"logits": logits}
    if loss != "entropy":
        tensors["labels"] = labels
    tensors |= {key: torch.linspace(0.5, 2.0, logits.shape[1]) for key in weights}
    if "row_weights" in fields:
        tensors["row_weights"] = fields.pop("row_weights")
    asked = {"params": params, "outputs": ["value", "rows", "gradients"], **fields}
    call = parse_call(loss, Message(tensors, asked))
    return dataclasses.replace(call, inputs=call.inputs | {"logits": logits}, wrt=("logits",))


def parts_of(calls: Sequence[Call], weights: Sequence[float]) -> list[Part]:
    parts = [part_of(call, weight, CPU) for call, weight in zip(calls, weights, strict=True)]
    return [part for part in parts if part is not None]


def in_float64(call: Call) -> Result:
    wide = {key: x.double() if x.is_floating_point() else x for key, x in call.inputs.items()}
    return compute_plainly(dataclasses.replace(call, inputs=wide), CPU)


def assert_true(calls: Sequence[Call], weights: Sequence[float]) -> None:
    """Values, rows and the one gradient are those of the plain functions in float64."""
    parts = parts_of(calls, weights)
    assert len(parts) == len(calls)
    found = compute_summed(parts, Buffers(0))
    assert found is not None
    results, gradient = found
    expected = torch.zeros(gradient.shape, dtype=torch.float64)
    size = 0.0
    for call, weight, result in zip(calls, weights, results, strict=True):
        true = in_float64(call)
        assert result.value == pytest.approx(true.value, rel=2e-6, abs=1e-7)
        assert result.denominator == pytest.approx(true.denominator)
        assert result.rows is not None and true.rows is not None
        torch.testing.assert_close(result.rows.double(), true.rows, rtol=2e-6, atol=2e-7)
        part = weight * true.gradients["logits"]
        expected += part
        size += float(part.abs().max())
    torch.testing.assert_close(gradient.double(), expected, rtol=2e-6, atol=4e-7 * size + 1e-15)


@pytest.mark.parametrize(
    ("said", "kind"),
    [
        (said, kind)
        for said in SHARING + APART
        for kind in EVERY_KIND
        if kind != "masked" or said not in FINITE_ONLY
    ],
    ids=lambda x: x if isinstance(x, str) else f"{x[0]}{x[1]}",
)
def test_a_loss_beside_another_is_as_by_itself(said: Said, kind: str) -> None:
    logits = logits_of(kind)
    beside = call_of(("cross_entropy", {}, ()), logits, OTHER_LABELS)
    reachable = LABELS.clone()
    reachable[2] = 0  # the only class that a masked row leaves
    if kind == "masked":
        reachable[4] = 10
    assert_true([call_of(said, logits, reachable), beside], [0.7, -1.3])
    assert_true([call_of(said, logits, reachable, reduction="sum")] * 2, [1.0, 0.25])


@pytest.mark.parametrize("kind", EVERY_KIND)
def test_all_losses_together_are_their_sum(kind: str) -> None:
    logits = logits_of(kind)
    labels = [torch.where(LABELS == 9, 0, LABELS), OTHER_LABELS.clone()]
    if kind == "masked":
        labels[0][2] = labels[1][2] = 0  # the only class that it leaves
    every = [x for x in SHARING + APART if kind != "masked" or x not in FINITE_ONLY]
    calls = [call_of(said, logits, labels[i % 2]) for i, said in enumerate(every)]
    assert_true(calls, [0.3 + 0.1 * i for i in range(len(calls))])


def test_row_weights_count_and_a_row_of_none_is_nothing() -> None:
    logits = logits_of("plain")
    row_weights = torch.tensor([0.0, 1.0, 2.0, 0.5, 1.0, 1.0, 0.0, 3.0, 1.0])
    calls = [
        call_of(said, logits, LABELS, row_weights=row_weights) for said in SHARING[:4] + APART[2:]
    ]
    assert_true(calls, [1.0, 2.0, 0.5, 1.0, 1.0, -1.0, 3.0])


def test_a_sure_label_keeps_the_digits_of_its_gradient() -> None:
    """Where p is 1 but for 1e-13 the label's gradient is no difference of rounded numbers."""
    logits = logits_of("sure")
    labels = torch.zeros(ROWS, dtype=torch.int64)
    calls = [call_of(said, logits, labels) for said in (SHARING[0], SHARING[6], SHARING[3])]
    found = compute_summed(parts_of(calls, [1.0, 1.0, 1.0]), Buffers(0))
    assert found is not None
    others = sum(in_float64(call).gradients["logits"][:, 1:].sum(1) for call in calls)
    assert isinstance(others, Tensor) and float(others.max()) < 1e-10
    torch.testing.assert_close(-found[1][:, 0].double(), others, rtol=2e-6, atol=0.0)


def test_threads_and_blocks_do_not_change_the_bits() -> None:
    logits = torch.randn(700, 301, generator=torch.Generator().manual_seed(2))
    labels = torch.arange(700) % 301
    said = [*SHARING[:2], SHARING[8], *APART]
    parts = parts_of([call_of(each, logits, labels) for each in said], [1.0] * len(said))
    slices = Slices(3)
    alone, cut = compute_summed(parts, Buffers(0)), compute_summed(parts, Buffers(0), slices)
    slices.close()
    assert alone is not None and cut is not None
    assert torch.equal(alone[1], cut[1])
    assert [each.value for each in alone[0]] == [each.value for each in cut[0]]


BAD: list[tuple[str, Tensor, Tensor]] = [
    ("NaN", torch.full((2, 3), math.nan), torch.tensor([0, 1])),
    ("NaN at a label", torch.tensor([[math.nan, 0.0, 1.0]]), torch.tensor([0])),
    ("infinity", torch.tensor([[0.0, math.inf, 1.0]]), torch.tensor([0])),
    ("infinity at a label", torch.tensor([[0.0, math.inf, 1.0]]), torch.tensor([1])),
    ("no possible class", torch.full((1, 3), LOWEST), torch.tensor([0])),
    ("a label that is no class", torch.zeros(1, 3), torch.tensor([3])),
    ("a negative label", torch.zeros(1, 3), torch.tensor([-1])),
]


@pytest.mark.parametrize(("what", "logits", "labels"), BAD, ids=[each[0] for each in BAD])
@pytest.mark.parametrize("said", [SHARING[0], SHARING[3], SHARING[8], SHARING[10], SHARING[13]])
def test_what_a_check_refuses_is_left_to_it(
    said: Said, what: str, logits: Tensor, labels: Tensor
) -> None:
    calls = [call_of(said, logits, labels, reduction="sum") for _ in range(2)]
    assert compute_summed(parts_of(calls, [1.0, 1.0]), Buffers(0)) is None
    with pytest.raises(Exception, match=r"finite|in \[0, 3\)"):
        check_values(calls[0])


def test_what_cannot_be_a_part_is_none() -> None:
    logits = logits_of("plain")
    call = call_of(SHARING[0], logits, LABELS)
    assert part_of(call, 0.0, CPU) is None
    assert part_of(call, 1e38, CPU) is None
    assert part_of(dataclasses.replace(call, wrt=()), 1.0, CPU) is None
    assert part_of(call_of(SHARING[0], logits.double(), LABELS), 1.0, CPU) is None
    nothing = call_of(("cross_entropy", {"ignore_index": 0}, ()), logits, torch.zeros_like(LABELS))
    assert part_of(nothing, 1.0, CPU) is None


def test_every_loss_of_these_lists_is_computed_as_they_say() -> None:
    for said in SHARING + APART:
        part = part_of(call_of(said, logits_of("plain"), LABELS), 1.0, CPU)
        assert part is not None and (part.shared is not None) == (said in SHARING), said
        assert part.kernel is KERNELS[said[0]]


def test_one_value_of_the_whole_call_has_a_kernel_too() -> None:
    call = call_of(("mdca", {}, ()), logits_of("plain"), LABELS)
    assert pick_kernel(call, CPU) is not None and part_of(call, 1.0, CPU) is None
    result = compute(call, CPU)
    assert result.value == pytest.approx(in_float64(call).value, rel=1e-6)
