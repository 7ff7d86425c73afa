"""Several terms over tensors sent once: one value, one gradient, in every format, or a clear no."""

import json
from typing import Any

import httpx
import pytest
import torch
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from conftest import running
from lossd.settings import Settings
from lossd.wire import CODECS, Message

PATH = "/v1/objectives"
TENSORS: dict[str, Any] = {
    "z": [[2.0, 0.5, -1.0], [0.1, 1.2, 0.3], [0.4, 0.2, 0.9]],
    "y": [0, 2, 1],
    "b": [[1.0, 2.0], [0.5, -1.0], [0.0, 3.0]],
    "t": [[0.0, 0.0], [1.0, 0.5], [2.0, 0.0]],
    "v": [1.0, 2.0, 0.5],
    "w": {"a": [1.0, -2.0], "c": [[3.0]]},
}
CLS: dict[str, Any] = {
    "name": "cls",
    "loss": "cross_entropy",
    "inputs": {"logits": "z", "labels": "y"},
}
BOX: dict[str, Any] = {
    "name": "box",
    "loss": "smooth_l1",
    "inputs": {"prediction": "b", "target": "t"},
    "rows": "y > 0",
    "weight": {"schedule": "cosine", "from": 0.1, "to": 1.0, "steps": 10},
}
FOCAL: dict[str, Any] = {
    "name": "focal",
    "loss": "focal",
    "inputs": {"logits": "z", "labels": "y"},
    "weight": {"schedule": "loss_ratio", "of": "cls", "ratio": 0.5},
}
DECAY: dict[str, Any] = {
    "name": "decay",
    "loss": "l2_penalty",
    "inputs": {"weights": "w"},
    "weight": 1e-4,
}
ALL = ["value", "gradients", "norms", "shares", "cosines", "rows", "term_gradients"]
TERMS = [CLS, BOX, FOCAL, DECAY]
BINARY = [codec for name, codec in CODECS.items() if name != "application/json"]


def post(http: httpx.Client, *terms: Any, **fields: Any) -> Any:
    reply = http.post(PATH, json={"tensors": TENSORS, "terms": list(terms), "step": 5} | fields)
    assert reply.status_code == 200, reply.text
    return reply.json()


def test_a_term_has_the_answer_of_a_call_of_its_own(http: httpx.Client) -> None:
    got = post(http, *TERMS, outputs=ALL)
    inputs = {"logits": TENSORS["z"], "labels": TENSORS["y"]}
    want = http.post("/v1/losses/cross_entropy", json={"inputs": inputs}).json()
    cls = got["terms"]["cls"]
    for key in ("loss", "params", "value", "sum", "denominator", "count", "warnings"):
        assert cls[key] == want[key]
    torch.testing.assert_close(
        torch.tensor(cls["gradients"]["z"]), torch.tensor(want["gradients"]["logits"])
    )
    assert got["value"] == pytest.approx(
        sum(each["weighted_value"] for each in got["terms"].values())
    )
    assert got["terms"]["box"]["selected"] == [1, 2] and got["terms"]["box"]["count"] == 4
    assert got["terms"]["box"]["weight"] == pytest.approx(0.55) and got["step"] == 5
    focal = got["terms"]["focal"]
    assert focal["weighted_value"] == pytest.approx(0.5 * cls["value"])
    assert got["state"]["weights"]["focal"]["other"] == cls["value"]
    assert got["gradients"].keys() == {"z", "b", "t", "w"}
    assert got["gradients"]["w"]["a"] == [0.0002, -0.0004]
    assert got["gradients"]["w"]["c"][0] == pytest.approx([0.0006])


def test_only_what_is_asked_for_comes_back(http: httpx.Client) -> None:
    got = post(http, *TERMS, outputs=["value"])
    assert "gradients" not in got and "cosines" not in got and "conflicts" not in got
    assert not {"rows", "norms", "gradients", "selected"} & got["terms"]["box"].keys()
    got = post(http, *TERMS, wrt=["w", "z"])
    assert got["gradients"].keys() == {"w", "z"}
    assert post(http, *TERMS, wrt=["w/a"])["gradients"] == {"w": {"a": [0.0002, -0.0004]}}


