"""An objective is the expression that it is written as: value, one gradient, and its parts."""

import asyncio
from typing import Any

import pytest
import torch
from torch.utils._python_dispatch import TorchDispatchMode

from host_lane import HostLane
from lossd.engine import Bench, Engine
from lossd.errors import BadOption, LossdError, OutOfMemory
from lossd.losses import CATALOG
from lossd.objectives.compute import compute_objective
from lossd.objectives.parse import parse_objective
from lossd.objectives.reply import to_messages
from lossd.wire import Message
from objective_bodies import by_autograd, computed, objective_of

DRAW = torch.Generator().manual_seed(0)
Z = torch.randn(7, 4, generator=DRAW, dtype=torch.float64)
TENSORS: dict[str, Any] = {
    "z": Z.tolist(),
    "teacher": torch.randn(7, 4, generator=DRAW, dtype=torch.float64).tolist(),
    "y": [0, 3, 1, 2, 0, 1, 3],
    "other": [1, 1, 0, 3, 2, 2, 0],
    "b": torch.randn(7, 2, generator=DRAW, dtype=torch.float64).tolist(),
    "t": torch.randn(7, 2, generator=DRAW, dtype=torch.float64).tolist(),
    "v": [0.5, 1.0, 0.0, 2.0, 1.0, 0.25, 3.0],
    "w": {"a": [0.1, -0.2], "c": [[0.3, 0.4]]},
}
TERMS: list[dict[str, Any]] = [
    {"name": "ce", "loss": "cross_entropy", "inputs": {"logits": "z", "labels": "y"}},
    {"name": "focal", "loss": "focal", "inputs": {"logits": "z", "labels": "other"},
     "weight": 0.5, "params": {"gamma": 1.5}},
    {"name": "some", "loss": "cross_entropy", "inputs": {"logits": "z", "labels": "y"},
     "rows": "y > 0 and v < 3", "weight": 2.0},
    {"name": "kl", "loss": "kl_divergence", "inputs": {"p_logits": "teacher", "q_logits": "z"},
     "weight": -0.3},
    {"name": "box", "loss": "smooth_l1", "inputs": {"prediction": "b", "target": "t"},
     "rows": "y in [1, 3]", "reduction": "sum", "row_weights": "v"},
    {"name": "pairs", "loss": "sup_con", "inputs": {"embeddings": "z", "labels": "y"},
     "weight": 0.1},
    {"name": "l2", "loss": "l2_penalty", "inputs": {"weights": "w"}, "weight": 1e-2},
    {"name": "far", "loss": "mse", "inputs": {"prediction": "b", "target": "t"},
     "rows": "y > 9"},
]  # fmt: skip
BODY: dict[str, Any] = {"tensors": TENSORS, "terms": TERMS, "dtype": "float64"}
FIXED = {each["name"]: each.get("weight", 1.0) for each in TERMS}


def want(body: Any = BODY, without: str = "far") -> Any:
    objective = objective_of(body)
    rows = {each.name: each.rows.tolist() for each in objective.terms if each.rows is not None}
    terms = [each for each in body["terms"] if each["name"] != without]
    return by_autograd(body | {"terms": terms}, FIXED, rows)


def test_the_gradient_is_autograd_of_the_same_expression() -> None:
    got = computed(BODY)
    value, gradients = want()
    assert got.value == pytest.approx(value, rel=1e-10)
    assert got.gradients.keys() == {"z", "teacher", "b", "t", "w/a", "w/c"}
    for name, x in got.gradients.items():
        torch.testing.assert_close(x, gradients[name], rtol=1e-10, atol=1e-10)


