"""Hostile callers: every mistake is a 4xx in one shape that names its place, and life goes on."""

import gzip
import json
import socket
import struct
import threading
import time
from typing import Any

import httpx
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from conftest import running
from lossd import errors
from lossd.losses import CATALOG
from lossd.settings import Settings

GOOD = {"inputs": {"logits": [[2.0, 0.5], [0.1, 1.2]], "labels": [0, 1]}}
CODES = {e.code: e for e in vars(errors).values() if isinstance(e, type) and hasattr(e, "code")}


def assert_is_problem(reply: httpx.Response) -> dict[str, Any]:
    """The one shape of every error."""
    problem: dict[str, Any] = reply.json()
    assert reply.headers["content-type"] == "application/problem+json"
    assert {"type", "title", "status", "detail", "code", "at"} <= problem.keys()
    assert problem.keys() <= {
        "type", "title", "status", "detail", "code", "at", "expected", "got", "indices"
    }  # fmt: skip
    assert problem["status"] == reply.status_code == CODES[problem["code"]].status
    assert problem["type"] == f"urn:lossd:error:{problem['code']}"
    assert "Traceback" not in reply.text and "/lossd/" not in reply.text
    assert reply.headers["x-request-id"]
    return problem


def post(http: httpx.Client, body: Any, loss: str = "cross_entropy", **headers: str) -> Any:
    content = body if isinstance(body, bytes) else json.dumps(body).encode()
    return http.post(
        f"/v1/losses/{loss}",
        content=content,
        headers={"content-type": "application/json"} | headers,
    )


def inputs(**changes: Any) -> dict[str, Any]:
    merged = GOOD["inputs"] | changes
    return {"inputs": {key: x for key, x in merged.items() if x is not None}}


MADE_OF: dict[str, Any] = {"hidden": [[1.0], [2.0]], "classifier": [[1.0], [-1.0]]}


def made_of(**changes: Any) -> dict[str, Any]:
    """The same call with hidden states and a classifier in place of logits."""
    return inputs(logits=None, **(MADE_OF | changes))


def paired(**changes: Any) -> dict[str, Any]:
    rows = [[1.0, 0.0], [0.0, 1.0]]
    return {
        "inputs": {"left": rows, "right": rows, "logit_scale": 1.0, "logit_bias": 0.0} | changes
    }


def boxes(box: list[float], **params: str) -> dict[str, Any]:
    return {"inputs": {"boxes": [box], "target_boxes": [[0.0, 0.0, 1.0, 1.0]]}, "params": params}


PREFERENCES = ("chosen", "rejected", "reference_chosen", "reference_rejected")

