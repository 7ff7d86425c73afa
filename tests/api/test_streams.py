"""Streams: answers come while the input still goes, and what breaks one leaves nothing behind."""

import json
import os
import threading
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import httpx
import numpy as np
import pyarrow as pa
import pytest
import torch
from catalog_cases import Case
from fastapi import FastAPI

from case_requests import CASES, call_of, message_of, served
from conftest import running
from lossd.app import create_app
from lossd.losses import CATALOG
from lossd.settings import Settings
from lossd.wire.arrow_stream import Elements, read_column, write_column
from stream_caller import ARROW, Feed, batch_of, calling, exchange

SMOOTH = {
    case.spec.name: case
    for case in CASES
    if case.source.startswith("smooth") and case.spec.coupling == "independent"
}


@pytest.fixture
def app() -> FastAPI:
    limits = {"max_stream_batch_bytes": 1 << 20, "stream_idle_timeout_s": 2.0, "threads": 1}
    return create_app(Settings(**limits))


@pytest.fixture
def small(app: FastAPI) -> Iterator[str]:
    """The address of a service of small limits, whose admission is `app.state.admission`."""
    with running(app.state.settings, app) as url:
        yield url


def wait_for(condition: Any, timeout_s: float = 10.0) -> bool:
    end_s = time.monotonic() + timeout_s
    while time.monotonic() < end_s:
        if condition():
            return True
        time.sleep(0.02)
    return False


def joined(answer: list[Any], name: str) -> torch.Tensor:
    return torch.cat([read_column(name, b.column(name), Elements(10**6)) for b in answer if len(b)])


def cut(case: Case, rows: int) -> tuple[list[Any], dict[str, Any]]:
    """A reference case as batches, and what belongs to no row as JSON."""
    tensors = message_of(case).tensors
    shared = {
        name: {"dtype": "float64", "shape": list(x.shape), "data": x.tolist()}
        for name, x in tensors.items()
        if case.spec.inputs[name].scope == "shared"
    }
    columns = {name: write_column(name, x) for name, x in tensors.items() if name not in shared}
    whole = pa.record_batch(list(columns.values()), names=list(columns))
    return [whole.slice(i, rows) for i in range(0, whole.num_rows, rows)], shared


@pytest.mark.parametrize("case", SMOOTH.values(), ids=SMOOTH)
def test_the_parts_add_up_to_one_whole_call(url: str, case: Case) -> None:
    batches, shared = cut(case, rows=2)
    params = case.params.model_dump(mode="json")
    answer, complete = exchange(
        url,
        batches,
        case.spec.name,
        params=params,
        outputs=["rows", "gradients"],
        inputs=shared,
    )
    want = served(call_of(case, reduction="sum"))
    assert complete and len(answer) == len(batches) + 1
    got = [batch for batch, _ in answer]
    assert torch.equal(joined(got, "rows"), want.rows)
    for name in want.gradients.keys() - shared.keys():  # what belongs to no row has no column
        assert torch.equal(joined(got, f"gradients.{name}"), want.gradients[name])
    assert not {f"gradients.{name}" for name in shared} & set(got[0].schema.names)
    note = answer[-1][1]
    assert note["sum"] == pytest.approx(want.sum) and note["count"] == want.count
    assert note["denominator"] == pytest.approx(want.denominator)
    assert note["value"] == pytest.approx(want.sum / want.denominator)
    assert note["batches"] == len(batches) and note["params"] == params


def test_other_columns_pass_through_whatever_they_are(url: str) -> None:
    batches = [
        batch_of(
            3,
            start=start,
            id=pa.array([f"row {start + i}" for i in range(3)]),
            source=pa.array(["a", words, "a"]).dictionary_encode(),
            when=pa.array([1, None, 3], pa.timestamp("us", "Europe/Rome")),
            tags=pa.array([["x"], [], None]),
            nothing=pa.nulls(3),
        )
        for start, words in ((0, "b"), (3, "c"), (6, "c"))
    ]
    answer, complete = exchange(url, batches)
    assert complete
    for sent, (got, notes) in zip(batches, answer, strict=False):
        assert not notes and got.schema.names[-1] == "rows"
        for name in ("id", "source", "when", "tags", "nothing"):
            assert got.column(name).to_pylist() == sent.column(name).to_pylist()
            assert got.column(name).type == sent.column(name).type