def test_it_is_that_of_torch_s_own_losses_written_out() -> None:
    body = BODY | {"terms": [TERMS[0], TERMS[2], TERMS[4], TERMS[6]]}
    got = computed(body)
    z, b = (torch.tensor(TENSORS[x], dtype=torch.float64, requires_grad=True) for x in "zb")
    t, v = (torch.tensor(TENSORS[x], dtype=torch.float64) for x in "tv")
    y = torch.tensor(TENSORS["y"])
    w = [torch.tensor(x, dtype=torch.float64, requires_grad=True) for x in TENSORS["w"].values()]
    some, positive = (y > 0) & (v < 3), (y == 1) | (y == 3)
    functional = torch.nn.functional
    boxes = functional.smooth_l1_loss(b[positive], t[positive], reduction="none")
    total = (
        functional.cross_entropy(z, y)
        + 2.0 * functional.cross_entropy(z[some], y[some])
        + (boxes * v[positive][:, None]).sum()
        + 1e-2 * sum(x.square().sum() for x in w)
    )
    assert got.value == pytest.approx(total.item(), rel=1e-12)
    leaves = dict(zip(("z", "b", "w/a", "w/c"), (z, b, *w), strict=True))
    for name, x in zip(leaves, torch.autograd.grad(total, list(leaves.values())), strict=True):
        torch.testing.assert_close(got.gradients[name], x, rtol=1e-10, atol=1e-10)


OUTPUTS = ["gradients", "norms", "shares", "cosines", "rows", "term_gradients"]


def test_looking_at_each_term_does_not_change_their_sum() -> None:
    plain, looked_at = computed(BODY), computed(BODY | {"outputs": OUTPUTS})
    assert looked_at.value == plain.value
    for name, x in plain.gradients.items():
        torch.testing.assert_close(looked_at.gradients[name], x, rtol=1e-12, atol=1e-14)


def test_norms_shares_and_cosines_are_those_of_the_terms_gradients() -> None:
    got = computed(BODY | {"outputs": OUTPUTS})
    gramian = got.gramians["z"]
    assert gramian.terms == ("ce", "focal", "some", "kl", "pairs")
    flat = torch.stack([got.own[name]["z"].flatten() for name in gramian.terms])
    torch.testing.assert_close(torch.from_numpy(gramian.norms), flat.norm(dim=1))
    unit = flat / flat.norm(dim=1, keepdim=True)
    torch.testing.assert_close(torch.from_numpy(gramian.cosines), unit @ unit.T)
    assert gramian.shares(got.weights).sum() == pytest.approx(1.0)
    named = {(a, b) for a, b, _ in gramian.conflicts()}
    negative = (unit @ unit.T < 0).nonzero().tolist()
    assert named == {(gramian.terms[i], gramian.terms[j]) for i, j in negative if i < j}
    assert got.results["far"].value is None and not got.own["far"]["b"].any()


