"""Every kernel under Triton's interpreter: at least as near to the truth as the plain function."""

from typing import Any

import pytest
import torch
from catalog_cases import Case
from torch import Tensor

from case_requests import CASES, CPU, message_of
from host_lane import HostLane
from lossd.engine import compute
from lossd.engine.cuda.kernels import kernel_for, kernel_names
from lossd.engine.plain import compute_plainly
from lossd.errors import BadRequest
from lossd.schema import Call, Result, check_values, parse_call
from lossd.wire import Message

# The interpreter is numpy, which tells of infinities that the kernels mean.
pytestmark = pytest.mark.filterwarnings("ignore::RuntimeWarning:triton")

ALL = {"outputs": ["value", "rows", "gradients"]}
LONG = 64 * 1024 + 1  # a row that more than one program adds up
DTYPES = (torch.float32, torch.bfloat16, torch.float16)
CASES_OF_KERNELS = [case for case in CASES if case.spec.name in kernel_names()]


def logits(rows: int, *shape: int, seed: int = 0) -> Tensor:
    """Ordinary ones, a row of extremes, and one with classes that cannot be."""
    x = 3 * torch.randn(rows, *shape, generator=torch.Generator().manual_seed(seed))
    x[0] = x[0].sign() * 1e4
    if shape[0] > 2:
        x[1, 1:-1] = -torch.inf
    return x


def labels(rows: int, classes: int, *rest: int) -> Tensor:
    last = torch.arange(rows).view(-1, *([1] * len(rest))).expand(rows, *rest) % 2 == 0
    return torch.where(last, classes - 1, 0)


def softmax_calls() -> dict[str, tuple[str, dict[str, Tensor], dict[str, Any]]]:
    found = {}
    for n in (1, 3, 16, 17, 1023, 1024, 1025, 4097):
        z, y = logits(5, n), labels(5, n)
        found[f"cross_entropy-{n}"] = ("cross_entropy", {"logits": z, "labels": y}, {})
        found[f"focal-{n}"] = ("focal", {"logits": z, "labels": y}, {})
        both = {"p_logits": z, "q_logits": logits(5, n, seed=1)}
        found[f"kl_divergence-{n}"] = ("kl_divergence", both, {})
    for n, rest in ((7, ()), (1025, ()), (5, (3, 2)), (40, (70,))):
        z, y = logits(4, n, *rest), labels(4, n, *rest)
        t = torch.softmax(logits(4, n, *rest, seed=2).clamp(-9, 9), 1)
        t[0] = torch.zeros_like(t[0]).index_fill(0, torch.tensor(n - 1), 1.0)
        w, w0 = torch.linspace(0.1, 2, n), torch.linspace(0, 2, n)
        y_ignored = y.clone()
        y_ignored[2] = -100
        of_labels, of_t = {"logits": z, "labels": y}, {"logits": z, "target_probabilities": t}
        for label, name, inputs, params in (
            ("weights", "cross_entropy", of_labels | {"class_weights": w0}, {}),
            ("smooth", "cross_entropy", of_labels, {"label_smoothing": 0.1}),
            ("even", "cross_entropy", of_labels, {"label_smoothing": 1.0}),
            ("ignore", "cross_entropy", {"logits": z, "labels": y_ignored}, {"ignore_index": -100}),
            (
                "all-labels",
                "cross_entropy",
                {"logits": z, "labels": y_ignored, "class_weights": w},
                {"ignore_index": -100, "label_smoothing": 0.2},
            ),
            ("soft", "cross_entropy", of_t, {}),
            (
                "all-soft",
                "cross_entropy",
                of_t | {"class_weights": w0},
                {"label_smoothing": 0.3, "unnormalized_targets": True},
            ),
            (
                "alpha",
                "focal",
                {"logits": z, "labels": y_ignored, "alpha": w0},
                {"gamma": 0.5, "ignore_index": -100},
            ),
            ("detached", "focal", of_labels, {"gamma": 3.0, "modulation_gradient": "detached"}),
            ("gamma-0", "focal", of_labels, {"gamma": 0.0}),
        ):
            shape = "x".join(map(str, (n, *rest)))
            found[f"{name}-{label}-{shape}"] = (name, inputs, params)
        log_t = torch.log_softmax(logits(4, n, *rest, seed=3), 1)
        sides = {"p_log_probabilities": log_t, "q_logits": z}
        for direction in ("forward", "reverse"):
            key = f"kl_divergence-{direction}-{'x'.join(map(str, (n, *rest)))}"
            found[key] = ("kl_divergence", sides, {"direction": direction})
    return found


