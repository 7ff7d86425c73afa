"""The catalog and its calls over HTTP: what a caller in any language sees."""

import json
import math
import shlex
from typing import Any

import httpx
import numpy as np
import pytest
import torch
from catalog_cases import Case, numbers, of_cases

from case_requests import CASES, example, message_of, served
from lossd.losses import CATALOG, TOPICS
from lossd.schema import to_message
from lossd.wire import CODECS, Codec, Message

every_loss = pytest.mark.parametrize("name", CATALOG)
JSON = CODECS["application/json"]
SAFETENSORS = CODECS["application/vnd.safetensors"]


def post(http: httpx.Client, name: str, body: Any, **headers: str) -> httpx.Response:
    content = body if isinstance(body, bytes) else json.dumps(body).encode()
    headers = {"content-type": "application/json", **headers}
    return http.post(f"/v1/losses/{name}", content=content, headers=headers)


@every_loss
def test_the_example_works_as_pasted(http: httpx.Client, name: str) -> None:
    described = http.get(f"/v1/losses/{name}").json()
    words = shlex.split(described["example"]["curl"])
    assert words[:2] == ["curl", "-s"]
    body = words[words.index("-d") + 1]
    answer = http.post(words[2], content=body, headers={"content-type": "application/json"})
    assert answer.status_code == 200
    got = answer.json()
    assert math.isfinite(got["value"]) and got["loss"] == name
    assert set(got["gradients"]) <= set(CATALOG[name].gradients)
    assert got["params"].keys() == CATALOG[name].params.model_fields.keys()
    assert any(np.any(np.array(x)) for x in _leaves(got["gradients"]))


def _leaves(x: Any) -> list[Any]:
    return [y for each in x.values() for y in _leaves(each)] if isinstance(x, dict) else [x]


@every_loss
def test_every_format_gives_the_bits_of_the_engine(http: httpx.Client, name: str) -> None:
    call = example(name)
    want = to_message(call, served(call)).all_tensors
    for codec in CODECS.values():
        assert_same_bits(http, name, codec, want)


def assert_same_bits(
    http: httpx.Client, name: str, codec: Codec, want: dict[str, torch.Tensor]
) -> None:
    reply = http.post(
        f"/v1/losses/{name}",
        content=JSON.encode(_as_request(name)),
        headers={"content-type": "application/json", "accept": codec.media_type},
    )
    assert reply.headers["content-type"] == codec.media_type
    if codec is JSON:
        got = reply.json()
        assert [got[key] for key in ("sum", "denominator")] == [
            want["sum"].item(),
            want["denominator"].item(),
        ]
        return
    got = codec.decode(reply.content, 10**9)
    numbers = {key: got.fields[key] for key in want if key in got.fields}  # where Arrow puts them
    tensors = dict(got.tensors) | {
        key: torch.tensor(x, dtype=want[key].dtype) for key, x in numbers.items()
    }
    assert tensors.keys() == want.keys()
    assert all(torch.equal(tensors[key], want[key]) for key in want), codec


def _as_request(name: str) -> Message:
    spec = CATALOG[name]
    return Message({}, {"inputs": dict(spec.example.inputs), "params": dict(spec.example.params)})


SMOOTH = [case for case in CASES if case.source.startswith("smooth")]
FIRST = list({case.spec.name: case for case in reversed(SMOOTH)}.values())
SAMPLE = [case for case in FIRST if case.gradients and case.spec.items]


@of_cases(SMOOTH, 2)
def test_json_and_safetensors_mean_the_same(http: httpx.Client, case: Case) -> None:
    params = case.params.model_dump(mode="json")
    body = {"inputs": case.inputs, "params": params, "dtype": "float64", "reduction": "sum"}
    as_json = post(http, case.spec.name, body).json()
    binary = SAFETENSORS.encode(message_of(case, reduction="sum", outputs=["value", "gradients"]))
    reply = post(http, case.spec.name, binary, **{"content-type": SAFETENSORS.media_type})
    tensors = SAFETENSORS.decode(reply.content, 10**9).tensors
    assert as_json["sum"] == tensors["sum"].item()
    for key, x in tensors.items():
        if key.startswith("gradients."):
            place = as_json["gradients"]
            for part in key.removeprefix("gradients.").split("/", 1):
                place = place[part]
            assert torch.equal(torch.tensor(numbers(place), dtype=torch.float64), x)


