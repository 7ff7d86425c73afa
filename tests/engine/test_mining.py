"""Mining: the choice against one written another way, for every loss whose rows stand alone."""

import asyncio
import math
from collections.abc import Sequence
from typing import Any

import numpy as np
import pytest
import torch
from catalog_cases import Case
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import Tensor

from case_requests import CASES, CPU, finite, message_of, rows_of, run
from host_lane import HostLane
from lossd.engine import Engine, compute
from lossd.engine.mining import hardest, worst_of_equals, worst_share
from lossd.errors import BadOption, LossdError
from lossd.losses import CATALOG
from lossd.schema import Result, parse_call
from lossd.wire import Message

INDEPENDENT = [
    next(c for c in CASES if c.spec is spec and c.source.startswith("smooth") and finite(c))
    for spec in CATALOG.values()
    if spec.coupling == "independent"
]
every_loss = pytest.mark.parametrize("case", INDEPENDENT, ids=lambda case: case.spec.name)
METHODS: list[dict[str, Any]] = [
    {"method": "ohem", "keep_fraction": 0.4},
    {"method": "ohem", "threshold": 0.5},
    {"method": "cvar", "alpha": 0.3},
]
TWO: dict[str, Any] = {"method": "ohem", "keep_count": 2}
ALL = ["value", "rows", "gradients", "kept_indices"]


def expected_parts(
    values: Sequence[float], mining: dict[str, Any], mass: Sequence[float]
) -> list[float]:
    """How much of each value is kept, by sorting pairs in plain Python."""
    order = sorted(range(len(values)), key=lambda i: (-values[i], i))
    parts = [0.0] * len(values)
    if mining["method"] == "cvar":
        left = mining["alpha"] * sum(mass)
        for i in order:
            parts[i] = min(1.0, max(0.0, left / mass[i]))
            parts[i] = 0.0 if parts[i] < 1e-9 else parts[i]
            left -= mass[i]
        return parts
    many = sum(value > mining.get("threshold", math.inf) for value in values)
    many = max(many, mining.get("keep_count", 0), mining.get("min_kept", 0))
    if "keep_fraction" in mining:
        many = max(many, math.ceil(mining["keep_fraction"] * len(values) - 1e-6))
    for i in order[:many]:
        parts[i] = 1.0
    return parts


def shares_of(case: Case) -> Tensor:
    """Each item's share of the denominator."""
    if case.spec.weights is None:
        return torch.ones_like(case.expected())
    given = {key: x for key, x in case.tensors().items() if key in case.spec.weights_inputs}
    return case.spec.weights(**given, params=case.params).double()


def mined(case: Case, mining: dict[str, Any], **more: Any) -> Result:
    return run(case, message_of(case, mining=mining, outputs=ALL, **more))


def parts_of(case: Case, mining: dict[str, Any]) -> Tensor:
    values, shares = case.expected().flatten(), shares_of(case).flatten()
    counts = ((values != 0) | (shares != 0)).nonzero()[:, 0].tolist()
    kept = torch.zeros_like(values)
    kept[counts] = torch.tensor(
        expected_parts(values[counts].tolist(), mining, [1.0] * len(counts)), dtype=torch.float64
    )
    return kept.view(case.expected().shape)


@every_loss
def test_what_is_kept_is_what_sorting_says(case: Case) -> None:
    for mining in METHODS:
        kept, got = parts_of(case, mining), mined(case, mining)
        assert got.extras["kept_indices"].dtype == torch.int64
        assert torch.equal(got.extras["kept_indices"], kept.flatten().nonzero()[:, 0])
        assert got.sum == pytest.approx((kept * case.expected()).sum().item(), abs=1e-12)
        assert got.denominator == pytest.approx((kept * shares_of(case)).sum().item(), abs=1e-12)
        assert got.count == case.expected().numel()
        if got.denominator:
            assert got.value == got.sum / got.denominator


@every_loss
def test_rows_are_those_of_the_call_without_mining(case: Case) -> None:
    plain = run(case, message_of(case))
    for mining in METHODS:
        got = mined(case, mining)
        assert got.rows is not None and plain.rows is not None
        assert torch.equal(got.rows, plain.rows)