BAD: list[tuple[str, str, Any, str, str]] = [
    ("missing input", "cross_entropy", inputs(labels=None), "missing_input", "inputs.labels"),
    ("no inputs", "cross_entropy", {}, "missing_input", "inputs.logits"),
    ("extra input", "cross_entropy", inputs(lables=[0]), "unexpected_input", "inputs.lables"),
    ("both targets", "cross_entropy", inputs(target_probabilities=[[1, 0], [0, 1]]),
     "unexpected_input", "inputs.target_probabilities"),
    ("wrong rank", "cross_entropy", inputs(logits=[1.0, 2.0]), "wrong_shape", "inputs.logits"),
    ("rows differ", "cross_entropy", inputs(labels=[0]), "wrong_shape", "inputs.labels"),
    ("never broadcast", "mse", {"inputs": {"prediction": [[1.0], [2.0]], "target": [1.0, 2.0]}},
     "wrong_shape", "inputs.target"),
    ("class weights differ", "cross_entropy", inputs(class_weights=[1.0]), "wrong_shape",
     "inputs.class_weights"),
    ("float labels", "cross_entropy", inputs(labels=[0.0, 1.0]), "wrong_dtype", "inputs.labels"),
    ("label -1", "cross_entropy", inputs(labels=[0, -1]), "out_of_range", "inputs.labels"),
    ("label -100", "cross_entropy", inputs(labels=[-100, 1]), "out_of_range", "inputs.labels"),
    ("label C", "cross_entropy", inputs(labels=[0, 2]), "out_of_range", "inputs.labels"),
    ("label beyond int64", "cross_entropy", inputs(labels=[0, 2**70]), "wrong_dtype",
     "inputs.labels"),
    ("hinge label 0", "hinge", {"inputs": {"scores": [1.0], "labels": [0]}}, "out_of_range",
     "inputs.labels"),
    ("target 1.5", "binary_cross_entropy_with_logits",
     {"inputs": {"logits": [1.0], "targets": [1.5]}}, "out_of_range", "inputs.targets"),
    ("probabilities in place of logarithms", "nll",
     {"inputs": {"log_probabilities": [[0.5, 0.5]], "labels": [0]}}, "out_of_range",
     "inputs.log_probabilities"),
    ("soft targets sum to 1.5", "cross_entropy",
     inputs(labels=None, target_probabilities=[[1, 0], [0.5, 1]]), "out_of_range",
     "inputs.target_probabilities"),
    ("NaN", "cross_entropy", inputs(logits=[["NaN", 1.0], [0.0, 1.0]]), "not_finite",
     "inputs.logits"),
    ("infinity", "cross_entropy", inputs(logits=[["Infinity", 1.0], [0.0, 1.0]]), "not_finite",
     "inputs.logits"),
    ("-infinity where it has no meaning", "mse",
     {"inputs": {"prediction": ["-Infinity"], "target": [1.0]}}, "not_finite", "inputs.prediction"),
    ("no possible class", "cross_entropy", inputs(logits=[["-Infinity"] * 2, [0.0, 1.0]]),
     "not_finite", "inputs.logits"),
    ("gamma -1", "focal", GOOD | {"params": {"gamma": -1.0}}, "bad_params", "params.gamma"),
    ("gamma text", "focal", GOOD | {"params": {"gamma": "2"}}, "bad_params", "params.gamma"),
    ("smoothing 1.5", "cross_entropy", GOOD | {"params": {"label_smoothing": 1.5}}, "bad_params",
     "params.label_smoothing"),
    ("unknown parameter", "cross_entropy", GOOD | {"params": {"gama": 1}}, "bad_params",
     "params.gama"),
    ("params no object", "cross_entropy", GOOD | {"params": [1]}, "bad_params", "params"),
    ("unknown field", "cross_entropy", GOOD | {"reduce": "mean"}, "bad_option", "reduce"),
    ("unknown reduction", "cross_entropy", GOOD | {"reduction": "avg"}, "bad_option", "reduction"),
    ("unknown output", "cross_entropy", GOOD | {"outputs": ["loss"]}, "bad_option", "outputs[0]"),
    ("no such gradient", "cross_entropy", GOOD | {"wrt": ["labels"]}, "bad_option", "wrt[0]"),
    ("class axis 0", "cross_entropy", GOOD | {"class_axis": 0}, "bad_option", "class_axis"),
    ("row weights negative", "cross_entropy", GOOD | {"row_weights": [1, -1]}, "bad_option",
     "row_weights"),
    ("row weights short", "cross_entropy", GOOD | {"row_weights": [1]}, "wrong_shape",
     "row_weights"),
    ("rows of a penalty", "l2_penalty", {"inputs": {"weights": [1.0]}, "row_weights": [1]},
     "bad_option", "row_weights"),
    ("cotangent shape", "cross_entropy", GOOD | {"cotangent": [[1.0]]}, "wrong_shape", "cotangent"),
    ("cotangent NaN", "cross_entropy", GOOD | {"cotangent": ["NaN", 1]}, "bad_option", "cotangent"),
    ("ragged", "cross_entropy", inputs(logits=[[1.0, 2.0], [3.0]]), "wrong_shape",
     "inputs.logits[1]"),
    ("string among numbers", "cross_entropy", inputs(logits=[[1.0, "2"], [3.0, 4.0]]),
     "wrong_dtype", "inputs.logits[0][1]"),
    ("boolean among numbers", "cross_entropy", inputs(logits=[[1.0, True], [3.0, 4.0]]),
     "wrong_dtype", "inputs.logits[0][1]"),
    ("null among numbers", "cross_entropy", inputs(logits=[[1.0, None], [3.0, 4.0]]),
     "wrong_dtype", "inputs.logits[0][1]"),
    ("beyond float32", "cross_entropy", inputs(logits=[[1.0, 1e39], [3.0, 4.0]]), "out_of_range",
     "inputs.logits"),
    ("group where there is none", "mse", {"inputs": {"prediction": {"a": [1.0]}, "target": [1.0]}},
     "unexpected_input", "inputs.prediction.a"),
    ("empty list for a number", "siglip", paired(logit_scale=[]), "wrong_shape",
     "inputs.logit_scale"),
    ("list for a number", "siglip", paired(logit_bias=[1.0]), "wrong_shape", "inputs.logit_bias"),
    ("negative scale", "siglip", paired(logit_scale=-1.0), "out_of_range", "inputs.logit_scale"),
    ("number that is none", "siglip", paired(logit_bias="NaN"), "not_finite", "inputs.logit_bias"),
    ("embeddings of two sizes", "siglip", paired(right=[[1.0], [2.0]]), "wrong_shape",
     "inputs.right"),
    ("temperature 0", "info_nce", {"inputs": {"queries": [[1.0]], "keys": [[1.0]]},
     "params": {"temperature": 0.0}}, "bad_params", "params.temperature"),
    ("hidden beside logits", "cross_entropy", inputs(**MADE_OF), "unexpected_input",
     "inputs.hidden"),
    ("classifier beside logits", "focal", inputs(classifier=[[1.0]] * 2), "missing_input",
     "inputs.hidden"),
    ("hidden without classifier", "cross_entropy", inputs(logits=None, hidden=[[1.0]] * 2),
     "missing_input", "inputs.classifier"),
    ("features differ", "cross_entropy", made_of(classifier=[[1.0, 2.0]] * 2), "wrong_shape",
     "inputs.classifier"),
    ("classes differ", "cross_entropy", made_of(classifier_bias=[1.0]), "wrong_shape",
     "inputs.classifier_bias"),
    ("hidden of one dimension", "focal", made_of(hidden=[1.0]), "wrong_shape", "inputs.hidden"),
    ("labels of pixels of hidden", "cross_entropy", made_of(labels=[[0], [1]]), "wrong_shape",
     "inputs.labels"),
    ("label of no class of the classifier", "cross_entropy", made_of(labels=[0, 2]),
     "out_of_range", "inputs.labels"),
    ("hidden NaN", "cross_entropy", made_of(hidden=[["NaN"], [1.0]]), "not_finite",
     "inputs.hidden"),
    ("classifier -infinity", "cross_entropy", made_of(classifier=[["-Infinity"], [1.0]]),
     "not_finite", "inputs.classifier"),
    ("product too large", "cross_entropy", made_of(hidden=[[1e30], [1.0]],
     classifier=[[1e30], [-1.0]]), "not_finite", "inputs.hidden"),
    ("recipe of hidden", "cross_entropy", made_of() | {"gradient_form": "recipe"}, "bad_option",
     "gradient_form"),
    ("no gradient of logits", "cross_entropy", made_of() | {"wrt": ["logits"]}, "bad_option",
     "wrt[0]"),
    ("season beyond the history", "mase", {"inputs": {"prediction": [[1.0]], "target": [[2.0]],
     "history": [[1.0, 2.0]]}, "params": {"season": 2}}, "bad_params", "params.season"),
    ("no classes", "cross_entropy", inputs(logits=[[], []]), "wrong_shape", "inputs.logits"),
    ("class past the last threshold", "coral", inputs(logits=[[1.0], [2.0]], labels=[1, 2]),
     "out_of_range", "inputs.labels"),
    ("more frames than there are", "ctc",
     {"inputs": {"logits": [[[0.0, 1.0]]], "labels": [[1]], "input_lengths": [2]}}, "out_of_range",
     "inputs.input_lengths"),
    ("likelihood in place of its logarithm", "simpo",
     {"inputs": {f"{x}_log_probabilities": [0.5] for x in ("chosen", "rejected")}},
     "out_of_range", "inputs.chosen_log_probabilities"),
    ("no wrong labels to smooth for", "dpo",
     {"inputs": {f"{x}_log_probabilities": [-1.0] for x in PREFERENCES},
      "params": {"variant": "exo_pair"}}, "bad_params", "params.label_smoothing"),
    ("last atom below the first", "c51",
     {"inputs": {"logits": [[1.0]], "next_probabilities": [[1.0]], "rewards": [0.0],
                 "discounts": [0.5]}, "params": {"highest": -20.0}}, "bad_params",
     "params.highest"),
    ("corners of a box in the wrong order", "iou", boxes([2.0, 0.0, 1.0, 1.0]), "out_of_range",
     "inputs.boxes"),
    ("a box of negative width", "giou", boxes([0.0, 0.0, -1.0, 1.0], box_format="cxcywh"),
     "out_of_range", "inputs.boxes"),
    ("a box of five numbers", "diou", boxes([0.0, 0.0, 1.0, 1.0, 0.5]), "wrong_shape",
     "inputs.boxes"),
]  # fmt: skip


