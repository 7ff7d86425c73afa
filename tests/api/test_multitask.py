"""Multi-task methods over HTTP: every method, every format, hostile bodies."""

import gzip
import json
import math
from typing import Any

import httpx
import numpy as np
import pytest
import torch

from lossd.objectives.multitask import METHODS, MOST_TASKS, Tasks, balance
from lossd.wire import CODECS, Message
from multitask_cases import cases_of

every_method = pytest.mark.parametrize("method", METHODS)
every_format = pytest.mark.parametrize("media_type", CODECS)
ROWS = [[1.0, 0.5, -0.5], [-0.5, 1.0, 2.0]]
LOSSES = [0.9, 2.5]


def post(http: httpx.Client, method: str, body: Any) -> Any:
    content = body if isinstance(body, bytes) else json.dumps(body).encode()
    headers = {"content-type": "application/json"}
    return http.post(f"/v1/multitask/{method}", content=content, headers=headers)


@every_method
def test_it_is_listed_and_described(http: httpx.Client, method: str) -> None:
    listed = {each["name"]: each for each in http.get("/v1/multitask").json()["methods"]}
    assert listed.keys() == METHODS.keys()
    one = http.get(f"/v1/multitask/{method}").json()
    assert one == listed[method]
    assert one["summary"] and one["formula"] and one["source"] and one["equation"]
    assert bool(one["state"]) == (method in {"dwa", "famo", "gradnorm", "gradvac"})


@every_method
def test_it_answers_its_cases(http: httpx.Client, method: str) -> None:
    case, state = cases_of(method)[0], None
    for call in case["calls"]:
        inputs = {key: call[key] for key in ("losses", "gradients", "norms") if key in call}
        options = {key: call[key] for key in ("seed", "permutation") if key in call}
        count = len(call.get("losses", call.get("gradients")))
        inputs.setdefault("losses", [1.0] * count)
        body = {"inputs": inputs, "params": call["params"], **options}
        got = post(http, method, body | ({"state": state} if state else {}))
        assert got.is_success, got.text
        answer, state = got.json(), got.json().get("state")
        for name in ("weights", "direction"):
            key = "gradient" if name == "direction" else name
            if name in call:
                np.testing.assert_allclose(answer[key], call[name], rtol=1e-5, atol=1e-6)
        assert answer["method"] == method and answer["certificate"]["equation"]


def written(codec: Any, tensors: dict[str, torch.Tensor], fields: dict[str, Any]) -> bytes:
    """A request; in JSON tensors stand below `inputs`, groups below their names."""
    if codec is not CODECS["application/json"]:
        body: bytes = codec.encode(Message(tensors, fields))
        return body
    inputs: dict[str, Any] = {}
    for name, x in tensors.items():
        head, slash, member = name.partition("/")
        if slash:
            inputs.setdefault(head, {})[member] = x.tolist()
        else:
            inputs[name] = x.tolist()
    return json.dumps({"inputs": inputs, **fields}).encode()


@every_format
def test_every_format_says_the_same(http: httpx.Client, media_type: str) -> None:
    codec = CODECS[media_type]
    generator = torch.Generator().manual_seed(0)
    rows = {
        "gradients/encoder": torch.randn(3, 2, 2, dtype=torch.float64, generator=generator),
        "gradients/head": torch.randn(3, 5, dtype=torch.float64, generator=generator),
    }
    losses = torch.tensor([0.5, 1.0, 2.0], dtype=torch.float64)
    fields = {"params": {"per_group": False}, "seed": 3}
    body = written(codec, {"losses": losses, **rows}, fields)
    got = http.post("/v1/multitask/gradvac", content=body, headers={"content-type": media_type})
    assert got.is_success and got.headers["content-type"] == media_type
    plain = http.post(
        "/v1/multitask/gradvac",
        content=body,
        headers={"content-type": media_type, "accept": "application/json"},
    ).json()
    joined = np.concatenate([x.reshape(3, -1).numpy() for x in rows.values()], axis=1)
    want = balance("gradvac", Tasks(losses=losses.numpy(), gradients=joined), seed=3)
    np.testing.assert_allclose(plain["weights"], want.weights, rtol=1e-12)
    assert np.shape(plain["gradient"]["encoder"]) == (2, 2)
    flat = [*np.ravel(plain["gradient"]["encoder"]), *plain["gradient"]["head"]]
    np.testing.assert_allclose(flat, want.direction, rtol=1e-12)
    state = json.loads(json.dumps(plain["state"]))
    again = written(codec, {"losses": losses, **rows}, fields | {"state": state})
    second = http.post("/v1/multitask/gradvac", content=again, headers={"content-type": media_type})
    assert second.is_success