@every_loss
def test_the_gradient_is_that_of_the_kept_items_and_no_other(case: Case) -> None:
    for mining, reduction in zip(METHODS, ("mean", "sum", "none"), strict=True):
        got = mined(case, mining, reduction=reduction)
        scale = 1 / got.denominator if reduction == "mean" and got.denominator else 1.0
        message = message_of(case, reduction="sum")
        pull = scale * parts_of(case, mining)
        want = run(case, Message({**message.tensors, "cotangent": pull}, message.fields))
        for key, x in got.gradients.items():
            torch.testing.assert_close(x, want.gradients[key], rtol=1e-12, atol=1e-15)
            if case.spec.inputs[key].scope == "row":
                dropped = parts_of(case, mining).reshape(len(x), -1).sum(1) == 0
                assert not x[dropped].any()


@every_loss
def test_a_call_of_the_kept_rows_alone_says_the_same(case: Case) -> None:
    if case.expected().ndim > 1:
        return  # some items of a row may be kept, and others not
    for mining in METHODS:
        got, kept = mined(case, mining), parts_of(case, mining)
        rows = kept.nonzero()[:, 0]
        message = rows_of(case, message_of(case), rows)
        alone = run(case, Message({**message.tensors, "row_weights": kept[rows]}, message.fields))
        assert got.value == (alone.value and pytest.approx(alone.value, rel=1e-12))
        for key, x in got.gradients.items():
            mine = x[rows] if case.spec.inputs[key].scope == "row" else x
            torch.testing.assert_close(mine, alone.gradients[key], rtol=1e-9, atol=1e-12)


@every_loss
def test_kernels_and_plain_functions_choose_alike(case: Case) -> None:
    """float32 goes through a kernel, where there is one; float64 never does."""
    for mining in METHODS:
        fields = {"mining": mining, "outputs": ALL}
        got = run(case, message_of(case, torch.float32, **fields))
        want = run(case, message_of(case, **fields))
        assert torch.equal(got.extras["kept_indices"], want.extras["kept_indices"])
        assert got.sum == pytest.approx(want.sum, rel=1e-4, abs=1e-6)
        for key, x in got.gradients.items():
            torch.testing.assert_close(x.double(), want.gradients[key], rtol=1e-4, atol=1e-5)


@every_loss
def test_blocks_of_rows_choose_as_the_whole_does(case: Case) -> None:
    for mining in METHODS:
        call = parse_call(case.spec.name, message_of(case, mining=mining, outputs=ALL))
        whole, cut = compute(call, CPU), compute(call, CPU, block_bytes=1)
        assert torch.equal(whole.extras["kept_indices"], cut.extras["kept_indices"])
        assert whole.sum == cut.sum


@every_loss
def test_nothing_is_mined_of_nothing(case: Case) -> None:
    for mining in METHODS:
        message = rows_of(case, message_of(case, mining=mining, outputs=ALL), slice(0))
        got = run(case, message)
        assert (got.value, got.sum, got.denominator, got.count) == (None, 0.0, 0.0, 0)
        assert [each.code for each in got.warnings] == ["zero_denominator"]
        assert got.extras["kept_indices"].shape == (0,)


OTHERS = [name for name, spec in CATALOG.items() if spec.coupling != "independent"]


@pytest.mark.parametrize("name", OTHERS)
def test_rows_that_do_not_stand_alone_cannot_be_mined(name: str) -> None:
    case = next(case for case in CASES if case.spec.name == name)
    with pytest.raises(BadOption, match="cannot be mined") as caught:
        parse_call(name, message_of(case, mining=METHODS[0]))
    assert caught.value.at == "mining"


# Below, the loss is |prediction|, so its values are what the test says that they are.

numbers = st.floats(0, 100, width=32) | st.sampled_from([0.0, 1.0, 1.0, 2.0])
lists = st.lists(numbers, min_size=1, max_size=30)
counts = st.integers(0, 35)


def absolute(values: Sequence[float], mining: dict[str, Any], **tensors: Tensor) -> Result:
    prediction = torch.tensor(values, dtype=torch.float64)
    given = {"prediction": prediction, "target": torch.zeros_like(prediction), **tensors}
    fields = {"mining": mining, "outputs": ALL, "wrt": ["prediction"]}
    return compute(parse_call("l1", Message(given, fields)), CPU)