@pytest.mark.parametrize(
    ("loss", "body", "code", "at"), [case[1:] for case in BAD], ids=[case[0] for case in BAD]
)
def test_a_wrong_value_is_refused_with_its_place(
    http: httpx.Client, loss: str, body: Any, code: str, at: str
) -> None:
    reply = post(http, body, loss)
    problem = assert_is_problem(reply)
    assert (reply.status_code, problem["code"], problem["at"]) == (422, code, at)
    assert problem.get("expected") or code in ("bad_option", "unexpected_input"), problem
    assert post(http, GOOD).status_code == 200


def test_the_offending_elements_are_named_at_most_ten(http: httpx.Client) -> None:
    body = {"inputs": {"logits": [[0.0, 1.0]] * 50, "labels": [1] * 20 + [2] * 30}}
    problem = assert_is_problem(post(http, body))
    assert problem["indices"] == [[i] for i in range(20, 30)]
    assert problem["expected"] == "in [0, 2)" and problem["detail"].startswith("30 values")


def test_ignore_index_is_legal_only_where_it_is_given(http: httpx.Client) -> None:
    body = inputs(labels=[0, -100])
    assert post(http, body | {"params": {"ignore_index": -100}}).json()["denominator"] == 1
    assert post(http, body).status_code == 422