def test_terms_that_pull_apart_are_named(http: httpx.Client) -> None:
    toward = {"loss": "mse", "inputs": {"prediction": "v", "target": "up"}, "name": "up"}
    away = {"loss": "mse", "inputs": {"prediction": "v", "target": "down"}, "name": "down"}
    tensors = {"v": [0.0, 0.0], "up": [1.0, 1.0], "down": [-1.0, 0.0]}
    got = post(http, toward, away, tensors=tensors, wrt=["v"], outputs=["cosines", "shares"])
    cosine = -(0.5**0.5)
    assert got["cosine_terms"] == {"v": ["up", "down"]}
    assert got["cosines"]["v"][0][1] == pytest.approx(cosine)
    (pair,) = got["conflicts"]
    assert pair == {"tensor": "v", "terms": ["up", "down"], "cosine": pytest.approx(cosine)}
    shares = [got["terms"][name]["shares"]["v"] for name in ("up", "down")]
    assert sum(shares) == pytest.approx(1.0) and shares[0] > shares[1]


@pytest.mark.parametrize("codec", BINARY, ids=lambda codec: codec.media_type)
def test_a_binary_format_carries_what_json_does(http: httpx.Client, codec: Any) -> None:
    empty = CLS | {"name": "empty", "rows": "y > 7"}
    terms = [*TERMS, empty]
    want = post(http, *terms, outputs=ALL)
    flat = {key: x for key, x in TENSORS.items() if key != "w"}
    flat |= {f"w/{key}": x for key, x in TENSORS["w"].items()}
    tensors = {key: torch.tensor(x) for key, x in flat.items()}
    fields = {"terms": terms, "step": 5, "outputs": ALL}
    body = codec.encode(Message(tensors, fields))
    reply = http.post(PATH, content=body, headers={"content-type": codec.media_type})
    assert reply.status_code == 200, reply.text
    assert reply.headers["content-type"] == codec.media_type
    got = codec.decode(reply.content, 10**6)
    for key in ("step", "state", "warnings", "conflicts", "cosine_terms"):
        assert got.fields[key] == want[key]
    numbers = dict(got.fields) | {key: x.tolist() for key, x in got.tensors.items()}
    assert numbers["value"] == want["value"]
    for key, x in flat.items():
        if key != "y" and key != "v":
            head, _, member = key.partition("/")
            there = want["gradients"][head][member] if member else want["gradients"][head]
            assert torch.equal(got.tensors[f"gradients.{key}"], torch.tensor(there)), (key, x)
    for name, term in want["terms"].items():
        assert got.fields["terms"][name]["loss"] == term["loss"]
        for key in ("sum", "denominator", "count", "weight", "weighted_value", "value"):
            assert numbers.get(f"terms.{name}.{key}") == term[key], (name, key)
        for holder in ("norms", "shares"):
            for tensor, x in term[holder].items():
                if not isinstance(x, dict):
                    assert numbers[f"terms.{name}.{holder}.{tensor}"] == x
        assert torch.tensor(numbers[f"terms.{name}.rows"]).shape == torch.tensor(term["rows"]).shape
    as_json = {"content-type": codec.media_type, "accept": "application/json"}
    assert http.post(PATH, content=body, headers=as_json).json() == want


def test_a_term_of_no_rows_adds_nothing_and_says_so(http: httpx.Client) -> None:
    got = post(http, CLS, BOX | {"rows": "y > 5"})
    box = got["terms"]["box"]
    assert box["value"] is None and box["weighted_value"] == 0 and box["count"] == 0
    assert [each["code"] for each in box["warnings"]] == ["zero_denominator"]
    assert got["value"] == got["terms"]["cls"]["value"]
    assert got["gradients"]["b"] == [[0, 0]] * 3