def test_answers_come_before_the_input_ends(url: str) -> None:
    feed = Feed(batch_of(4).schema, outputs=["gradients"])
    with calling(url) as caller:
        caller.send(feed.batch(batch_of(4)))
        answers = caller.batches()
        for start in range(4, 20, 4):
            got, notes = next(answers)
            assert got.num_rows == 4 and not notes
            assert got.schema.names == ["rows", "gradients.logits"]
            caller.send(feed.batch(batch_of(4, start=start)))
        assert next(answers)[0].num_rows == 4
        caller.send(feed.end())
        caller.end()
        (last, notes), *rest = answers
        assert last.num_rows == 0 and notes["count"] == 20 and not rest
        assert caller.read() == b"" and caller.complete


def test_a_stream_with_a_length_may_come_in_chunks_of_any_size(url: str) -> None:
    feed = Feed(batch_of(50).schema)
    body = feed.batch(batch_of(50)) + feed.end()
    with calling(url) as caller:
        for i in range(0, len(body), 7):
            caller.send(body[i : i + 7])
        caller.end()
        by_chunks = [batch for batch, _ in caller.batches()]
    reply = httpx.post(
        f"{url}/v1/streams/cross_entropy", content=body, headers={"content-type": ARROW}
    )
    assert reply.headers["content-type"] == ARROW and reply.headers["x-request-id"]
    assert list(pa.ipc.open_stream(reply.content)) == by_chunks


def squared(x: float) -> Any:
    """A batch whose only row has the square of x as its loss."""
    columns = [pa.array([x], pa.float32()), pa.array([0.0], pa.float32())]
    return pa.record_batch(columns, names=["prediction", "target"])


def test_sums_are_added_in_float64(url: str) -> None:
    answer, _ = exchange(url, [squared(1e4), *[squared(1e-2)] * 100], "mse")
    assert answer[-1][1]["sum"] == pytest.approx(1e8 + 1e-2, rel=0, abs=1e-6)


@pytest.mark.parametrize("variable", [False, True], ids=["fixed-size lists", "lists"])
def test_batches_of_no_rows_are_answered_by_none(url: str, variable: bool) -> None:
    def turned(batch: Any) -> Any:
        column = batch.column("logits")
        kind = pa.list_(pa.float32()) if variable else column.type
        return batch.set_column(0, "logits", column.cast(kind))

    empty, full = turned(batch_of(0)), turned(batch_of(2))
    answer, complete = exchange(url, [empty, full, empty, full], outputs=["gradients"])
    rows = [batch.num_rows for batch, _ in answer]
    assert complete and rows == ([2, 0, 2, 0] if variable else [0, 2, 0, 2, 0])
    assert answer[-1][1]["count"] == 4
    for nothing in ([empty], [empty, empty]):
        answer, complete = exchange(url, nothing)
        notes = answer[-1][1]
        assert complete and notes["value"] is None and notes["count"] == 0
        assert notes["warnings"][0]["code"] == "zero_denominator"


def test_weights_and_options_hold_for_every_batch(url: str) -> None:
    batches = [batch_of(3, start=start, row_weights=pa.array([0.0, 1.0, 2.0])) for start in (0, 3)]
    answer, _ = exchange(
        url,
        batches,
        params={"label_smoothing": 0.25},
        reduction="sum",
        inputs={"class_weights": [1.0, 2.0, 0.5]},
        outputs=["gradients"],
        gradient_form="row_norms",
    )
    assert answer[0][0].schema.names == ["rows", "gradient_row_norms.logits"]
    assert answer[0][0].column("rows")[0].as_py() == 0
    notes = answer[-1][1]
    assert notes["value"] == notes["sum"] and notes["params"]["label_smoothing"] == 0.25


def test_sums_that_are_not_finite_are_strings(url: str) -> None:
    answer, _ = exchange(url, [squared(float("inf"))], "mse", nonfinite="propagate")
    notes = answer[-1][1]
    assert notes["value"] == notes["sum"] == "Infinity"
    assert [each["code"] for each in notes["warnings"]] == ["nonfinite_value"]