def test_soft_targets_need_no_sum_where_the_caller_says_so(http: httpx.Client) -> None:
    body = inputs(labels=None, target_probabilities=[[1, 1], [0.5, 1]])
    assert post(http, body | {"params": {"unnormalized_targets": True}}).status_code == 200


def safetensors_of(header: bytes, data: bytes = b"", size: int | None = None) -> bytes:
    return struct.pack("<Q", len(header) if size is None else size) + header + data


UNREADABLE = [
    ("truncated", b'{"inputs": {"logits": [[1.0, 2', "application/json"),
    ("empty", b"", "application/json"),
    ("nested 100000 deep", b'{"a":' + b"[" * 100_000, "application/json"),
    ("huge shape, little data",
     b'{"inputs":{"logits":{"dtype":"float32","shape":[99999999,99999],"data":"AAAA"},"labels":[0]}}',
     "application/json"),
    ("no header", b"\x01", "application/vnd.safetensors"),
    ("lying header", b"\xff" * 8 + b"{}", "application/vnd.safetensors"),
    ("truncated header", safetensors_of(b'{"logits":{"dty'), "application/vnd.safetensors"),
    ("offsets beyond the data", safetensors_of(
        b'{"logits":{"dtype":"F32","shape":[2,2],"data_offsets":[0,16]}}', b"\0" * 8),
     "application/vnd.safetensors"),
    ("offsets that overlap", safetensors_of(
        b'{"a":{"dtype":"F32","shape":[2],"data_offsets":[0,8]},'
        b'"b":{"dtype":"F32","shape":[2],"data_offsets":[4,12]}}', b"\0" * 12),
     "application/vnd.safetensors"),
    ("unknown dtype", safetensors_of(
        b'{"logits":{"dtype":"F31","shape":[1],"data_offsets":[0,4]}}', b"\0" * 4),
     "application/vnd.safetensors"),
    ("shape of text", safetensors_of(
        b'{"logits":{"dtype":"F32","shape":["a"],"data_offsets":[0,4]}}', b"\0" * 4),
     "application/vnd.safetensors"),
]  # fmt: skip


@pytest.mark.parametrize(
    ("body", "content_type"), [c[1:] for c in UNREADABLE], ids=[c[0] for c in UNREADABLE]
)
def test_bytes_that_are_not_their_content_type_are_unreadable(
    http: httpx.Client, body: bytes, content_type: str
) -> None:
    reply = post(http, body, **{"content-type": content_type})
    problem = assert_is_problem(reply)
    assert (reply.status_code, problem["code"]) == (400, "unreadable_body")
    assert problem["at"] and post(http, GOOD).status_code == 200