@pytest.mark.parametrize("case", SAMPLE[::4], ids=lambda case: case.spec.name)
def test_the_gradient_is_the_slope_of_the_value_over_http(http: httpx.Client, case: Case) -> None:
    """Central differences along a direction, through the whole service, in float64."""
    params = case.params.model_dump(mode="json")
    if "unnormalized_targets" in params:
        params["unnormalized_targets"] = True

    def ask(inputs: dict[str, Any]) -> Any:
        body = {"inputs": inputs, "params": params, "dtype": "float64"}
        return post(http, case.spec.name, body).json()

    key = next(iter(case.gradients))
    x = np.array(case.inputs[key])
    direction = np.cos(np.arange(x.size)).reshape(x.shape)
    step = 1e-6
    up, down = (
        ask({**case.inputs, key: (x + s * direction).tolist()})["value"] for s in (step, -step)
    )
    slope = (np.array(ask(case.inputs)["gradients"][key]) * direction).sum()
    assert (up - down) / (2 * step) == pytest.approx(slope, rel=1e-6, abs=1e-8)


def test_the_catalog_lists_every_loss_and_narrows(http: httpx.Client) -> None:
    names = [each["name"] for each in http.get("/v1/losses").json()["losses"]]
    assert names == sorted(CATALOG)
    family = http.get("/v1/losses?family=regression").json()["losses"]
    assert [each["name"] for each in family] == sorted(
        name for name, spec in CATALOG.items() if spec.family == "regression"
    )
    found = http.get("/v1/losses?search=imbalance").json()["losses"]
    assert "sigmoid_focal" in [each["name"] for each in found]
    kinds = http.get("/v1/losses?kind=weights").json()["losses"]
    assert {each["name"] for each in kinds} == {
        name for name, spec in CATALOG.items() if "weights" in spec.inputs
    }


# What one who searches for the word must be shown, if the catalog has it.
SEARCHES = {
    "imbalance": ("sigmoid_focal", "class_balanced", "ldam", "logit_adjustment"),
    "noise": ("generalized_cross_entropy", "symmetric_cross_entropy", "bi_tempered"),
    "outliers": ("huber", "log_cosh", "cauchy", "tukey_biweight"),
    "calibration": ("brier", "flsd", "mmce"),
    "retrieval": ("info_nce", "contrastive", "triplet_margin", "arcface"),
    "detection": ("sigmoid_focal", "giou", "quality_focal"),
    "segmentation": ("dice", "lovasz_softmax", "tversky"),
    "ordinal": ("coral", "corn", "cumulative_link"),
    "ranking": ("margin_ranking", "listnet", "ranknet"),
    "rlhf": ("dpo", "kto", "ppo_clip"),
    "distillation": ("distillation", "kl_divergence"),
    "sparsity": ("l1_penalty", "elastic_net", "group_lasso", "sparsemax"),
}


@pytest.mark.parametrize("word", SEARCHES)
def test_a_common_word_finds_what_it_is_about(http: httpx.Client, word: str) -> None:
    found = [each["name"] for each in http.get(f"/v1/losses?search={word}").json()["losses"]]
    assert set(SEARCHES[word]) & CATALOG.keys() <= set(found)
    assert len(found) <= len(CATALOG) / 2


def test_what_is_about_a_word_comes_before_what_mentions_it(http: httpx.Client) -> None:
    found = http.get("/v1/losses?search=noise").json()["losses"]
    about = [any("noise" in said for said in (*each["topics"], each["name"])) for each in found]
    assert about == sorted(about, reverse=True) and any(about)


def test_topics_that_losses_name_are_topics() -> None:
    names = [topic.name for topic in TOPICS]
    assert len(names) == len(set(names))
    assert {name for spec in CATALOG.values() for name in spec.topics} <= set(names)