GOOD = batch_of(2)
NULLS = batch_of(2).set_column(1, "labels", pa.array([None, 1]))
REFUSED = [
    ("a penalty", "l2_penalty", GOOD, {}, "bad_option", "loss"),
    ("no such loss", "nope", GOOD, {}, "unknown_loss", "loss"),
    ("no labels", "cross_entropy", GOOD.select(["logits"]), {}, "missing_input", "inputs.labels"),
    ("a column named rows", "cross_entropy", GOOD.append_column("rows", GOOD["labels"]), {},
     "unexpected_input", "columns.rows"),
    ("a column named as a gradient", "cross_entropy",
     GOOD.append_column("gradients.logits", GOOD["labels"]), {}, "unexpected_input",
     "columns.gradients.logits"),
    ("two columns of one name", "cross_entropy", GOOD.append_column("labels", GOOD["labels"]), {},
     "unexpected_input", "columns.labels"),
    ("rows in the metadata", "cross_entropy", GOOD.select(["logits"]), {"inputs": {"labels": [0]}},
     "unexpected_input", "inputs.labels"),
    ("a bad parameter", "cross_entropy", GOOD, {"params": {"label_smoothing": 2}}, "bad_params",
     "params.label_smoothing"),
    ("an unknown field", "cross_entropy", GOOD, {"reduce": "mean"}, "bad_option", "reduce"),
    ("outputs that are no list", "cross_entropy", GOOD, {"outputs": 3}, "bad_option", "outputs"),
    ("no such gradient", "cross_entropy", GOOD, {"outputs": ["gradients"], "wrt": ["labels"]},
     "bad_option", "wrt[0]"),
    ("the layout whole", "cross_entropy", GOOD, {"layout": "whole"}, "bad_option", "layout"),
    ("bfloat16", "cross_entropy", GOOD, {"gradient_dtype": "bfloat16"}, "not_acceptable",
     "gradient_dtype"),
    ("a bad label", "cross_entropy", batch_of(2, labels=pa.array([0, 3])), {}, "out_of_range",
     "batches[0].labels"),
    ("a null", "cross_entropy", NULLS, {}, "out_of_range", "batches[0].labels"),
    ("words", "cross_entropy", batch_of(2, labels=pa.array(["a", "b"])), {}, "wrong_dtype",
     "batches[0].labels"),
    ("ragged", "cross_entropy", batch_of(2, logits=pa.array([[1.0], [1.0, 2.0]])), {},
     "wrong_shape", "batches[0].logits"),
]  # fmt: skip


@pytest.mark.parametrize(
    ("loss", "batch", "metadata", "code", "at"),
    [case[1:] for case in REFUSED],
    ids=[case[0] for case in REFUSED],
)
def test_an_error_before_the_first_answer_is_a_problem(
    url: str, loss: str, batch: Any, metadata: dict[str, Any], code: str, at: str
) -> None:
    problem = exchange(url, [batch], loss, **metadata)
    assert (problem["code"], problem["at"]) == (code, at)


@pytest.mark.parametrize(
    ("headers", "code"),
    [
        ({"content-type": "application/json"}, "unsupported_media_type"),
        ({"content-type": "text/plain"}, "unsupported_media_type"),
        ({"content-encoding": "gzip"}, "unsupported_media_type"),
        ({"accept": "application/json"}, "not_acceptable"),
        ({"accept": "text/plain"}, "not_acceptable"),
    ],
)
def test_streams_are_plain_arrow_both_ways(url: str, headers: dict[str, str], code: str) -> None:
    with calling(url, **headers) as caller:
        caller.end()
        assert caller.problem()["code"] == code


LATER = [
    ("a bad label", batch_of(3, labels=pa.array([0, 1, 7])), "out_of_range", "batches[2].labels",
     [[2]]),
    ("not finite", batch_of(2, logits=pa.array([[0.0] * 3, [float("nan")] * 3],
                                               pa.list_(pa.float32(), 3))),
     "not_finite", "batches[2].logits", [[1, 0], [1, 1], [1, 2]]),
]  # fmt: skip