@given(lists, counts)
@settings(deadline=None)
def test_the_hardest_are_the_first_of_a_stable_sort(values: list[float], count: int) -> None:
    array = np.array(values)
    want = np.sort(np.argsort(-array, kind="stable")[:count])
    assert hardest(array, count).tolist() == want.tolist()


@given(lists, st.floats(1e-3, 1.0), st.data())
@settings(deadline=None)
def test_the_worst_share_has_the_mass_that_it_should(
    values: list[float], alpha: float, data: st.DataObject
) -> None:
    mass = data.draw(st.lists(st.floats(0.01, 10), min_size=len(values), max_size=len(values)))
    parts = worst_share(np.array(values), np.array(mass), alpha)
    assert ((parts >= 0) & (parts <= 1)).all()
    assert (parts * mass).sum() == pytest.approx(alpha * sum(mass), rel=1e-6)
    assert ((parts > 0) & (parts < 1)).sum() <= 1
    least_kept = min(v for v, part in zip(values, parts, strict=True) if part > 0)
    assert all(part == 1 for v, part in zip(values, parts, strict=True) if v > least_kept)


@given(lists, st.floats(1e-3, 1.0))
@settings(deadline=None)
def test_equal_masses_are_shared_without_a_sort_as_with_one(
    values: list[float], alpha: float
) -> None:
    want = worst_share(np.array(values), np.ones(len(values)), alpha)
    np.testing.assert_allclose(worst_of_equals(np.array(values), alpha), want, atol=1e-7)


@given(st.lists(numbers, min_size=1, max_size=12), st.floats(0.05, 1.0))
@settings(deadline=None, max_examples=50)
def test_cvar_is_the_least_of_rockafellar_and_uryasev(values: list[float], alpha: float) -> None:
    """min over t of t + mean(max(0, v - t)) / alpha, which is at one of the values."""
    got = absolute(values, {"method": "cvar", "alpha": alpha})
    sizes = np.abs(np.array(values))
    want = min(t + np.maximum(sizes - t, 0).mean() / alpha for t in sizes)
    if got.value is not None:
        assert got.value == pytest.approx(want, rel=1e-6, abs=1e-9)


@given(lists, st.data())
@settings(deadline=None, max_examples=50)
def test_a_row_weighs_in_the_worst_share_as_often_as_its_weight_says(
    values: list[float], data: st.DataObject
) -> None:
    times = data.draw(st.lists(st.integers(0, 3), min_size=len(values), max_size=len(values)))
    mining = {"method": "cvar", "alpha": data.draw(st.floats(0.05, 1.0))}
    got = absolute(values, mining, row_weights=torch.tensor(times).double())
    repeated = [v for v, n in zip(values, times, strict=True) for _ in range(n)]
    want = absolute(repeated, mining)
    assert got.sum == pytest.approx(want.sum, rel=1e-6, abs=1e-9)
    assert got.denominator == pytest.approx(want.denominator, rel=1e-6)


@given(lists, st.data())
@settings(deadline=None, max_examples=50)
def test_row_weights_weigh_what_is_kept_and_choose_nothing(
    values: list[float], data: st.DataObject
) -> None:
    weights = data.draw(
        st.lists(st.sampled_from([0.0, 0.5, 2.0]), min_size=len(values), max_size=len(values))
    )
    mining = {"method": "ohem", "keep_count": data.draw(st.integers(1, 31))}
    got = absolute(values, mining, row_weights=torch.tensor(weights).double())
    counted = [i for i, weight in enumerate(weights) if weight]
    parts = expected_parts([values[i] for i in counted], mining, [1.0] * len(counted))
    kept = [i for i, part in zip(counted, parts, strict=True) if part]
    assert got.extras["kept_indices"].tolist() == kept
    assert got.sum == pytest.approx(sum(weights[i] * values[i] for i in kept), rel=1e-9, abs=1e-9)
    assert got.denominator == sum(weights[i] for i in kept)
    gradient = got.gradients["prediction"]
    for i, value in enumerate(values):
        share = weights[i] / got.denominator if i in kept else 0.0
        assert gradient[i].item() == pytest.approx(share * np.sign(value), rel=1e-9)