def element_calls() -> dict[str, tuple[str, dict[str, Tensor], dict[str, Any]]]:
    found = {}
    for shape in ((5,), (4, 33), (2, 1025), (3, 2, 5)):
        generator = torch.Generator().manual_seed(len(shape))
        x = 4 * torch.randn(shape, generator=generator)
        x[-1], x[0] = 1e4, -1e4
        x.view(-1)[0] = 0.0
        y = torch.rand(shape, generator=generator)
        y.view(-1)[1::3] = 1.0
        y.view(-1)[0] = 0.0
        scores, pair = {"logits": x, "targets": y}, {"prediction": x, "target": y}
        c = torch.linspace(0, 3, x[0].numel()).view(x[0].shape)
        bce = "binary_cross_entropy_with_logits"
        for label, name, inputs, params in (
            ("plain", bce, scores, {}),
            ("pos_weight", bce, scores | {"pos_weight": c}, {}),
            ("plain", "sigmoid_focal", scores, {}),
            ("no-alpha", "sigmoid_focal", scores, {"alpha": None, "gamma": 0.0}),
            ("detached", "sigmoid_focal", scores, {"modulation_gradient": "detached"}),
            ("positives", "sigmoid_focal", scores, {"denominator": "positives", "alpha": 0.9}),
            ("plain", "mse", pair, {}),
            ("plain", "huber", pair, {"delta": 0.7}),
            ("plain", "smooth_l1", pair, {"beta": 0.3}),
            ("l1", "smooth_l1", pair, {"beta": 0.0}),
        ):
            found[f"{name}-{label}-{'x'.join(map(str, shape))}"] = (name, inputs, params)
    x = torch.linspace(-5, 5, 2 * LONG).view(2, LONG)
    found["mse-long"] = ("mse", {"prediction": x, "target": x.flip(1)}, {})
    return found


CALLS = softmax_calls() | element_calls()
SMALL = ("-1024", "-4097", "-7", "-5x3x2", "-4x33")  # shapes of which every dtype is tried


def call_of(key: str, dtype: torch.dtype, **fields: Any) -> Call:
    name, inputs, params = CALLS[key]
    cast = {k: x.to(dtype) if x.is_floating_point() else x for k, x in inputs.items()}
    if "target_probabilities" in cast:  # rounding may cost them their sum
        params = params | {"unnormalized_targets": True}
    return parse_call(name, Message(cast, {"params": params, **ALL, **fields}))


def in_float64(call: Call) -> Result:
    name = call.spec.name
    inputs = {k: x.double() if x.is_floating_point() else x for k, x in call.inputs.items()}
    fields = {"params": call.params.model_dump(), "reduction": call.options.reduction, **ALL}
    return compute_plainly(parse_call(name, Message(inputs, fields)), CPU)


def assert_at_least_as_near(got: Tensor, plain: Tensor, true: Tensor, tolerance: float) -> None:
    """Infinities where the truth has them; the error at most the plain one's, and a little."""
    finite = true.isfinite()
    assert torch.equal(got[~finite].double(), true[~finite])
    error, plain_error = ((x.double() - true)[finite].abs() for x in (got, plain))
    most = float(plain_error[plain_error.isfinite()].max()) if plain_error.numel() else 0.0
    allowed = most + tolerance * (0.3 + true[finite].abs())
    assert not (bad := ~(error <= allowed)).any(), (error[bad][:5], allowed[bad][:5])


