"""Several calls of the same tensors in one request: each has the answer that it gets alone."""

import json
from typing import Any

import httpx
import pytest
import torch
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from conftest import running
from lossd.losses import CATALOG
from lossd.settings import Settings
from lossd.wire import CODECS, Message

PATH = "/v1/losses:batch"
TENSORS = {"z": [[2.0, 0.5, -1.0], [0.1, 1.2, 0.3]], "y": [0, 2], "v": [1.0, 2.0]}
OF_LOGITS = {"logits": "z", "labels": "y"}
GOOD: dict[str, Any] = {"name": "good", "loss": "cross_entropy", "inputs": OF_LOGITS}
SWEEP: dict[str, Any] = {"name": "focal", "loss": "focal", "inputs": OF_LOGITS}
BINARY = [codec for name, codec in CODECS.items() if name != "application/json"]


def post(http: httpx.Client, *calls: Any, **tensors: Any) -> Any:
    reply = http.post(PATH, json={"tensors": TENSORS | tensors, "calls": list(calls)})
    assert reply.status_code == 200, reply.text
    return reply.json()


def alone(http: httpx.Client, loss: str, body: Any) -> Any:
    return http.post(f"/v1/losses/{loss}", json=body).json()


def test_every_example_of_the_catalog_in_one_batch_is_answered_as_alone(http: httpx.Client) -> None:
    tensors: dict[str, Any] = {}
    calls = []
    for name, spec in CATALOG.items():
        tensors |= {f"{name}-{key}": x for key, x in spec.example.inputs.items()}
        calls.append(
            {
                "name": name,
                "loss": name,
                "params": dict(spec.example.params),
                "inputs": {key: f"{name}-{key}" for key in spec.example.inputs},
            }
        )
    got = post(http, *calls, **tensors)
    assert got["problems"] == {}
    for name, spec in CATALOG.items():
        body = {"inputs": dict(spec.example.inputs), "params": dict(spec.example.params)}
        assert got["answers"][name] == alone(http, name, body), name


@pytest.mark.parametrize(
    "more",
    [
        {},
        {"dtype": "float64"},
        {"reduction": "sum"},
        {"reduction": "none", "outputs": ["rows"]},
        {"nonfinite": "propagate"},
        {"gradient_form": "row_norms"},
        {"wrt": ["logits"]},
    ],
    ids=str,
)
def test_options_are_those_of_a_call_alone(http: httpx.Client, more: dict[str, Any]) -> None:
    losses = ("cross_entropy", "brier", "generalized_cross_entropy", "multi_margin")
    got = post(http, *({"name": x, "loss": x, "inputs": OF_LOGITS, **more} for x in losses))
    inputs = {"logits": TENSORS["z"], "labels": TENSORS["y"]}
    assert got["answers"] == {x: alone(http, x, {"inputs": inputs, **more}) for x in losses}


def test_weights_of_rows_and_cotangents_are_tensors_of_the_batch(http: httpx.Client) -> None:
    got = post(
        http, GOOD | {"name": "w", "row_weights": "v"}, GOOD | {"name": "c", "cotangent": "v"}
    )
    inputs = {"logits": TENSORS["z"], "labels": TENSORS["y"]}
    for name, key in (("w", "row_weights"), ("c", "cotangent")):
        body = {"inputs": inputs, key: TENSORS["v"]}
        assert got["answers"][name] == alone(http, "cross_entropy", body)


@pytest.mark.parametrize(
    "inputs",
    [
        {"weights": "w"},
        {"weights": {"a": "w/a", "b": "w/b"}},
        {"weights": {"a": "other", "b": "w/b"}},
    ],
    ids=str,
)
def test_a_group_is_named_or_put_together(http: httpx.Client, inputs: Any) -> None:
    group = {"a": [1.0, 2.0], "b": [[3.0]]}
    got = post(
        http, {"name": "p", "loss": "l2_penalty", "inputs": inputs}, w=group, other=[1.0, 2.0]
    )
    assert got["answers"]["p"] == alone(http, "l2_penalty", {"inputs": {"weights": group}})


def test_a_sweep_is_a_call_per_point(http: httpx.Client) -> None:
    points = [{"gamma": 0.0}, {"gamma": 2.0}, {"gamma": 1.0, "ignore_index": 2}]
    got = post(http, SWEEP | {"params": {"ignore_index": 0}, "sweep": points})
    inputs = {"logits": TENSORS["z"], "labels": TENSORS["y"]}
    want = {
        f"focal[{i}]": alone(
            http, "focal", {"inputs": inputs, "params": {"ignore_index": 0} | each}
        )
        for i, each in enumerate(points)
    }
    assert got == {"answers": want, "problems": {}}