@every_loss
def test_a_loss_describes_itself(http: httpx.Client, name: str) -> None:
    got = http.get(f"/v1/losses/{name}").json()
    assert got["formula"] and got["source"] and got["units"] and got["description"]
    cost = got["card"]["cost_per_element"]
    assert cost["operations"] > 0 and cost["bytes_float32"] > 0 <= cost["transcendentals"]
    assert got["body_schema"]["properties"]["inputs"]


def test_every_loss_is_an_operation_of_the_openapi_document(http: httpx.Client) -> None:
    document = http.get("/openapi.json").json()
    for name, spec in CATALOG.items():
        operation = document["paths"][f"/v1/losses/{name}"]["post"]
        content = operation["requestBody"]["content"]
        assert content.keys() == CODECS.keys()
        example_body = content["application/json"]["example"]
        assert example_body["inputs"] == json.loads(json.dumps(dict(spec.example.inputs)))
        assert operation["tags"] == [spec.family]
    text = json.dumps(document)
    schemas = document["components"]["schemas"]
    for ref in {part.split('"')[0] for part in text.split("#/components/schemas/")[1:]}:
        assert ref in schemas
    for path in document["paths"].values():
        for operation in path.values():
            for code, answer in operation["responses"].items():
                if code != "200":
                    assert list(answer["content"]) == ["application/problem+json"]


def test_another_class_axis_gives_the_same_loss_and_the_turned_gradient(
    http: httpx.Client,
) -> None:
    logits, labels = torch.randn(2, 3, 4).tolist(), [[0, 1, 2, 0], [1, 1, 0, 2]]
    plain = post(http, "cross_entropy", {"inputs": {"logits": logits, "labels": labels}}).json()
    turned = torch.tensor(logits).movedim(1, -1).tolist()
    body = {"inputs": {"logits": turned, "labels": labels}, "class_axis": -1}
    other = post(http, "cross_entropy", body).json()
    assert other["value"] == plain["value"]
    back = torch.tensor(other["gradients"]["logits"]).movedim(-1, 1)
    assert torch.equal(back, torch.tensor(plain["gradients"]["logits"]))


def test_wrt_narrows_the_gradients(http: httpx.Client) -> None:
    inputs = {"prediction": [1.0], "target": [2.0]}
    assert post(http, "mse", {"inputs": inputs}).json()["gradients"].keys() == inputs.keys()
    narrowed = post(http, "mse", {"inputs": inputs, "wrt": ["target"]}).json()
    assert narrowed["gradients"] == {"target": [2.0]}


def test_infinite_answers_are_strict_json(http: httpx.Client) -> None:
    body = {"inputs": {"logits": [[0.0, "-Infinity"]], "labels": [1]}}
    reply = post(http, "cross_entropy", body)
    got = json.loads(reply.text, parse_constant=lambda word: pytest.fail(word))
    assert got["value"] == "Infinity" and got["gradients"]["logits"] == [[1.0, -1.0]]


def test_nonfinite_inputs_pass_where_the_caller_says_so(http: httpx.Client) -> None:
    body = {"inputs": {"prediction": ["NaN", 1.0], "target": [0.0, 0.0]}, "nonfinite": "propagate"}
    got = post(http, "mse", body).json()
    assert got["value"] == "NaN" and got["gradients"]["prediction"] == ["NaN", 1.0]


def test_answers_carry_an_id_and_their_timing(http: httpx.Client) -> None:
    body = {"inputs": {"prediction": [1.0], "target": [2.0]}}
    reply = post(http, "mse", body, **{"x-request-id": "mine-1"})
    assert reply.headers["x-request-id"] == "mine-1"
    phases = [part.split(";")[0].strip() for part in reply.headers["server-timing"].split(",")]
    assert phases == ["read", "parse", "queue", "compute", "serialize"]
    assert (
        len(http.get("/livez", headers={"x-request-id": "no\tgood"}).headers["x-request-id"]) == 32
    )


def test_probes_and_version_answer(http: httpx.Client) -> None:
    assert http.get("/livez").json() == {"status": "ok"}
    assert http.get("/readyz").json() == {"status": "ok"}
    version = http.get("/version").json()
    assert version["torch"] == torch.__version__ and version["device"] in ("cpu", "cuda")
