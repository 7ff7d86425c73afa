"""What is written is run: README blocks, generated pages, make targets."""

import ast
import json
import os
import re
import subprocess
import sys
from pathlib import Path

import pytest
from docs.generate import PAGES

ROOT = Path(__file__).parents[2]
FENCE = re.compile(r"^```(\w+)([^\n]*)\n(.*?)^```", re.M | re.S)
READMES = ("README.md", "clients/python/README.md")
BLOCKS = [
    pytest.param(name, kind, mark.strip(), body, following, id=f"{name}:{kind}:{i}")
    for name in READMES
    for found in [FENCE.findall((ROOT / name).read_text())]
    for i, (kind, mark, body) in enumerate(found)
    for following in [found[i + 1] if i + 1 < len(found) else ("", "", "")]
    if kind != "json"
]


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
def test_every_block_of_a_readme_runs(
    url: str, tmp_path: Path, name: str, kind: str, mark: str, body: str,
    following: tuple[str, str, str],
) -> None:  # fmt: skip
    if mark == "not-run":
        assert "docker" in body
        return
    body = body.replace("http://127.0.0.1:8000", url)
    if mark == "make":
        for line in body.splitlines():
            run([*line.partition("#")[0].split(), "--dry-run"], url, ROOT)
    elif kind == "python":
        run([sys.executable, "-c", body], url, tmp_path)
    else:
        assert kind == "sh"
        out = run(["bash", "-euo", "pipefail", "-c", body], url, tmp_path)
        assert out
        if following[0] == "json":
            assert_same(json.loads(out), json.loads(following[2]))


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
    assert (ROOT / name).read_text() == PAGES[name]().rstrip() + "\n"


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
    for page in [*READMES, "CONTRIBUTING.md", "docs/losses.md"]:
        for target in re.findall(r"\]\(([^)#:]+)\)", (ROOT / page).read_text()):
            assert ((ROOT / page).parent / target).exists(), f"{page}: {target}"