@pytest.mark.parametrize("name", [name for name, x in CATALOG.items() if x.dims_of_params])
def test_a_point_whose_parameter_is_a_size_is_checked_anew(http: httpx.Client, name: str) -> None:
    spec = CATALOG[name]
    call = {"name": "s", "loss": name, "inputs": {key: key for key in spec.example.inputs},
            "params": dict(spec.example.params),
            "sweep": [{}, {key: 50 for key in spec.dims_of_params}, {}]}  # fmt: skip
    got = post(http, call, **spec.example.inputs)
    assert got["answers"].keys() == {"s[0]", "s[2]"}
    assert got["problems"]["s[1]"]["code"] == "wrong_shape"
    body = {"inputs": dict(spec.example.inputs), "params": dict(spec.example.params)}
    assert got["answers"]["s[2]"] == alone(http, name, body)


@pytest.mark.parametrize("codec", BINARY, ids=lambda codec: codec.media_type)
def test_a_binary_format_carries_what_json_does(http: httpx.Client, codec: Any) -> None:
    calls = [
        GOOD | {"outputs": ["value", "rows", "gradients"]},
        SWEEP | {"sweep": [{"gamma": 1.0}, {}]},
        {"name": "p", "loss": "l2_penalty", "inputs": {"weights": "w"}},
        {
            "name": "none",
            "loss": "mse",
            "reduction": "none",
            "inputs": {"prediction": "v", "target": "v"},
        },
        SWEEP | {"name": "bad", "loss": "no"},
    ]
    want = post(http, *calls, w={"a": TENSORS["v"]})
    tensors = {key: torch.tensor(x) for key, x in (TENSORS | {"w/a": TENSORS["v"]}).items()}
    body = codec.encode(Message(tensors, {"calls": calls}))
    reply = http.post(PATH, content=body, headers={"content-type": codec.media_type})
    assert reply.headers["content-type"] == codec.media_type
    got = codec.decode(reply.content, 10**6)
    assert got.fields["problems"] == want["problems"] and want["problems"].keys() == {"bad"}
    numbers = dict(got.fields) | {key: x.tolist() for key, x in got.tensors.items()}
    for name, answer in want["answers"].items():
        for key in ("sum", "denominator", "count", "value"):
            assert numbers.get(f"{name}.{key}") == answer[key]
        said = got.fields["answers"][name]
        assert (said["loss"], said["params"]) == (answer["loss"], answer["params"])
        for key, x in answer.get("gradients", {}).items():
            members = {f"/{k}": v for k, v in x.items()} if isinstance(x, dict) else {"": x}
            for member, each in members.items():
                found = got.tensors[f"{name}.gradients.{key}{member}"]
                assert torch.equal(found, torch.tensor(each))
    assert torch.equal(got.tensors["good.rows"], torch.tensor(want["answers"]["good"]["rows"]))
    as_json = {"content-type": codec.media_type, "accept": "application/json"}
    assert http.post(PATH, content=body, headers=as_json).json() == want


BAD: list[tuple[str, Any, str, str]] = [
    ("unknown loss", GOOD | {"loss": "cros_entropy"}, "unknown_loss", "calls[1].loss"),
    ("no loss", {"inputs": OF_LOGITS}, "bad_option", "calls[1].loss"),
    ("loss is a list", GOOD | {"loss": ["mse"]}, "bad_option", "calls[1].loss"),
    ("no call", 7, "bad_option", "calls[1]"),
    ("null", None, "bad_option", "calls[1]"),
    (
        "unknown tensor",
        GOOD | {"inputs": OF_LOGITS | {"labels": "q"}},
        "missing_input",
        "calls[1].inputs.labels",
    ),
    (
        "numbers in place of a name",
        GOOD | {"inputs": OF_LOGITS | {"labels": [0, 1]}},
        "missing_input",
        "calls[1].inputs.labels",
    ),
    ("inputs are a list", GOOD | {"inputs": ["z"]}, "bad_option", "calls[1].inputs"),
    (
        "input is missing",
        GOOD | {"inputs": {"logits": "z"}},
        "missing_input",
        "calls[1].inputs.labels",
    ),
    (
        "unknown input",
        GOOD | {"inputs": OF_LOGITS | {"x": "z"}},
        "unexpected_input",
        "calls[1].inputs.x",
    ),
    (
        "wrong shape",
        GOOD | {"inputs": {"logits": "v", "labels": "y"}},
        "wrong_shape",
        "calls[1].inputs.logits",
    ),
    (
        "float labels",
        GOOD | {"inputs": {"logits": "z", "labels": "v"}},
        "wrong_dtype",
        "calls[1].inputs.labels",
    ),
    (
        "label out of range",
        GOOD | {"inputs": {"logits": "z", "labels": "big"}},
        "out_of_range",
        "calls[1].inputs.labels",
    ),
    (
        "NaN",
        GOOD | {"inputs": {"logits": "nan", "labels": "y"}},
        "not_finite",
        "calls[1].inputs.logits",
    ),
    (
        "too large for float32",
        GOOD | {"inputs": {"logits": "huge", "labels": "y"}},
        "out_of_range",
        "calls[1].inputs.logits",
    ),
    ("bad parameter", SWEEP | {"params": {"gamma": -1}}, "bad_params", "calls[1].params.gamma"),
    ("params are a list", SWEEP | {"params": [1]}, "bad_params", "calls[1].params"),
    ("unknown option", GOOD | {"redction": "sum"}, "bad_option", "calls[1].redction"),
    (
        "row weights that are not there",
        GOOD | {"row_weights": "q"},
        "missing_input",
        "calls[1].row_weights",
    ),
    ("negative row weights", GOOD | {"row_weights": "minus"}, "bad_option", "calls[1].row_weights"),
    ("a sweep of nothing", SWEEP | {"sweep": []}, "bad_option", "calls[1].sweep"),
    ("a sweep of numbers", SWEEP | {"sweep": [1.0, 2.0]}, "bad_option", "calls[1].sweep"),
    ("a sweep of one object", SWEEP | {"sweep": {"gamma": [1]}}, "bad_option", "calls[1].sweep"),
]
MORE = {
    "big": [0, 3],
    "nan": [["NaN", 1, 0], [0, 1, 2]],
    "huge": [[1e300, 0, 0.5], [0, 1, 2]],
    "minus": [-1.0, 1.0],
}