@pytest.mark.parametrize(
    ("bad", "code", "at", "indices"), [c[1:] for c in LATER], ids=[c[0] for c in LATER]
)
def test_a_later_error_is_the_last_batch_and_the_answer_stays_open(
    url: str, bad: Any, code: str, at: str, indices: Any
) -> None:
    feed = Feed(GOOD.schema)
    with calling(url) as caller:
        caller.send(feed.batch(GOOD) + feed.batch(GOOD) + feed.batch(bad))
        answers = caller.batches()
        assert [next(answers)[0].num_rows for _ in range(2)] == [2, 2]
        last, notes = next(answers)
        error = notes["error"]
        assert last.num_rows == 0 and notes.keys() == {"error"}
        assert (error["code"], error["at"], error["indices"]) == (code, at, indices)
        started_s = time.monotonic()
        for _ in range(3):  # whoever still sends learns of it all the same
            caller.send(feed.batch(GOOD))
        assert caller.read() == b"" and not caller.complete
        assert time.monotonic() - started_s < 5


def test_lists_may_not_change_their_width(url: str) -> None:
    batches = [batch_of(2, logits=pa.array([[0.0] * n] * 2)) for n in (3, 4)]
    answer, complete = exchange(url, batches)
    assert not complete and answer[1][1]["error"]["at"] == "batches[1].logits"
    assert answer[1][1]["error"]["code"] == "wrong_shape"


def bytes_of_two() -> bytes:
    feed = Feed(GOOD.schema)
    return feed.batch(GOOD) + feed.batch(GOOD) + feed.end()


@pytest.mark.parametrize("kept", [0, 3, 100, 0.5, 0.9, -8, -1])
def test_a_stream_that_stops_early_is_never_complete(url: str, kept: float) -> None:
    body = bytes_of_two()
    size = int(len(body) * kept) if isinstance(kept, float) else kept
    with calling(url) as caller:
        caller.send(body[:size])
        caller.end()
        if caller.head().status_code != 200:
            assert caller.problem()["code"] == "unreadable_body"
            return
        *_, (_, notes) = caller.batches()
        assert notes["error"]["code"] == "unreadable_body" and not caller.complete


def test_bytes_after_the_end_are_refused(url: str) -> None:
    with calling(url) as caller:
        caller.send(bytes_of_two())
        answers = caller.batches()
        assert [next(answers)[0].num_rows for _ in range(2)] == [2, 2]
        caller.send(b"more")
        assert next(answers)[1]["error"]["code"] == "unreadable_body"


def test_noise_in_a_stream_is_refused_and_nothing_worse(url: str) -> None:
    body, random = bytes_of_two(), np.random.default_rng(0)
    for _ in range(60):
        damaged = bytearray(body)
        for place in random.integers(0, len(body), 3):
            damaged[place] ^= 1 << random.integers(0, 8)
        with calling(url) as caller:
            caller.send(bytes(damaged))
            caller.end()
            status = caller.head().status_code
            assert status == 200 or 400 <= status < 500, caller.problem()
            if status == 200:
                notes = [each for batch, each in caller.batches() if each]
                assert notes[0].get("error", {"status": 400})["status"] < 500
    assert httpx.get(f"{url}/readyz").is_success


def test_a_batch_over_the_limit_is_refused_by_its_head_alone(small: str) -> None:
    feed = Feed(batch_of(1).schema)
    with calling(small) as caller:
        caller.send(feed.batch(batch_of(100_000))[:2000])
        problem = caller.problem()
    assert problem["code"] == "too_large" and "LOSSD_MAX_STREAM_BATCH_BYTES" in problem["expected"]


def test_dictionaries_count_against_the_limit(small: str) -> None:
    def words(n: int) -> Any:
        column = pa.array([f"{n} {'x' * 100_000} {i}" for i in range(6)]).dictionary_encode()
        return batch_of(6, **{f"word{k}": column for k in range(2)})

    assert exchange(small, [words(0)])["code"] == "too_large"


def test_elements_are_counted_per_batch() -> None:
    with running(Settings(max_elements=400)) as url:
        answer, complete = exchange(url, [batch_of(100)] * 5)
        assert complete and answer[-1][1]["count"] == 500
        assert exchange(url, [batch_of(101)])["code"] == "too_large"


def test_silence_ends_a_stream(small: str, app: FastAPI) -> None:
    feed = Feed(GOOD.schema)
    with calling(small) as caller:
        caller.send(feed.batch(GOOD))
        answers = caller.batches()
        assert next(answers)[0].num_rows == 2
        assert app.state.admission.requests == 1
        assert next(answers)[1]["error"]["code"] == "deadline_exceeded"
        assert caller.read() == b"" and not caller.complete
    assert wait_for(lambda: app.state.admission.requests == 0)