def test_at_least_so_many_are_kept_as_are_asked_for() -> None:
    mining = {"method": "ohem", "threshold": 1.5, "min_kept": 2}
    assert absolute([1.0, 2.0, 0.5], mining).extras["kept_indices"].tolist() == [0, 1]
    assert absolute([3.0, 2.0, 1.6], mining).extras["kept_indices"].tolist() == [0, 1, 2]
    mining = {"method": "ohem", "keep_fraction": 0.1, "min_kept": 2}
    assert absolute([1.0, 2.0, 0.5], mining).extras["kept_indices"].tolist() == [0, 1]


def test_of_equal_values_the_first_are_kept() -> None:
    got = absolute([1.0, 2.0, 1.0, 1.0], {"method": "ohem", "keep_count": 2})
    assert got.extras["kept_indices"].tolist() == [0, 1]


@pytest.mark.parametrize(("count", "fraction", "kept"), [(30, 0.1, 3), (7, 0.5, 4), (3, 1e-6, 1)])
def test_a_fraction_is_rounded_up_but_not_by_rounding_errors(
    count: int, fraction: float, kept: int
) -> None:
    got = absolute([1.0] * count, {"method": "ohem", "keep_fraction": fraction})
    assert len(got.extras["kept_indices"]) == kept


def test_values_that_are_not_finite_are_the_hardest() -> None:
    given = {"prediction": torch.tensor([1.0, math.nan, 5.0, math.inf]), "target": torch.zeros(4)}
    fields = {"mining": TWO, "outputs": ALL, "nonfinite": "propagate"}
    got = compute(parse_call("l1", Message(given, fields)), CPU)
    assert got.extras["kept_indices"].tolist() == [1, 3] and math.isnan(got.sum)
    given["row_weights"] = torch.tensor([1.0, 0.0, 1.0, 0.0])
    got = compute(parse_call("l1", Message(given, fields)), CPU)
    assert got.extras["kept_indices"].tolist() == [0, 2] and got.sum == 6.0


def test_pixels_are_mined_one_by_one() -> None:
    generator = torch.Generator().manual_seed(0)
    logits = torch.randn(2, 3, 4, 5, generator=generator, dtype=torch.float64)
    labels = torch.randint(3, (2, 4, 5), generator=generator)
    labels[0, 0] = 255
    fields = {"mining": {"method": "ohem", "keep_fraction": 0.25}, "outputs": ALL,
              "params": {"ignore_index": 255}}  # fmt: skip
    got = compute(parse_call("cross_entropy", Message({"logits": logits, "labels": labels},
                                                      fields)), CPU)  # fmt: skip
    values = torch.nn.functional.cross_entropy(logits, labels, ignore_index=255, reduction="none")
    want = np.argsort(-values.flatten().numpy(), kind="stable")[:9]  # of the 35 that count
    assert got.extras["kept_indices"].tolist() == sorted(want.tolist())
    assert got.value == pytest.approx(values.flatten()[want].mean().item())
    touched = got.gradients["logits"].abs().sum(1).flatten().nonzero()[:, 0]
    assert torch.equal(touched, got.extras["kept_indices"])


@pytest.mark.parametrize("ignored", [False, True])
def test_negatives_are_kept_by_their_ratio_to_positives(ignored: bool) -> None:
    """As SSD's hard negative mining: rank negatives by loss, keep three for each positive."""
    generator = torch.Generator().manual_seed(1)
    logits = torch.randn(40, 4, generator=generator, dtype=torch.float64)
    labels = torch.zeros(40, dtype=torch.long)
    labels[[3, 17, 30]] = torch.tensor([1, 3, 2])
    labels[[0, 5]] = -100 if ignored else 0
    fields = {"mining": {"method": "negative_ratio", "ratio": 2.5}, "outputs": ALL,
              "params": {"ignore_index": -100}}  # fmt: skip
    got = compute(parse_call("cross_entropy", Message({"logits": logits, "labels": labels},
                                                      fields)), CPU)  # fmt: skip
    values = torch.nn.functional.cross_entropy(logits, labels, reduction="none")
    negatives = [i for i in range(40) if labels[i] == 0]
    hard = sorted(negatives, key=lambda i: -values[i].item())[:7]
    assert got.extras["kept_indices"].tolist() == sorted([*hard, 3, 17, 30])
    assert got.value == pytest.approx(values[sorted([*hard, 3, 17, 30])].mean().item())