def test_what_a_step_answered_goes_into_the_next(http: httpx.Client) -> None:
    first = post(http, CLS, FOCAL)
    weight = FOCAL["weight"] | {"state": first["state"]["weights"]["focal"]}
    tensors = TENSORS | {"z": [[5.0, 0.0, 0.0]] * 3}
    again = [post(http, CLS, FOCAL | {"weight": weight}, tensors=tensors) for _ in range(2)]
    assert again[0] == again[1]  # a retry is safe
    state, before = again[0]["state"]["weights"]["focal"], first["state"]["weights"]["focal"]
    value = again[0]["terms"]["cls"]["value"]
    assert state["other"] == pytest.approx(0.9 * before["other"] + 0.1 * value)
    ratio = 0.5 * state["other"] / state["term"]
    assert again[0]["terms"]["focal"]["weight"] == pytest.approx(ratio)


def test_terms_are_balanced_and_the_certificate_comes_back(http: httpx.Client) -> None:
    got = post(http, *TERMS, balance={"method": "pcgrad"})
    assert got["balance"]["weights"].keys() == {"cls", "focal"}  # they share z
    assert got["balance"]["certificate"]["smallest_inner_product"] > 0
    first = post(http, *TERMS, balance={"method": "dwa"})
    state = first["state"]["balance"]
    again = post(http, *TERMS, balance={"method": "dwa", "state": state})
    assert again["state"]["balance"]["step"] == state["step"] + 1


def test_a_loss_s_own_state_comes_back_below_its_term(http: httpx.Client) -> None:
    term = {"name": "g", "loss": "gradient_harmonized", "params": {"bins": 3, "momentum": 0.5},
            "inputs": {"logits": "x", "targets": "u", "counts": "n"}}  # fmt: skip
    tensors = {"x": [[1.0, -1.0]], "u": [[1.0, 0.0]], "n": [1.0, 0.0, 2.0]}
    got = post(http, term, tensors=tensors)
    assert got["terms"]["g"]["state"]["counts"] == [1.5, 0.0, 1.0]