def test_who_does_not_read_is_not_read_from(small: str, app: FastAPI) -> None:
    """And is let go of after the time that a stream may be idle."""
    batch = batch_of(20_000)  # 400 kB
    feed = Feed(batch.schema, outputs=["gradients"])
    with calling(small) as caller:
        caller.send(feed.batch(batch))
        caller.socket.settimeout(1.0)
        taken = 0
        with pytest.raises(TimeoutError):
            while taken < 100 << 20:
                taken += len(batch.column(0).flatten()) * 4
                caller.send(feed.batch(batch))
        admission = app.state.admission
        assert taken < 30 << 20 and admission.requests == 1
        assert admission.held_bytes <= (1 << 20) + (1 << 20)
        assert wait_for(lambda: admission.requests == 0)
        assert admission.held_bytes == 0


@pytest.mark.parametrize("sent", ["nothing", "half a batch", "a batch", "all"])
def test_who_hangs_up_leaves_nothing_behind(small: str, app: FastAPI, sent: str) -> None:
    body = bytes_of_two()
    size = {"nothing": 0, "half a batch": 700, "a batch": -100, "all": len(body)}[sent]
    with calling(small) as caller:
        caller.send(body[:size] or b" ")
        if sent == "a batch":
            next(caller.batches())
        else:
            assert wait_for(lambda: app.state.admission.requests == 1 or sent == "all")
    assert wait_for(lambda: app.state.admission.requests == 0)
    assert app.state.admission.held_bytes == 0


def test_a_bug_in_the_middle_is_an_error_without_its_traceback(
    url: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    feed = Feed(GOOD.schema)
    with calling(url, **{"x-request-id": "mine"}) as caller:
        caller.send(feed.batch(GOOD))
        answers = caller.batches()
        next(answers)
        monkeypatch.setattr("lossd.schema.stream.write_column", None)
        caller.send(feed.batch(GOOD))
        error = next(answers)[1]["error"]
        assert error["code"] == "internal_error" and "mine" in error["detail"]
        assert "NoneType" not in json.dumps(error)


def test_a_column_named_cotangent_turns_gradients_into_products(url: str) -> None:
    cotangent = pa.array([2.0, 0.0], pa.float32())
    plain, _ = exchange(url, [GOOD], outputs=["gradients"])
    turned, _ = exchange(url, [batch_of(2, cotangent=cotangent)], outputs=["gradients"])
    want = joined([plain[0][0]], "gradients.logits") * torch.tensor([[2.0], [0.0]])
    assert torch.equal(joined([turned[0][0]], "gradients.logits"), want)


def test_a_stream_holds_one_place(app: FastAPI) -> None:
    with running(Settings(max_queue=1)) as url, calling(url) as first:
        first.send(Feed(GOOD.schema).batch(GOOD))
        assert first.head().status_code == 200
        assert exchange(url, [GOOD])["code"] == "overloaded"


def test_memory_does_not_grow_with_the_stream(app: FastAPI) -> None:
    def resident_bytes() -> int:
        return int(Path("/proc/self/statm").read_text().split()[1]) * os.sysconf("SC_PAGESIZE")

    batch = batch_of(40_000, classes=10)  # 2 MB, so 400 MB in all, and as much of gradients
    feed = Feed(batch.schema, outputs=["gradients"])
    with running(Settings(threads=1)) as url, calling(url) as caller:

        def send() -> None:
            for _ in range(200):
                caller.send(feed.batch(batch))
            caller.send(feed.end())
            caller.end()

        caller.send(feed.batch(batch))
        answers = caller.batches()
        next(answers)
        before = resident_bytes()
        sender = threading.Thread(target=send)
        sender.start()
        most = 0
        last: dict[str, Any] = {}
        for _, notes in answers:
            most, last = max(most, resident_bytes()), notes
        sender.join()
    assert last["batches"] == 201 and most - before < 150 << 20


def test_the_openapi_document_has_the_route(http: httpx.Client) -> None:
    operation = http.get("/openapi.json").json()["paths"]["/v1/streams/{loss}"]["post"]
    assert list(operation["requestBody"]["content"]) == [ARROW]
    names = operation["parameters"][0]["schema"]["enum"]
    assert set(names) == {n for n, spec in CATALOG.items() if spec.coupling == "independent"}
    assert json.dumps(operation).count("problem+json") > 3
    assert http.get("/v1/streams/mse").status_code == 405