def test_a_huge_shape_in_a_safetensors_header_is_too_large(http: httpx.Client) -> None:
    header = b'{"logits":{"dtype":"F32","shape":[99999999,99999],"data_offsets":[0,4]}}'
    reply = post(
        http, safetensors_of(header, b"\0" * 4), **{"content-type": "application/vnd.safetensors"}
    )
    assert assert_is_problem(reply)["code"] == "too_large"


def test_too_many_elements_are_refused(http: httpx.Client) -> None:
    reply = post(http, {"inputs": {"prediction": [0] * 300_000, "target": [0] * 300_000}}, "mse")
    problem = assert_is_problem(reply)
    assert (problem["code"], problem["at"]) == ("too_large", "inputs.target")


def test_a_body_over_the_limit_is_refused_before_it_is_read(url: str) -> None:
    host, port = url.removeprefix("http://").split(":")
    with socket.create_connection((host, int(port)), timeout=10) as connection:
        connection.sendall(
            b"POST /v1/losses/mse HTTP/1.1\r\nHost: x\r\nContent-Type: application/json\r\n"
            b"Content-Length: 99999999999\r\n\r\n"
        )
        head = connection.recv(4096)
    assert head.startswith(b"HTTP/1.1 413") and b"too_large" in head


def test_a_chunked_body_over_the_limit_is_refused(http: httpx.Client) -> None:
    def endless() -> Any:
        for _ in range(100):
            yield b" " * 65_536

    reply = http.post(
        "/v1/losses/mse", content=endless(), headers={"content-type": "application/json"}
    )
    assert assert_is_problem(reply)["code"] == "too_large"


def test_an_unknown_loss_is_answered_with_the_nearest_name(http: httpx.Client) -> None:
    for reply in (post(http, GOOD, "cros_entropy"), http.get("/v1/losses/cros_entropy")):
        problem = assert_is_problem(reply)
        assert (problem["code"], problem["expected"]) == ("unknown_loss", "cross_entropy")


@pytest.mark.parametrize(
    ("method", "path", "headers", "code"),
    [
        ("GET", "/nope", {}, "unknown_route"),
        ("GET", "/v1/losses/a/b", {}, "unknown_route"),
        ("DELETE", "/v1/losses", {}, "method_not_allowed"),
        ("POST", "/livez", {}, "method_not_allowed"),
        ("PUT", "/v1/losses/mse", {}, "method_not_allowed"),
        ("GET", "/v1/losses?family=nope", {}, "bad_option"),
        ("POST", "/v1/losses/mse", {"content-type": "text/csv"}, "unsupported_media_type"),
        ("POST", "/v1/losses/mse", {}, "unsupported_media_type"),
        ("POST", "/v1/losses/mse", {"content-type": "application/json", "accept": "text/csv"},
         "not_acceptable"),
    ],
)  # fmt: skip
def test_every_error_on_every_route_has_the_one_shape(
    http: httpx.Client, method: str, path: str, headers: dict[str, str], code: str
) -> None:
    assert assert_is_problem(http.request(method, path, headers=headers))["code"] == code


def test_compressed_bodies_are_read_and_bombs_refused(http: httpx.Client) -> None:
    body = gzip.compress(json.dumps(GOOD).encode())
    assert post(http, body, **{"content-encoding": "gzip"}).status_code == 200
    bomb = gzip.compress(b" " * 5_000_000)
    reply = post(http, bomb, **{"content-encoding": "gzip"})
    assert assert_is_problem(reply)["code"] == "too_large"
    reply = post(http, body, **{"content-encoding": "br"})
    assert assert_is_problem(reply)["at"] == "headers.content-encoding"


def test_a_caller_that_hangs_up_harms_nobody(url: str, http: httpx.Client) -> None:
    host, port = url.removeprefix("http://").split(":")
    for sent in (b"POST /v1/lo", b"POST /v1/losses/mse HTTP/1.1\r\nContent-Length: 100\r\n\r\n{"):
        with socket.create_connection((host, int(port)), timeout=10) as connection:
            connection.sendall(sent)
    assert post(http, GOOD).status_code == 200


def test_a_body_that_comes_too_slowly_is_given_up() -> None:
    with running(Settings(body_timeout_s=0.2)) as url:
        host, port = url.removeprefix("http://").split(":")
        with socket.create_connection((host, int(port)), timeout=10) as connection:
            connection.sendall(
                b"POST /v1/losses/mse HTTP/1.1\r\nHost: x\r\nContent-Type: application/json\r\n"
                b"Content-Length: 100\r\n\r\n{"
            )
            assert connection.recv(4096).startswith(b"HTTP/1.1 504")