BAD: list[tuple[str, Any, str, str]] = [
    ("no term", 7, "bad_option", "terms[1]"),
    ("no loss", {"inputs": CLS["inputs"]}, "bad_option", "terms[1].loss"),
    ("unknown loss", CLS | {"loss": "cros_entropy"}, "unknown_loss", "terms[1].loss"),
    ("unknown field", CLS | {"sweep": [{}]}, "bad_option", "terms[1].sweep"),
    ("a cotangent", CLS | {"cotangent": "v"}, "bad_option", "terms[1].cotangent"),
    ("no reduction", CLS | {"reduction": "none"}, "bad_option", "terms[1].reduction"),
    ("inputs in a list", CLS | {"inputs": ["z"]}, "bad_option", "terms[1].inputs"),
    ("unknown tensor", BOX | {"inputs": {"prediction": "b", "target": "q"}}, "missing_input",
     "terms[1].inputs.target"),
    ("missing input", CLS | {"inputs": {"logits": "z"}}, "missing_input",
     "terms[1].inputs.labels"),
    ("wrong shape", CLS | {"inputs": {"logits": "v", "labels": "y"}}, "wrong_shape",
     "terms[1].inputs.logits"),
    ("float labels", CLS | {"inputs": {"logits": "z", "labels": "v"}}, "wrong_dtype",
     "terms[1].inputs.labels"),
    ("a bad label", CLS | {"inputs": {"logits": "z", "labels": "far"}}, "out_of_range",
     "terms[1].inputs.labels"),
    ("NaN", CLS | {"inputs": {"logits": "nan", "labels": "y"}}, "not_finite",
     "terms[1].inputs.logits"),
    ("a bad parameter", FOCAL | {"params": {"gamma": -1}}, "bad_params",
     "terms[1].params.gamma"),
    ("a schedule beyond the parameter", FOCAL | {"params": {"gamma": {
        "schedule": "constant", "value": -1.0}}}, "bad_params", "terms[1].params.gamma"),
    ("a bad schedule of a parameter", FOCAL | {"params": {"gamma": {
        "schedule": "linear", "from": 0.0, "steps": 3}}}, "bad_params",
     "terms[1].params.gamma.end"),
    ("a controller of a parameter", FOCAL | {"params": {"gamma": {"schedule": "loss_ratio"}}},
     "bad_option", "terms[1].params.gamma.schedule"),
    ("a weight in words", CLS | {"weight": "1"}, "bad_option", "terms[1].weight"),
    ("a weight that is true", CLS | {"weight": True}, "bad_option", "terms[1].weight"),
    ("no schedule is named", CLS | {"weight": {"value": 1}}, "bad_option",
     "terms[1].weight.schedule"),
    ("an unknown schedule", CLS | {"weight": {"schedule": "cosin"}}, "bad_option",
     "terms[1].weight.schedule"),
    ("a schedule of a list", CLS | {"weight": {"schedule": ["cosine"]}}, "bad_option",
     "terms[1].weight.schedule"),
    ("a schedule's bad number", CLS | {"weight": {"schedule": "linear", "from": 0, "to": "x",
     "steps": 9}}, "bad_params", "terms[1].weight.to"),
    ("both names of a number", CLS | {"weight": {"schedule": "linear", "from": 0, "start": 0,
     "to": 1, "steps": 9}}, "bad_option", "terms[1].weight.from"),
    ("a schedule that overflows", CLS | {"weight": {"schedule": "exponential", "start": 1.0,
     "rate": 1e6, "steps": 1}}, "bad_option", "terms[1].weight.schedule"),
    ("a ratio of itself", FOCAL | {"weight": FOCAL["weight"] | {"of": "bad"}}, "bad_option",
     "terms[1].weight.of"),
    ("a ratio of nobody", FOCAL | {"weight": FOCAL["weight"] | {"of": "q"}}, "bad_option",
     "terms[1].weight.of"),
    ("a bad state", FOCAL | {"weight": FOCAL["weight"] | {"state": {"term": -1.0}}}, "bad_params",
     "terms[1].weight.state.term"),
    ("a state in a list", FOCAL | {"weight": FOCAL["weight"] | {"state": [1]}}, "bad_params",
     "terms[1].weight.state"),
    ("rows in a list", BOX | {"rows": [1, 2]}, "bad_option", "terms[1].rows"),
    ("rows that do not parse", BOX | {"rows": "y >"}, "bad_option", "terms[1].rows"),
    ("rows of code", BOX | {"rows": "__import__('os')"}, "bad_option", "terms[1].rows"),
    ("rows of a matrix", BOX | {"rows": "z > 0"}, "wrong_shape", "terms[1].rows"),
    ("rows of NaN", BOX | {"rows": "hole > 0"}, "not_finite", "terms[1].rows"),
    ("rows of two lengths", BOX | {"rows": "y > 0 or short > 0"}, "wrong_shape", "terms[1].rows"),
    ("rows of other rows", BOX | {"rows": "short > 0"}, "wrong_shape",
     "terms[1].inputs.prediction"),
    ("rows where there are none", DECAY | {"rows": "y > 0"}, "bad_option", "terms[1].rows"),
    ("row weights that are not there", CLS | {"row_weights": "q"}, "missing_input",
     "terms[1].row_weights"),
    ("negative row weights", CLS | {"row_weights": "minus"}, "bad_option",
     "terms[1].row_weights"),
    ("bad mining", CLS | {"mining": {"method": "ohem"}}, "bad_option", "terms[1].mining"),
]  # fmt: skip
MORE: dict[str, Any] = {
    "far": [0, 3, 1], "nan": [["NaN", 1, 0], [0, 1, 2], [0, 0, 0]], "hole": [1.0, "NaN", 0.0],
    "short": [1.0, 2.0], "minus": [-1.0, 1.0, 1.0],
}  # fmt: skip


