"""Groups of tensors that go with another group: by name, whatever their order."""

from typing import Any

import httpx
import pytest

WEIGHTS: dict[str, Any] = {"a": [1.0, 2.0], "b": [[3.0, 5.0]]}


def ask(http: httpx.Client, start: Any) -> httpx.Response:
    return http.post("/v1/losses/l2_sp", json={"inputs": {"weights": WEIGHTS, "start": start}})


def test_members_of_two_groups_meet_by_name(http: httpx.Client) -> None:
    turned = ask(http, {"b": [[1.0, 1.0]], "a": [1.0, 1.0]}).json()
    assert turned == ask(http, {"a": [1.0, 1.0], "b": [[1.0, 1.0]]}).json()
    assert turned["value"] == pytest.approx(0.05 * (0 + 1 + 4 + 16))
    assert turned["gradients"]["weights"]["b"][0] == pytest.approx([0.2, 0.4])


@pytest.mark.parametrize(
    ("start", "code"),
    [
        ({"a": [1.0, 1.0]}, "missing_input"),
        ({"a": [1.0, 1.0], "c": [[1.0, 1.0]]}, "missing_input"),
        ({"a": [1.0, 1.0], "b": [1.0, 1.0]}, "wrong_shape"),
        ([1.0, 1.0], "missing_input"),
    ],
)
def test_a_member_without_its_partner_is_refused(http: httpx.Client, start: Any, code: str) -> None:
    reply = ask(http, start)
    assert (reply.status_code, reply.json()["code"]) == (422, code)
    assert reply.json()["at"].startswith("inputs.start")