def test_a_full_service_says_so_and_when_to_come_back() -> None:
    with running(Settings(max_queue=1)) as url, httpx.Client(base_url=url, timeout=10) as http:
        host, port = url.removeprefix("http://").split(":")
        with socket.create_connection((host, int(port)), timeout=10) as slow:
            slow.sendall(
                b"POST /v1/losses/mse HTTP/1.1\r\nHost: x\r\nContent-Type: application/json\r\n"
                b"Content-Length: 100\r\n\r\n{"
            )
            time.sleep(0.5)  # else the slow one may find the only place taken
            full = post(http, GOOD)
        assert assert_is_problem(full)["code"] == "overloaded"
        assert full.headers["retry-after"] == "1"


def test_many_callers_at_once_each_get_their_own_answer(url: str) -> None:
    failures: list[Any] = []

    def call(number: int) -> None:
        with httpx.Client(base_url=url, timeout=30) as http:
            for i in range(10):
                bad = (number + i) % 3 == 0
                target = "x" if bad else float(number)
                reply = post(http, {"inputs": {"prediction": [0.0], "target": [target]}}, "mse")
                right = reply.status_code == 422 if bad else reply.json()["value"] == number**2
                if not right:
                    failures.append((number, i, reply.text))

    threads = [threading.Thread(target=call, args=(number,)) for number in range(8)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert not failures


def test_a_small_body_of_too_many_pairs_is_refused_before_it_is_computed(
    http: httpx.Client,
) -> None:
    rows = [[1.0]] * 10_000
    refused = post(http, {"inputs": {"queries": rows, "keys": rows}}, "info_nce")
    problem = assert_is_problem(refused)
    assert (problem["code"], problem["at"], problem["got"]) == ("too_large", "inputs", "100000000")
    assert post(http, {"inputs": {"queries": rows[:9], "keys": rows[:9]}}, "info_nce").is_success


json_values = st.recursive(
    st.none() | st.booleans() | st.floats() | st.integers() | st.text(max_size=4),
    lambda inner: (
        st.lists(inner, max_size=3)
        | st.dictionaries(st.sampled_from(["dtype", "shape", "data", "a"]), inner, max_size=3)
    ),
    max_leaves=8,
)


PARTS = 10  # of the catalog, which share 600 bodies however large it grows


@pytest.mark.parametrize("part", range(PARTS))
@settings(
    max_examples=60, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture]
)
@given(data=st.data())
def test_no_body_is_answered_with_a_bug(http: httpx.Client, part: int, data: st.DataObject) -> None:
    """Any JSON in place of any part of a good request is a 200 or a 4xx."""
    name = data.draw(st.sampled_from(list(CATALOG)[part::PARTS]))
    spec = CATALOG[name]
    request: dict[str, Any] = {"inputs": dict(spec.example.inputs), "params": {}}
    place = data.draw(st.sampled_from(["inputs", "params", *request["inputs"], "wrt", "outputs"]))
    value = data.draw(json_values)
    if place in request["inputs"]:
        request["inputs"][place] = value
    else:
        request[place] = value
    reply = post(http, json.dumps(request, allow_nan=True).encode(), name)
    assert reply.status_code == 200 or assert_is_problem(reply)["status"] < 500


@pytest.mark.parametrize(
    ("broken", "method", "path"),
    [
        ("lossd.api.calls.to_message", "POST", "/v1/losses/mse"),
        ("lossd.api.losses.list_losses", "GET", "/v1/losses"),
        ("lossd.schema.oip.metadata", "GET", "/v2/models/mse"),
    ],
)
def test_a_bug_is_a_problem_too_and_leaks_nothing(
    http: httpx.Client, monkeypatch: pytest.MonkeyPatch, broken: str, method: str, path: str
) -> None:
    monkeypatch.setattr(broken, None)
    body = {"inputs": {"prediction": [1.0], "target": [2.0]}} if method == "POST" else None
    got = http.request(method, path, json=body, headers={"x-request-id": "mine"})
    assert got.status_code == 500 and got.headers["x-request-id"] == "mine"
    problem = got.json()
    assert problem["code"] == "internal_error" and "mine" in problem["detail"]
    assert "NoneType" not in got.text and "Traceback" not in got.text
    monkeypatch.undo()
    assert http.request(method, path, json=body).is_success