@pytest.mark.parametrize(
    ("key", "dtype"),
    [
        pytest.param(key, dtype, id=f"{key}-{str(dtype).removeprefix('torch.')}")
        for key in CALLS
        for dtype in (DTYPES if key.endswith(SMALL) else DTYPES[:1])
    ],
)
def test_a_kernel_is_at_least_as_near_to_float64_as_the_plain_function(
    key: str, dtype: torch.dtype
) -> None:
    call = call_of(key, dtype)
    check_values(call)
    assert kernel_for(call) is not None
    got, plain, true = (
        compute(call, CPU, lane=HostLane()),
        compute_plainly(call, CPU),
        in_float64(call),
    )
    assert got.denominator == pytest.approx(true.denominator, rel=1e-6)
    assert got.rows is not None and plain.rows is not None and true.rows is not None
    assert_at_least_as_near(got.rows, plain.rows, true.rows, 1e-6)
    assert got.sum == pytest.approx(plain.sum, rel=1e-5)
    for name, gradient in got.gradients.items():
        assert gradient.dtype == dtype
        rounding = torch.finfo(dtype).eps
        wanted, unrounded = plain.gradients[name], true.gradients[name]
        assert_at_least_as_near(gradient, wanted, unrounded, max(1e-6, rounding))


@pytest.mark.parametrize("asked", ["float32", "float16"])
@pytest.mark.parametrize("case", CASES_OF_KERNELS, ids=lambda case: case.spec.name)
def test_kernels_pass_the_reference_cases_of_other_libraries(case: Case, asked: str) -> None:
    call = parse_call(
        case.spec.name, message_of(case, torch.float32, gradient_dtype=asked, reduction="sum")
    )
    try:
        check_values(call)
    except BadRequest:  # what only a caller who asks for it lets through
        return
    got, want = compute(call, CPU, lane=HostLane()), compute_plainly(call, CPU)
    assert got.rows is not None
    expected = case.expected()
    near = {"rtol": 3e-5, "atol": 3e-6}
    torch.testing.assert_close(got.rows.double(), expected, **near)
    rounding = torch.finfo(getattr(torch, asked)).eps
    for key, gradient in want.gradients.items():
        near = {"rtol": max(1e-5, rounding), "atol": 2e-6 if asked == "float32" else 6.2e-5}
        torch.testing.assert_close(got.gradients[key], gradient, equal_nan=True, **near)
    assert [each.code for each in got.warnings] == [each.code for each in want.warnings]


@pytest.mark.parametrize("name", sorted(kernel_names()))
def test_what_needs_float64_or_lets_nan_through_is_computed_plainly(name: str) -> None:
    case = next(each for each in CASES_OF_KERNELS if each.spec.name == name)
    for fields in ({}, {"nonfinite": "propagate"}, {"gradient_dtype": "float64"}):
        dtype = torch.float32 if fields else torch.float64
        assert kernel_for(parse_call(name, message_of(case, dtype, **fields))) is None


def test_a_gradient_too_large_for_its_dtype_is_told_of() -> None:
    x = torch.tensor([[300.0, 1.0]], dtype=torch.float16)
    tensors = {"prediction": x, "target": -x, "cotangent": torch.tensor([[100.0, 1.0]])}
    got = compute(parse_call("mse", Message(tensors, {})), CPU, lane=HostLane())
    assert got.gradients["prediction"].tolist() == [[torch.inf, 4.0]]
    assert got.gradients["target"].tolist() == [[-torch.inf, -4.0]]
    assert {each.code for each in got.warnings} == {"gradient_overflow"}
    assert len(got.warnings) == 2