@pytest.mark.parametrize(
    ("call", "code", "at"), [each[1:] for each in BAD], ids=[x[0] for x in BAD]
)
def test_one_call_s_mistake_is_its_own(http: httpx.Client, call: Any, code: str, at: str) -> None:
    if isinstance(call, dict):
        call = call | {"name": "bad"}
    got = post(http, GOOD, call, GOOD | {"name": "after"}, **MORE)
    assert got["answers"].keys() == {"good", "after"}
    (problem,) = got["problems"].values()
    assert (problem["code"], problem["at"]) == (code, at), problem
    assert problem["type"] == f"urn:lossd:error:{code}" and 400 <= problem["status"] < 500


def test_a_bad_point_of_a_sweep_is_its_own(http: httpx.Client) -> None:
    points = [{"gamma": -1.0}, {"gamma": 1.0}, {"gama": 1.0}, {}]
    got = post(http, SWEEP | {"sweep": points})
    assert got["answers"].keys() == {"focal[1]", "focal[3]"}
    places = {name: each["at"] for name, each in got["problems"].items()}
    assert places == {"focal[0]": "calls[0].sweep[0].gamma", "focal[2]": "calls[0].sweep[2].gama"}
    lost = post(http, SWEEP | {"inputs": {"logits": "z", "labels": "q"}, "sweep": [{}, {}]})
    assert {each["at"] for each in lost["problems"].values()} == {"calls[0].inputs.labels"}
    assert lost["problems"].keys() == {"focal[0]", "focal[1]"}


def test_each_point_of_a_sweep_is_held_to_the_sizes_that_it_names(http: httpx.Client) -> None:
    call = {
        "loss": "gradient_harmonized", "params": {"bins": 3, "momentum": 0.5},
        "inputs": {"logits": "z", "targets": "t", "counts": "c"}, "outputs": ["value", "state"],
        "sweep": [{}, {"bins": 4}, {"momentum": 0.25}],
    }  # fmt: skip
    got = post(http, call, z=[[1.0, -1.0]], t=[[1.0, 0.0]], c=[1.0, 0.0, 2.0])
    assert got["answers"].keys() == {"0[0]", "0[2]"}
    assert got["answers"]["0[0]"]["state"]["counts"] == [1.5, 0.0, 1.0]
    assert got["answers"]["0[2]"]["state"]["counts"] == [1.75, 0.0, 0.5]
    assert got["problems"]["0[1]"]["at"] == "calls[0].inputs.counts"


def test_calls_of_a_batch_may_be_mined(http: httpx.Client) -> None:
    mining = {"mining": {"method": "ohem", "keep_count": 1}, "outputs": ["value", "kept_indices"]}
    got = post(http, GOOD, GOOD | {"name": "mined"} | mining)["answers"]
    assert got["mined"]["denominator"] == 1 and got["good"]["denominator"] > 1
    assert len(got["mined"]["kept_indices"]) == 1