def test_safetensors_come_back_as_safetensors_in_their_own_dtype(http: httpx.Client) -> None:
    codec = CODECS["application/vnd.safetensors"]
    rows = torch.tensor(ROWS, dtype=torch.bfloat16).reshape(2, 3, 1)
    body = codec.encode(Message({"gradients": rows}, {}))
    headers = {"content-type": codec.media_type}
    got = codec.decode(http.post("/v1/multitask/mgda", content=body, headers=headers).content, 99)
    assert got.tensors["gradient"].dtype == torch.bfloat16
    assert got.tensors["gradient"].shape == (3, 1)
    weights = got.tensors["weights"]
    assert weights.dtype == torch.float64 and weights.sum().item() == pytest.approx(1.0)
    assert got.fields["certificate"]["residual"] <= 1e-12


def test_a_compressed_body_is_read(http: httpx.Client) -> None:
    body = gzip.compress(json.dumps({"inputs": {"gradients": ROWS}}).encode())
    headers = {"content-type": "application/json", "content-encoding": "gzip"}
    assert http.post("/v1/multitask/mgda", content=body, headers=headers).is_success


def test_a_group_of_gradients_can_be_balanced_each_by_itself(http: httpx.Client) -> None:
    gradients = {"a": ROWS, "b": [[1.0], [-1.0]]}
    body = {"inputs": {"gradients": gradients}, "params": {"per_group": True}}
    got = post(http, "gradvac", body).json()
    assert got["weights"] is None and got["group_weights"].keys() == {"a", "b"}
    for name, rows in gradients.items():
        combined = np.array(got["group_weights"][name]) @ np.array(rows)
        np.testing.assert_allclose(got["gradient"][name], combined, rtol=1e-12, atol=1e-15)


def test_gramians_of_groups_are_added_up(http: httpx.Client) -> None:
    one, other = np.array(ROWS), np.array([[1.0], [-1.0]])
    groups = {"a": (one @ one.T).tolist(), "b": (other @ other.T).tolist()}
    got = post(http, "mgda", {"inputs": {"gramian_groups": groups}}).json()
    whole = np.hstack([one, other])
    np.testing.assert_allclose(
        got["weights"], balance("mgda", Tasks(gradients=whole)).weights, rtol=1e-12
    )
    vaccine = {"inputs": {"gramian_groups": groups}, "params": {"per_group": True}}
    assert post(http, "gradvac", vaccine).json()["group_weights"].keys() == {"a", "b"}


def test_comparing_has_every_method_or_says_why_not(http: httpx.Client) -> None:
    body = {
        "inputs": {"losses": LOSSES, "gradients": ROWS},
        "params": {"cagrad": {"c": 0.2}},
        "seed": 1,
    }
    got = post(http, "compare", body).json()["methods"]
    assert got.keys() == METHODS.keys()
    assert got["fixed"]["problem"]["at"] == "params.weights"
    assert got["cagrad"]["params"] == {"c": 0.2}
    answered = {name: each for name, each in got.items() if "problem" not in each}
    assert answered.keys() == METHODS.keys() - {"fixed"}
    for name, each in answered.items():
        assert each["certificate"]["stationarity"] > 0
        alone = post(http, name, body | {"params": body["params"].get(name, {})}).json()
        assert alone["weights"] == each["weights"] and alone["value"] == each["value"]


def test_comparing_keeps_the_weights_of_groups(http: httpx.Client) -> None:
    body = {"inputs": {"gradients": {"a": ROWS, "b": [[1.0], [-1.0]]}}}
    params = {"per_group": True}
    alone = post(http, "gradvac", body | {"params": params}).json()
    compared = post(http, "compare", body | {"params": {"gradvac": params}}).json()
    assert compared["methods"]["gradvac"]["group_weights"] == alone["group_weights"]