class Softmaxes(TorchDispatchMode):
    """Counts the log-softmaxes that torch computes, and the passes back through them."""

    def __init__(self) -> None:
        super().__init__()
        self.forward = self.backward = 0

    def __torch_dispatch__(self, func: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
        name = func.overloadpacket.__name__
        self.forward += name == "_log_softmax"
        self.backward += name == "_log_softmax_backward_data"
        return func(*args, **(kwargs or {}))


def test_the_log_softmax_of_the_same_logits_is_one_node() -> None:
    terms = [TERMS[0], TERMS[1], {"name": "b", "loss": "brier", "inputs": TERMS[0]["inputs"]}]
    objective = objective_of(BODY | {"terms": terms})
    with Softmaxes() as counted:
        compute_objective(objective)
    assert (counted.forward, counted.backward) == (1, 1)


def test_only_wanted_gradients_come_back() -> None:
    assert computed(BODY | {"wrt": ["b", "w"]}).gradients.keys() == {"b", "w/a", "w/c"}
    assert computed(BODY | {"outputs": ["value"]}).gradients == {}
    got = computed(BODY | {"wrt": ["z"]})
    torch.testing.assert_close(got.gradients["z"], computed(BODY).gradients["z"])


def test_a_tensor_that_one_term_differentiates_is_constant_in_another() -> None:
    terms = [
        {"name": "a", "loss": "cross_entropy", "inputs": {"logits": "z", "labels": "y"}},
        {"name": "b", "loss": "binary_cross_entropy_with_logits",
         "inputs": {"logits": "teacher", "targets": "p"}},
        {"name": "c", "loss": "l1", "inputs": {"prediction": "p", "target": "teacher"}},
    ]  # fmt: skip
    body = {"tensors": TENSORS | {"p": [[0.25] * 4] * 7}, "terms": terms, "dtype": "float64"}
    got = computed(body)
    torch.testing.assert_close(got.gradients["p"], (0.25 - torch.tensor(
        TENSORS["teacher"], dtype=torch.float64)).sign() / 28)  # fmt: skip


def test_float32_by_kernels_is_near_float64_by_the_graph() -> None:
    wide, narrow = computed(BODY), computed(BODY | {"dtype": "float32"})
    assert narrow.value == pytest.approx(wide.value, rel=1e-5)
    for name, x in narrow.gradients.items():
        assert x.dtype == torch.float32
        torch.testing.assert_close(x.double(), wide.gradients[name], rtol=1e-4, atol=1e-5)


def test_gradients_come_in_the_dtype_of_their_tensor_or_the_one_that_is_asked_for() -> None:
    tensors = {"z": Z.to(torch.float16), "y": torch.tensor(TENSORS["y"]), "t": Z.float()}
    terms = [TERMS[0], {"loss": "mse", "inputs": {"prediction": "z", "target": "t"}}]
    for asked, dtype in ((None, torch.float16), ("float64", torch.float64)):
        message = Message(tensors, {"terms": terms, "wrt": ["z"], "gradient_dtype": asked})
        got = compute_objective(parse_objective(message, most_terms=9, most_elements=999))
        assert got.gradients["z"].dtype == dtype


@pytest.mark.parametrize("axis", [1, -1])
def test_classes_may_be_on_another_axis(axis: int) -> None:
    dense = torch.randn(2, 3, 5, generator=DRAW, dtype=torch.float64)
    given = dense if axis == 1 else dense.movedim(1, -1).contiguous()
    labels = torch.randint(3, (2, 5), generator=DRAW)
    terms = [{"loss": "cross_entropy", "inputs": {"logits": "x", "labels": "l"},
              "class_axis": axis}] * 2  # fmt: skip
    message = Message({"x": given, "l": labels}, {"terms": terms})
    got = compute_objective(parse_objective(message, most_terms=9, most_elements=999))
    leaf = dense.clone().requires_grad_()
    (2 * torch.nn.functional.cross_entropy(leaf, labels)).backward()
    found = got.gradients["x"] if axis == 1 else got.gradients["x"].movedim(-1, 1)
    torch.testing.assert_close(found, leaf.grad)


def test_a_mined_term_counts_its_hardest_items_only() -> None:
    mined = TERMS[0] | {"mining": {"method": "ohem", "keep_count": 2}, "row_weights": "v"}
    got = computed(BODY | {"terms": [mined]})
    leaf = Z.clone().requires_grad_()
    each = torch.nn.functional.cross_entropy(leaf, torch.tensor(TENSORS["y"]), reduction="none")
    weights = torch.tensor(TENSORS["v"], dtype=torch.float64)
    counted = torch.where(weights > 0, each.detach(), -1.0)
    kept = counted.topk(2).indices
    value = (each * weights)[kept].sum() / weights[kept].sum()
    value.backward()
    assert got.value == pytest.approx(value.item())
    torch.testing.assert_close(got.gradients["z"], leaf.grad)


@pytest.mark.parametrize("loss", ["cross_entropy", "focal"])
def test_hidden_states_and_a_classifier_make_the_logits_of_a_term(loss: str) -> None:
    hidden = torch.randn(7, 3, generator=DRAW, dtype=torch.float64)
    classifier = torch.randn(4, 3, generator=DRAW, dtype=torch.float64)
    inputs = {"hidden": "h", "classifier": "c", "labels": "y"}
    tensors = {"h": hidden.tolist(), "c": classifier.tolist(), "y": TENSORS["y"]}
    terms = [{"name": "a", "loss": loss, "inputs": inputs, "rows": "y != 2", "weight": 0.5},
             {"name": "b", "loss": "l2_penalty", "inputs": {"weights": "c"}}]  # fmt: skip
    got = computed({"tensors": tensors, "terms": terms, "dtype": "float64"})
    h, c = hidden.clone().requires_grad_(), classifier.clone().requires_grad_()
    y = torch.tensor(TENSORS["y"])
    spec = CATALOG[loss]
    values = spec.fn(logits=h[y != 2] @ c.T, labels=y[y != 2], params=spec.params())
    (0.5 * values.mean() + c.square().sum()).backward()
    for name, x in (("h", h), ("c", c)):
        torch.testing.assert_close(got.gradients[name], x.grad, rtol=1e-10, atol=1e-10)


def test_terms_too_large_for_memory_are_computed_in_blocks() -> None:
    objective = objective_of(BODY)
    blocks = compute_objective(objective, Bench(block_bytes=1))
    whole = compute_objective(objective)
    assert blocks.value == pytest.approx(whole.value, rel=1e-12)
    for name, x in whole.gradients.items():
        torch.testing.assert_close(blocks.gradients[name], x, rtol=1e-12, atol=1e-12)


def test_a_device_s_lane_gives_the_same() -> None:
    objective = objective_of(BODY | {"outputs": OUTPUTS})
    got = compute_objective(objective, Bench(lane=HostLane()))
    for name, x in compute_objective(objective).gradients.items():
        torch.testing.assert_close(got.gradients[name], x, rtol=1e-12, atol=1e-12)


def test_a_weight_of_0_leaves_a_term_out_even_where_it_is_infinite() -> None:
    tensors = {"z": [[0.0, "-Infinity"], [1.0, 0.0]], "y": [1, 0]}
    term = {"loss": "cross_entropy", "inputs": {"logits": "z", "labels": "y"}}
    got = computed({"tensors": tensors, "terms": [term | {"weight": 0.0}]})
    assert got.value == 0.0 and not got.gradients["z"].any()
    infinite = computed({"tensors": tensors, "terms": [term], "dtype": "float64"})
    assert [each.code for each in infinite.warnings] == ["nonfinite_value"]


def test_every_fault_of_a_value_has_its_term_s_place() -> None:
    tensors = TENSORS | {"bad": [0, 9, 0, 0, 0, 0, 0]}
    bad = {"loss": "cross_entropy", "inputs": {"logits": "z", "labels": "bad"}}
    for dtype in ("float32", "float64"):
        body = BODY | {"tensors": tensors, "terms": [TERMS[0], TERMS[1], bad], "dtype": dtype}
        with pytest.raises(LossdError) as caught:
            computed(body)
        assert caught.value.at == "terms[2].inputs.labels"
    chosen = BODY | {"tensors": tensors, "terms": [bad | {"rows": "bad < 4"}]}
    assert computed(chosen).results["0"].count == 6  # what is not chosen does not matter


def test_the_method_s_weights_go_over_those_of_the_terms() -> None:
    body = BODY | {"wrt": ["z"], "balance": {"method": "pcgrad"}}
    got = computed(body | {"outputs": ["gradients", "term_gradients"]})
    assert got.balancing is not None and got.balancing.weights is not None
    assert got.balancing.weights.keys() == {"ce", "focal", "some", "kl", "pairs"}
    total = torch.zeros_like(Z)
    for name, weight in got.balancing.weights.items():
        assert got.weights[name] == weight * FIXED[name]
        total += got.own[name]["z"] * got.weights[name]
    torch.testing.assert_close(got.gradients["z"], total)
    assert got.weights["l2"] == FIXED["l2"]
    alone = computed(body)  # without looking at the terms
    torch.testing.assert_close(alone.gradients["z"], total)


@pytest.mark.parametrize("method", ["graddrop", "gradvac"])
def test_a_method_without_weights_gives_the_direction_of_what_is_shared(method: str) -> None:
    body = BODY | {"balance": {"method": method, "shared": ["z"], "seed": 3}, "wrt": ["z", "b"]}
    got, again = computed(body), computed(body)
    assert torch.equal(got.gradients["z"], again.gradients["z"])
    torch.testing.assert_close(got.gradients["b"], computed(BODY).gradients["b"])
    if method == "graddrop":
        assert got.balancing is not None and got.balancing.weights is None
        assert not torch.allclose(got.gradients["z"], computed(BODY).gradients["z"])


def test_out_of_memory_is_this_request_s() -> None:
    engine = Engine("cpu", lanes=1, threads=1)

    def greedy(bench: Bench) -> None:
        raise torch.OutOfMemoryError("the device is full")

    async def run() -> Any:
        with pytest.raises(OutOfMemory):
            await engine.run(greedy, timeout_s=1.0)
        return await engine.run(
            lambda bench: compute_objective(objective_of(BODY), bench), timeout_s=60.0
        )

    assert asyncio.run(run()).value == computed(BODY).value
    engine.close()


@pytest.mark.parametrize(
    "dtype",
    [torch.bool, torch.int8, torch.uint8, torch.uint16, torch.uint32, torch.uint64,
     torch.float8_e4m3fn, torch.float8_e5m2, torch.bfloat16, torch.float16],
    ids=str,
)  # fmt: skip
def test_rows_are_taken_of_tensors_of_every_dtype(dtype: torch.dtype) -> None:
    tensors = {"z": Z[:3], "y": torch.tensor([1, 0, 1]).to(dtype), "p": torch.ones(3, 4).to(dtype)}
    term = {"loss": "mse", "inputs": {"prediction": "z", "target": "p"}, "rows": "y >= 1"}
    message = Message(tensors, {"terms": [term], "wrt": ["z"]})
    got = compute_objective(parse_objective(message, most_terms=9, most_elements=999))
    assert got.value == pytest.approx((Z[[0, 2]] - 1).square().mean().item())
    assert not got.gradients["z"][1].any() and got.gradients["z"][2].all()


@pytest.mark.parametrize("dtype", ["float32", "float64"])
def test_weights_beyond_what_a_dtype_holds_make_no_bug(dtype: str) -> None:
    terms = [TERMS[0] | {"name": name, "weight": 1e308} for name in "abc"]
    got = computed(BODY | {"terms": terms, "dtype": dtype, "outputs": OUTPUTS})
    assert got.value == float("inf") and not got.gradients["z"].isnan().any()
    assert got.gradients["z"].isinf().any() == (dtype == "float32")
    codes = [each.code for each in got.warnings]
    assert codes == ["nonfinite_value", *["nonfinite_gradient"] * (dtype == "float32")]


def test_the_state_of_chosen_rows_comes_back_whole() -> None:
    before = [[0.5, 0.5], [0.25, 0.75], [0.5, 0.5]]
    tensors = {"z": [[2.0, 0.5], [0.1, 1.2], [0.4, -0.2]], "y": [0, 1, 1], "p": before}
    term = {
        "name": "elr",
        "loss": "early_learning_regularization",
        "inputs": {"logits": "z", "labels": "y", "running_probabilities": "p"},
    }
    all_rows = computed({"tensors": tensors, "terms": [term], "outputs": ["value"]})
    some = {"tensors": tensors, "terms": [term | {"rows": "y > 0"}], "outputs": ["value"]}
    objective = objective_of(some)
    message = to_messages(objective, compute_objective(objective))[1]["elr"]
    state = message.tensors["state.running_probabilities"]
    whole = all_rows.results["elr"].extras["state.running_probabilities"]
    assert torch.equal(state[0], torch.tensor(before[0])) and torch.equal(state[1:], whole[1:])


def test_a_tensor_named_like_a_group_is_refused() -> None:
    tensors = {"a": [1.0], "a/b": [2.0], "t": [0.0]}
    term = {"loss": "mse", "inputs": {"prediction": "a", "target": "t"}}
    with pytest.raises(BadOption) as caught:
        computed({"tensors": tensors, "terms": [term]})
    assert caught.value.at == "tensors.a"


def test_an_objective_of_nothing_has_a_value_and_empty_gradients() -> None:
    tensors = {"z": [], "y": []}
    got = computed({"tensors": tensors, "terms": TERMS[:1], "outputs": OUTPUTS})
    assert got.value == 0.0 and got.gradients["z"].shape == (0,)