WHOLE: list[tuple[str, Any, int, str]] = [
    ("no calls", {"tensors": TENSORS}, 422, "calls"),
    ("calls are an object", {"tensors": TENSORS, "calls": {"a": GOOD}}, 422, "calls"),
    ("an empty list", {"tensors": TENSORS, "calls": []}, 422, "calls"),
    ("two of one name", {"tensors": TENSORS, "calls": [GOOD, GOOD]}, 422, "calls[1].name"),
    (
        "a name that is a place",
        {
            "tensors": TENSORS,
            "calls": [GOOD, GOOD | {"name": "3"}, GOOD | {"name": "x"}, {"loss": "mse"}],
        },
        422,
        "calls[3].name",
    ),
    (
        "a dot in a name",
        {"tensors": TENSORS, "calls": [GOOD | {"name": "a.b"}]},
        422,
        "calls[0].name",
    ),
    (
        "a name of numbers",
        {"tensors": TENSORS, "calls": [GOOD | {"name": 1}]},
        422,
        "calls[0].name",
    ),
    (
        "a long name",
        {"tensors": TENSORS, "calls": [GOOD | {"name": "a" * 65}]},
        422,
        "calls[0].name",
    ),
    ("an unknown field", {"tensors": TENSORS, "calls": [GOOD], "dtype": "float64"}, 422, "dtype"),
    ("inputs in place of tensors", {"inputs": TENSORS, "calls": [GOOD]}, 422, "inputs"),
    ("ragged tensors", {"tensors": {"z": [[1], [1, 2]]}, "calls": [GOOD]}, 422, "tensors.z[1]"),
    ("tensors are a list", {"tensors": [], "calls": [GOOD]}, 400, "tensors"),
    (
        "too many points",
        {"tensors": TENSORS, "calls": [SWEEP | {"sweep": [{}] * 1025}]},
        413,
        "calls",
    ),
]


@pytest.mark.parametrize(
    ("body", "status", "at"), [x[1:] for x in WHOLE], ids=[x[0] for x in WHOLE]
)
def test_what_is_no_batch_is_refused_whole(
    http: httpx.Client, body: Any, status: int, at: str
) -> None:
    reply = http.post(PATH, json=body)
    assert reply.status_code == status, reply.text
    assert reply.headers["content-type"] == "application/problem+json"
    assert reply.json()["at"] == at


@pytest.mark.parametrize(
    ("content", "media", "status"),
    [
        (b"", "application/json", 400),
        (b"{", "application/json", 400),
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
    assert http.get(PATH).status_code == 405


def test_work_is_bounded_over_all_calls() -> None:
    """A small body must not ask for more than its share by naming one tensor many times."""
    limited = Settings(threads=1, max_batch_elements=60, max_batch_calls=9)
    with running(limited) as url, httpx.Client(base_url=url) as http:
        assert len(post(http, SWEEP | {"sweep": [{}] * 7})["answers"]) == 7  # of 8 elements
        body = {"tensors": TENSORS, "calls": [SWEEP | {"sweep": [{}] * 8}]}
        reply = http.post(PATH, json=body)
        assert reply.status_code == 413 and "LOSSD_MAX_BATCH_ELEMENTS" in reply.text
        body["calls"] = [SWEEP | {"sweep": [{}] * 10}]
        reply = http.post(PATH, json=body)
        assert reply.status_code == 413 and "LOSSD_MAX_BATCH_CALLS" in reply.text


words = st.one_of(
    st.none(),
    st.booleans(),
    st.integers(-3, 3),
    st.floats(allow_nan=False, allow_infinity=False),
    st.text(max_size=5),
    st.sampled_from(["z", "y", "v", "focal", "mse", "cross_entropy"]),
)
anything = st.recursive(
    words,
    lambda inner: (
        st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=4), inner, max_size=3)
    ),
    max_leaves=6,
)
hostile_calls = st.fixed_dictionaries(
    {},
    optional={
        "name": words,
        "loss": words,
        "sweep": anything,
        "params": anything,
        "inputs": st.one_of(
            anything,
            st.just(OF_LOGITS),
            st.dictionaries(st.sampled_from(["logits", "labels", "scores"]), words),
        ),
        "outputs": anything,
        "row_weights": words,
        "cotangent": words,
    },
)


@settings(max_examples=150, deadline=None, suppress_health_check=list(HealthCheck))
@given(calls=st.lists(hostile_calls | anything, max_size=4))
def test_no_batch_makes_a_bug_or_touches_a_good_call(http: httpx.Client, calls: list[Any]) -> None:
    body = {"tensors": TENSORS, "calls": [*calls, GOOD]}
    reply = http.post(
        PATH, content=json.dumps(body).encode(), headers={"content-type": "application/json"}
    )
    got = reply.json()
    assert reply.status_code in (200, 422), got
    if reply.status_code == 200:
        assert got["answers"]["good"]["count"] == 2
        assert all(400 <= each["status"] < 500 for each in got["problems"].values()), got[
            "problems"
        ]