@pytest.mark.parametrize(
    ("dtype", "size", "is_wide_enough"),
    [
        (torch.float16, 6e4, False),
        (torch.float32, 3e38, False),
        (torch.float32, 6e4, True),
        (torch.float64, 3e38, True),
    ],
    ids=str,
)
def test_a_gradient_beyond_its_dtype_is_said(
    http: httpx.Client, dtype: torch.dtype, size: float, is_wide_enough: bool
) -> None:
    codec = CODECS["application/vnd.safetensors"]
    rows = torch.tensor([[size, 0.0], [size, 1.0]], dtype=dtype)
    wide = torch.ones(2, 1, dtype=torch.float64)
    body = codec.encode(Message({"gradients/a": rows, "gradients/b": wide}, {}))
    headers = {"content-type": codec.media_type}
    answer = http.post("/v1/multitask/pcgrad", content=body, headers=headers)
    got = codec.decode(answer.content, 100)
    assert bool(got.tensors["gradient.a"].isfinite().all()) is is_wide_enough
    said = [(each["code"], each["detail"].split(":")[0]) for each in got.fields["warnings"]]
    assert said == ([] if is_wide_enough else [("gradient_overflow", "gradient.a")])


def test_comparing_losses_alone_leaves_out_what_needs_gradients(http: httpx.Client) -> None:
    got = post(http, "compare", {"inputs": {"losses": LOSSES}}).json()["methods"]
    reasons = {name: each["problem"]["code"] for name, each in got.items() if "problem" in each}
    assert reasons["mgda"] == "missing_input" and reasons["rlw"] == "missing_input"
    assert not reasons.keys() & {"gls", "dwa", "famo", "equal", "uncertainty_weighting", "stch"}


def gramian(count: int = 2) -> Any:
    return np.eye(count).tolist()