@pytest.mark.parametrize(
    ("term", "code", "at"), [each[1:] for each in BAD], ids=[each[0] for each in BAD]
)
def test_a_mistake_is_named_with_its_place(
    http: httpx.Client, term: Any, code: str, at: str
) -> None:
    if isinstance(term, dict):
        term = term | {"name": "bad"}
    body = {"tensors": TENSORS | MORE, "terms": [CLS, term], "step": 1000}
    reply = http.post(PATH, json=body)
    got = reply.json()
    assert (got["code"], got["at"]) == (code, at), got
    assert 400 <= reply.status_code < 500
    assert reply.headers["content-type"] == "application/problem+json"


WHOLE: list[tuple[str, Any, int, str]] = [
    ("no terms", {"terms": []}, 422, "terms"),
    ("terms are an object", {"terms": {"a": CLS}}, 422, "terms"),
    ("two of one name", {"terms": [CLS, CLS]}, 422, "terms[1].name"),
    ("a dot in a name", {"terms": [CLS | {"name": "a.b"}]}, 422, "terms[0].name"),
    ("too many terms", {"terms": [CLS] * 1025}, 413, "terms"),
    ("an unknown field", {"terms": [CLS], "calls": []}, 422, "calls"),
    ("an unknown output", {"terms": [CLS], "outputs": ["grads"]}, 422, "outputs[0]"),
    ("a negative step", {"terms": [CLS], "step": -1}, 422, "step"),
    ("half a step", {"terms": [CLS], "step": 0.5}, 422, "step"),
    ("a schedule without a step", {"terms": [BOX]}, 422, "terms[0].weight.schedule"),
    ("a gradient of labels", {"terms": [CLS], "wrt": ["y"]}, 422, "wrt[0]"),
    ("a gradient of nothing", {"terms": [CLS], "wrt": ["z", "q"]}, 422, "wrt[1]"),
    ("wrt of numbers", {"terms": [CLS], "wrt": [1]}, 422, "wrt[0]"),
    ("a balance in a word", {"terms": [CLS], "balance": "pcgrad"}, 422, "balance"),
    ("no method", {"terms": [CLS], "balance": {}}, 422, "balance.method"),
    ("an unknown method", {"terms": [CLS], "balance": {"method": "pcgrd"}}, 422, "balance.method"),
    ("nothing is shared", {"terms": [CLS], "balance": {"method": "pcgrad"}}, 422, "balance.shared"),
    ("labels are shared", {"terms": [CLS], "balance": {"method": "pcgrad", "shared": ["y"]}}, 422,
     "balance.shared[0]"),
    ("a term that is not there", {"terms": [CLS], "balance": {"method": "equal", "terms": ["a"]}},
     422, "balance.terms[0]"),
    ("a method's bad parameter", {"terms": [CLS], "balance": {"method": "cagrad", "shared": ["z"],
     "params": {"c": "x"}}}, 422, "balance.params.c"),
    ("another method's state", {"terms": [CLS], "balance": {"method": "dwa", "state": {
     "method": "famo"}}}, 422, "balance.state.method"),
    ("a state of a term that is none", {"terms": [5], "state": {"weights": {"0": {}}}}, 422,
     "state.weights.0"),
    ("tensors are a list", {"tensors": [], "terms": [CLS]}, 400, "tensors"),
    ("inputs for tensors", {"inputs": TENSORS, "terms": [CLS]}, 422, "inputs"),
]  # fmt: skip


@pytest.mark.parametrize(
    ("body", "status", "at"), [x[1:] for x in WHOLE], ids=[x[0] for x in WHOLE]
)
def test_what_is_no_objective_is_refused(
    http: httpx.Client, body: Any, status: int, at: str
) -> None:
    reply = http.post(PATH, json={"tensors": TENSORS} | body)
    assert reply.status_code == status, reply.text
    assert reply.json()["at"] == at, reply.text