def test_targets_say_what_is_positive_where_there_are_no_labels() -> None:
    logits = torch.tensor([[2.0, -3.0], [0.5, 0.0]])
    targets = torch.tensor([[0.0, 1.0], [0.0, 0.0]])
    given = {"logits": logits, "targets": targets}
    fields = {"mining": {"method": "negative_ratio", "ratio": 2}, "outputs": ALL}
    call = parse_call("binary_cross_entropy_with_logits", Message(given, fields))
    assert compute(call, CPU).extras["kept_indices"].tolist() == [0, 1, 2]
    fields["mining"] = {"method": "negative_ratio", "ratio": 2, "background": 1}
    call = parse_call("binary_cross_entropy_with_logits", Message(given, fields))
    assert compute(call, CPU).extras["kept_indices"].tolist() == [0, 1, 2, 3]


def test_without_positives_there_are_the_negatives_that_are_asked_for() -> None:
    given = {"logits": torch.randn(6, 3), "labels": torch.zeros(6, dtype=torch.long)}
    mining: dict[str, Any] = {"method": "negative_ratio"}
    got = compute(parse_call("cross_entropy", Message(given, {"mining": mining})), CPU)
    assert got.value is None and [each.code for each in got.warnings] == ["zero_denominator"]
    assert not got.gradients["logits"].any()
    fields = {"mining": {**mining, "min_negatives": 2}, "outputs": ALL}
    assert len(compute(parse_call("cross_entropy", Message(given, fields)), CPU)
               .extras["kept_indices"]) == 2  # fmt: skip


def test_hidden_states_are_mined_as_their_logits() -> None:
    generator = torch.Generator().manual_seed(2)
    hidden = torch.randn(23, 6, generator=generator, dtype=torch.float64)
    classifier = torch.randn(9, 6, generator=generator, dtype=torch.float64)
    labels = torch.randint(9, (23,), generator=generator)
    fields = {"mining": METHODS[0], "outputs": ALL}
    made = {"hidden": hidden, "classifier": classifier, "labels": labels}
    got = compute(parse_call("cross_entropy", Message(made, fields)), CPU)
    of_logits = {"logits": hidden @ classifier.T, "labels": labels}
    want = compute(parse_call("cross_entropy", Message(of_logits, fields)), CPU)
    assert torch.equal(got.extras["kept_indices"], want.extras["kept_indices"])
    assert got.value == pytest.approx(want.value)
    slope = want.gradients["logits"]
    torch.testing.assert_close(got.gradients["classifier"], slope.T @ hidden)
    torch.testing.assert_close(got.gradients["hidden"], slope @ classifier)


@pytest.mark.parametrize("form", ["row_norms", "top_k", "recipe"])
def test_smaller_forms_are_of_the_mined_gradient(form: str) -> None:
    case = next(case for case in INDEPENDENT if case.spec.name == "cross_entropy")
    dense = mined(case, TWO).gradients["logits"]
    got = mined(case, TWO, gradient_form=form, gradient_top_k=2).condensed
    if form == "row_norms":
        torch.testing.assert_close(got["gradient_row_norms.logits"], dense.flatten(1).norm(dim=1))
    elif form == "top_k":
        indices = got["gradient_top_k_indices.logits"]
        want = dense.flatten(1).gather(1, indices)
        assert torch.equal(got["gradient_top_k_values.logits"], want)
    else:
        dropped = got["gradient_recipe_factor.logits"] == 0
        assert torch.equal(dropped, dense.abs().sum(1) == 0) and dropped.any()


# The interpreter is numpy, which tells of infinities that the kernels mean.
@pytest.mark.filterwarnings("ignore::RuntimeWarning:triton")
@pytest.mark.parametrize("mining", METHODS, ids=str)
def test_what_a_device_is_given_is_mined_alike(mining: dict[str, Any]) -> None:
    generator = torch.Generator().manual_seed(3)
    given = {"logits": torch.randn(50, 7, generator=generator),
             "labels": torch.randint(7, (50,), generator=generator)}  # fmt: skip
    call = parse_call("cross_entropy", Message(given, {"mining": mining, "outputs": ALL}))
    got, want = compute(call, CPU, lane=HostLane(), block_bytes=400), compute(call, CPU)
    assert torch.equal(got.extras["kept_indices"], want.extras["kept_indices"])
    assert got.value == pytest.approx(want.value, rel=1e-6)
    torch.testing.assert_close(got.gradients["logits"], want.gradients["logits"])