STATE = {"method": "dwa", "version": 1, "step": 1, "sum": [1.0, 2.0], "calls": 1.0}
FAULTS: list[tuple[str, Any, int, str, str]] = [
    ("mgda", {"inputs": {"gramian": [[math.nan]]}}, 400, "unreadable_body", "body"),
    ("mgda", {"inputs": {"gramian": [["NaN", 0], [0, 1.0]]}}, 422, "not_finite", "inputs.gramian"),
    ("mgda", {"inputs": {"gramian": [[1.0, 0.5]]}}, 422, "wrong_shape", "inputs.gramian"),
    ("mgda", {"inputs": {"gramian": [[1.0], [0.5, 1.0]]}}, 422, "wrong_shape", "inputs.gramian[1]"),
    ("mgda", {"inputs": {"gramian": [[1, 0.5], [0.4, 1]]}}, 422, "out_of_range", "inputs.gramian"),
    ("mgda", {"inputs": {"gramian": [[1, 2], [2, 1]]}}, 422, "out_of_range", "inputs.gramian"),
    ("mgda", {"inputs": {"gramian": [[-1]]}}, 422, "out_of_range", "inputs.gramian"),
    ("mgda", {"inputs": {"gramian": [[1e308]]}}, 422, "out_of_range", "inputs.gramian"),
    ("mgda", {"inputs": {"gramian": [[1, 0, 0], [0, 1e-17, 5e-17], [0, 5e-17, 1e-17]]}}, 422,
     "out_of_range", "inputs.gramian"),
    ("mgda", {"inputs": {"gramian": [[0, 1e-9], [1e-9, 1]]}}, 422, "out_of_range",
     "inputs.gramian"),
    ("equal", {"inputs": {"losses": [1e308, 1e308]}}, 422, "out_of_range", "inputs"),
    ("mgda", {"inputs": {"losses": [1e-300, 1], "gramian": gramian()},
              "params": {"normalization": "loss"}}, 422, "out_of_range", "inputs.losses"),
    ("mgda", {"inputs": {"gradients": [[1e200]]}}, 422, "out_of_range", "inputs.gradients"),
    ("mgda", {"inputs": {"gramian": [[True]]}}, 422, "wrong_dtype", "inputs.gramian[0][0]"),
    ("mgda", {"inputs": {"gramian": 1.0}}, 422, "wrong_shape", "inputs.gramian"),
    ("mgda", {"inputs": {"gradients": []}}, 422, "wrong_shape", "inputs.gradients"),
    ("mgda", {"inputs": {"gramian": gramian(MOST_TASKS + 1)}}, 413, "too_large", "inputs.gramian"),
    ("equal", {"inputs": {"losses": [1.0] * 10_000}}, 413, "too_large", "inputs.losses"),
    ("mgda", {"inputs": {"gramian": gramian(), "gradients": ROWS}}, 422, "unexpected_input",
     "inputs"),
    ("mgda", {"inputs": {"losses": [1.0] * 3, "gramian": gramian()}}, 422, "wrong_shape",
     "inputs.gramian"),
    ("mgda", {"inputs": {"losses": LOSSES}}, 422, "missing_input", "inputs.gramian"),
    ("mgda", {"inputs": {}}, 422, "missing_input", "inputs"),
    ("mgda", {}, 422, "missing_input", "inputs"),
    ("mgda", {"inputs": {"grammian": gramian()}}, 422, "unexpected_input", "inputs.grammian"),
    ("mgda", {"inputs": {"gradients": {"a": ROWS, "a/b": ROWS}}}, 422, "unexpected_input",
     "inputs.gradients.a/b"),
    ("mgda", {"inputs": {"gradients": {"a": ROWS, "b": [[1.0]]}}}, 422, "wrong_shape",
     "inputs.gradients.b"),
    ("mgda", {"inputs": {"losses": {"a": [1.0]}}}, 422, "unexpected_input", "inputs.losses.a"),
    ("mgda", {"inputs": {"gradients": ROWS}, "params": {"steps": 3}}, 422, "bad_params",
     "params.steps"),
    ("mgda", {"inputs": {"gradients": ROWS}, "params": []}, 422, "bad_params", "params"),
    ("mgda", {"inputs": {"gradients": ROWS}, "weights": 1}, 422, "bad_option", "weights"),
    ("mgda", {"inputs": {"gradients": ROWS}, "state": STATE}, 422, "bad_option", "state"),
    ("fixed", {"inputs": {"losses": LOSSES}, "params": {"weights": [1.0]}}, 422, "bad_params",
     "params.weights"),
    ("gls", {"inputs": {"losses": [1.0, 0.0]}}, 422, "out_of_range", "inputs.losses"),
    ("famo", {"inputs": {"losses": [1.0, -2.0]}}, 422, "out_of_range", "inputs.losses"),
    ("famo", {"inputs": {"losses": LOSSES}, "params": {"phase": "update"}}, 422, "missing_input",
     "state.losses"),
    ("gradnorm", {"inputs": {"losses": LOSSES, "norms": [1.0, -1.0]}}, 422, "out_of_range",
     "inputs.norms"),
    ("graddrop", {"inputs": {"gramian": gramian()}, "seed": 1}, 422, "missing_input",
     "inputs.gradients"),
    ("rlw", {"inputs": {"losses": LOSSES}}, 422, "missing_input", "seed"),
    ("rlw", {"inputs": {"losses": LOSSES}, "seed": -1}, 422, "bad_option", "seed"),
    ("rlw", {"inputs": {"losses": LOSSES}, "seed": 2**60}, 422, "bad_option", "seed"),
    ("rlw", {"inputs": {"losses": LOSSES}, "seed": True}, 422, "bad_option", "seed"),
    ("pcgrad", {"inputs": {"gradients": ROWS}, "permutation": [0, 0]}, 422, "bad_option",
     "permutation"),
    ("pcgrad", {"inputs": {"gradients": ROWS}, "permutation": [[0, 1], 5]}, 422, "bad_option",
     "permutation"),
    ("pcgrad", {"inputs": {"gradients": ROWS}, "permutation": "01"}, 422, "bad_option",
     "permutation"),
    ("dwa", {"inputs": {"losses": LOSSES}, "state": []}, 422, "bad_option", "state"),
    ("dwa", {"inputs": {"losses": LOSSES}, "state": STATE | {"method": "famo"}}, 422, "bad_option",
     "state.method"),
    ("dwa", {"inputs": {"losses": LOSSES}, "state": STATE | {"version": 9}}, 422, "bad_option",
     "state.version"),
    ("dwa", {"inputs": {"losses": LOSSES}, "state": STATE | {"version": True}}, 422, "bad_option",
     "state.version"),
    ("dwa", {"inputs": {"losses": LOSSES}, "state": STATE | {"step": -1}}, 422, "bad_option",
     "state.step"),
    ("dwa", {"inputs": {"losses": LOSSES}, "state": STATE | {"sum": [1.0]}}, 422, "bad_option",
     "state.sum"),
    ("dwa", {"inputs": {"losses": LOSSES}, "state": STATE | {"sum": [[1.0], 2.0]}}, 422,
     "bad_option", "state.sum"),
    ("dwa", {"inputs": {"losses": LOSSES}, "state": STATE | {"sum": ["1", "2"]}}, 422,
     "bad_option", "state.sum"),
    ("dwa", {"inputs": {"losses": LOSSES}, "state": STATE | {"sum": [10**400, 1]}}, 422,
     "bad_option", "state.sum"),
    ("dwa", {"inputs": {"losses": LOSSES}, "state": {"method": "dwa", "version": 1, "step": 1}},
     422, "bad_option", "state.sum"),
    ("dwa", {"inputs": {"losses": LOSSES}, "state": STATE | {"other": 1}}, 422, "bad_option",
     "state.other"),
    ("compare", {"inputs": {"losses": LOSSES}, "params": {"mgdaa": {}}}, 422, "bad_option",
     "params.mgdaa"),
    ("compare", {"inputs": {"losses": LOSSES}, "state": [1]}, 422, "bad_option", "state"),
    ("pcgard", {"inputs": {"gradients": ROWS}}, 404, "unknown_route", "method"),
]  # fmt: skip