@pytest.mark.parametrize(
    ("content", "media", "status"),
    [
        (b"", "application/json", 400),
        (b"[]", "application/json", 400),
        (b"\x05" * 8, "application/vnd.safetensors", 400),
        (b"PK", "application/x-npz", 400),
        (b"{}", "text/plain", 415),
        (b"[" * 100_000, "application/json", 400),
    ],
)
def test_bytes_that_are_no_message_are_refused(
    http: httpx.Client, content: bytes, media: str, status: int
) -> None:
    reply = http.post(PATH, content=content, headers={"content-type": media})
    assert reply.status_code == status and reply.json()["status"] == status
    assert http.post(f"{PATH}/fast_rcnn", json={}).status_code == 405


def test_work_is_bounded_over_all_terms() -> None:
    """A small body must not ask for more than its share by naming one tensor many times."""
    limited = Settings(threads=1, max_batch_elements=100, max_batch_calls=9, max_elements=50)
    with running(limited) as url, httpx.Client(base_url=url) as http:
        terms = [CLS | {"name": f"t{i}"} for i in range(10)]
        assert post(http, *terms[:8])["terms"].keys() == {f"t{i}" for i in range(8)}
        for more, at, setting in (
            ({"terms": terms[:9]}, "terms[8]", "LOSSD_MAX_BATCH_ELEMENTS"),
            ({"terms": terms}, "terms", "LOSSD_MAX_BATCH_CALLS"),
            ({"terms": [CLS | {"rows": " or ".join(["y > 0"] * 40)}]}, "terms[0].rows",
             "LOSSD_MAX_BATCH_ELEMENTS"),
            ({"terms": [{"loss": "nt_xent", "inputs": {"left": "e", "right": "e"}}],
              "tensors": {"e": [[1.0]] * 4}}, "terms[0].inputs", "LOSSD_MAX_ELEMENTS"),
        ):  # fmt: skip
            reply = http.post(PATH, json={"tensors": TENSORS} | more)
            assert reply.status_code == 413 and setting in reply.text, reply.text
            assert reply.json()["at"] == at


words = st.one_of(
    st.none(),
    st.booleans(),
    st.integers(-3, 3),
    st.floats(),
    st.text(max_size=8),
    st.sampled_from(["z", "y", "v", "focal", "mse", "cross_entropy", "y > 0", "not y == 1"]),
)
anything = st.recursive(
    words,
    lambda inner: (
        st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=4), inner, max_size=3)
    ),
    max_leaves=6,
)
hostile_terms = st.fixed_dictionaries(
    {},
    optional={
        "name": words,
        "loss": words,
        "params": anything,
        "inputs": st.one_of(anything, st.just(CLS["inputs"])),
        "rows": words,
        "row_weights": words,
        "mining": anything,
        "reduction": words,
        "weight": anything | st.fixed_dictionaries({"schedule": st.just("linear"), "to": words}),
    },
)


@settings(max_examples=150, deadline=None, suppress_health_check=list(HealthCheck))
@given(
    terms=st.lists(hostile_terms | anything, max_size=3) | anything,
    fields=st.dictionaries(
        st.sampled_from(["step", "outputs", "wrt", "dtype", "state", "balance"]), anything
    ),
)
def test_no_objective_makes_a_bug(http: httpx.Client, terms: Any, fields: Any) -> None:
    listed = [*terms, CLS] if isinstance(terms, list) else terms
    body = {"tensors": TENSORS, "terms": listed, **fields}
    content = json.dumps(body).replace("Infinity", "1e999").replace("NaN", "null").encode()
    reply = http.post(PATH, content=content, headers={"content-type": "application/json"})
    assert reply.status_code in (200, 400, 404, 413, 422), reply.text