def test_mined_calls_that_repeat_are_each_their_own() -> None:
    """What is kept with the plan of calls that are alike is not what their numbers decided."""
    engine = Engine("cpu", lanes=1, threads=1)
    try:
        for seed in range(4):
            generator = torch.Generator().manual_seed(seed)
            given = {"logits": torch.randn(8, 3, generator=generator),
                     "labels": torch.randint(3, (8,), generator=generator)}  # fmt: skip
            for fields in ({}, {"mining": METHODS[0], "outputs": ALL}):
                call = parse_call("cross_entropy", Message(given, fields))
                got = asyncio.run(engine.submit(call, timeout_s=10))
                assert got.value == pytest.approx(compute(call, CPU).value, rel=1e-6)
                assert got.denominator == (4 if fields else 8)
    finally:
        engine.close()


BAD: list[tuple[Any, str]] = [
    ("ohem", "mining"),
    ({}, "mining"),
    ({"method": "focal"}, "mining"),
    ({"method": "ohem"}, "mining"),
    ({"method": "ohem", "keep_fraction": 0.5, "keep_count": 3}, "mining"),
    ({"method": "ohem", "keep_fraction": 0}, "mining.keep_fraction"),
    ({"method": "ohem", "keep_fraction": 1.5}, "mining.keep_fraction"),
    ({"method": "ohem", "keep_count": 0}, "mining.keep_count"),
    ({"method": "ohem", "keep_count": 2.5}, "mining.keep_count"),
    ({"method": "ohem", "threshold": math.nan}, "mining.threshold"),
    ({"method": "ohem", "threshold": 1, "min_kept": -1}, "mining.min_kept"),
    ({"method": "ohem", "keep_count": 1, "ratio": 3}, "mining.ratio"),
    ({"method": "cvar"}, "mining.alpha"),
    ({"method": "cvar", "alpha": 0}, "mining.alpha"),
    ({"method": "negative_ratio", "ratio": -1}, "mining.ratio"),
    ({"method": "negative_ratio", "ratio": math.inf}, "mining.ratio"),
    ({"method": "negative_ratio", "background": "sky"}, "mining.background"),
]


@pytest.mark.parametrize(("mining", "at"), BAD, ids=[str(each[0])[:50] for each in BAD])
def test_a_wrong_choice_is_refused_by_its_place(mining: Any, at: str) -> None:
    given = {"logits": torch.zeros(2, 3), "labels": torch.zeros(2, dtype=torch.long)}
    with pytest.raises(BadOption) as caught:
        parse_call("cross_entropy", Message(given, {"mining": mining}))
    assert caught.value.at == at and caught.value.expected


def refusal(name: str, fields: dict[str, Any], **tensors: Tensor) -> LossdError:
    with pytest.raises(LossdError) as caught:
        parse_call(name, Message(tensors, fields))
    return caught.value


def test_what_mining_cannot_go_with_is_refused() -> None:
    x = torch.zeros(3)
    mse = {"prediction": x, "target": x}
    error = refusal("mse", {"outputs": ["kept_indices"]}, **mse)
    assert (error.code, error.at) == ("bad_option", "outputs[0]")
    error = refusal("mse", {"mining": METHODS[0]}, cotangent=x, **mse)
    assert (error.code, error.at) == ("bad_option", "mining")
    error = refusal("mse", {"mining": {"method": "negative_ratio"}}, **mse)
    assert (error.code, error.at) == ("bad_option", "mining.method")


@pytest.mark.parametrize("name", ["multi_margin", "contrastive", "hinge"])
def test_a_choice_by_labels_takes_those_that_are_one_per_item(name: str) -> None:
    case = next(case for case in INDEPENDENT if case.spec.name == name)
    got = mined(case, {"method": "negative_ratio", "ratio": 1, "background": 1})
    labels = torch.tensor(case.inputs["labels"]).flatten()
    kept = got.extras["kept_indices"].tolist()
    positives = [i for i, label in enumerate(labels.tolist()) if label != 1]
    counts = (case.expected().flatten() != 0) | (shares_of(case).flatten() != 0)
    assert {i for i in positives if counts[i]} <= set(kept)
    assert len(kept) <= 2 * len(positives)