@pytest.mark.parametrize(("method", "body", "status", "code", "at"), FAULTS)
def test_what_is_wrong_is_named(
    http: httpx.Client, method: str, body: Any, status: int, code: str, at: str
) -> None:
    got = post(http, method, body)
    problem = got.json()
    assert got.status_code == status, problem
    assert (problem["code"], problem["at"]) == (code, at), problem


def test_the_smallest_eigenvalue_of_what_is_no_gramian_is_said(http: httpx.Client) -> None:
    got = post(http, "mgda", {"inputs": {"gramian": [[1.0, 2.0], [2.0, 1.0]]}})
    assert got.json()["got"] == "-1" and "eigenvalue" in got.json()["detail"]


@pytest.mark.parametrize("body", [b"", b"{", b"[]", b"\xff", b'{"inputs": 3}', b"[" * 5000])
def test_no_body_is_answered_with_a_bug(http: httpx.Client, body: bytes) -> None:
    for method in ("mgda", "compare"):
        got = post(http, method, body)
        assert 400 <= got.status_code < 500 and got.json()["code"]


def test_a_state_that_is_another_number_of_tasks_is_refused(http: httpx.Client) -> None:
    state = post(http, "gradvac", {"inputs": {"gradients": ROWS}}).json()["state"]
    got = post(http, "gradvac", {"inputs": {"gradients": [*ROWS, ROWS[0]]}, "state": state})
    assert got.status_code == 422 and got.json()["at"] == "state.cosines"


@every_format
def test_formats_and_accept_are_as_elsewhere(http: httpx.Client, media_type: str) -> None:
    body = json.dumps({"inputs": {"gradients": ROWS}}).encode()
    headers = {"content-type": "application/json", "accept": media_type}
    got = http.post("/v1/multitask/mgda", content=body, headers=headers)
    assert got.is_success and got.headers["content-type"] == media_type
    compared = http.post("/v1/multitask/compare", content=body, headers=headers)
    assert compared.is_success and compared.headers["content-type"] == media_type
    refused = http.post("/v1/multitask/mgda", content=body, headers={"content-type": "text/csv"})
    assert refused.status_code == 415
    refused = http.post("/v1/multitask/mgda", content=body, headers=headers | {"accept": "a/b"})
    assert refused.status_code == 406


def test_the_openapi_document_has_the_routes(http: httpx.Client) -> None:
    paths = http.get("/openapi.json").json()["paths"]
    body = paths["/v1/multitask/{method}"]["post"]["requestBody"]["content"]
    assert set(CODECS) <= body.keys()
    example = body["application/json"]["example"]
    assert post(http, "pcgrad", example).is_success
    assert "/v1/multitask/compare" in paths and "get" in paths["/v1/multitask"]


def test_only_so_many_tasks_are_compared(http: httpx.Client) -> None:
    got = post(http, "compare", {"inputs": {"losses": [1.0] * 65}})
    assert got.status_code == 413 and got.json()["at"] == "inputs"
