"""docs/audit.md: what its examples for other programs come to, by the real command."""

import ast
import json
import os
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
import yaml

import audit_page

ROOT = Path(__file__).parents[2]
BIN = Path(sys.executable).parent


@pytest.fixture
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    audit_page.prepare(tmp_path)
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("PATH", f"{BIN}:{os.environ['PATH']}")
    monkeypatch.setenv("PYTHONPATH", f"{ROOT / 'service'}:{ROOT / 'clients/python/src'}")
    return tmp_path


def shell(command: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        ["bash", "-euo", "pipefail", "-c", command], capture_output=True, text=True
    )


def only(source: str, wanted: set[str]) -> dict[str, Any]:
    """Functions of a module, without their decorators, and its imports that are installed."""
    tree = ast.parse(source)
    kept: list[ast.stmt] = []
    for node in tree.body:
        if isinstance(node, ast.FunctionDef) and node.name in wanted:
            node.decorator_list = []
            kept.append(node)
        elif isinstance(node, ast.Import) or getattr(node, "module", None) == "pathlib":
            kept.append(node)
    space: dict[str, Any] = {}
    exec(compile(ast.Module(kept, []), audit_page.PAGE, "exec"), space)
    assert wanted <= space.keys()
    return space


def test_the_steps_for_github_run(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("GITHUB_STEP_SUMMARY", str(folder / "summary.md"))
    (text,) = audit_page.blocks("yaml")
    steps = yaml.safe_load(text)["jobs"]["audit"]["steps"]
    commands = [step["run"] for step in steps if "run" in step]
    installs = [command for command in commands if command.startswith("pip install ")]
    assert installs == ["pip install 'lossd[arrow]'"]
    for command in commands:
        if command not in installs:
            done = shell(command)
            assert done.returncode == 0, done.stdout + done.stderr
            assert "::stop-commands::" in done.stdout
    assert (folder / "summary.md").read_text().startswith("# Audit: ")
    (upload,) = (step for step in steps if "upload-artifact" in step.get("uses", ""))
    assert (folder / upload["with"]["path"] / "report.html").is_file()


def test_the_commands_of_airflow_run_and_its_task_merges_them(folder: Path) -> None:
    (source,) = audit_page.blocks("airflow")
    (command,) = (
        each.value
        for each in ast.walk(ast.parse(source))
        if isinstance(each, ast.keyword) and each.arg == "bash_command"
    )
    for i in range(2):
        text = eval(compile(ast.Expression(command), audit_page.PAGE, "eval"), {"i": i})
        done = shell(text)
        assert done.returncode == 0, done.stderr
    merge = only(source, {"merge_states"})["merge_states"]
    (folder / "gates.toml").write_text('[gates."accuracy.top_1.value"]\nmin = 0.5\n')
    assert merge("states", 2) == "pass"
    (folder / "gates.toml").write_text('[gates."accuracy.top_1.value"]\nmin = 0.99\n')
    assert merge("states", 2) == "fail"
    with pytest.raises(RuntimeError, match="ended with 3"):
        merge("elsewhere", 2)


def test_the_function_of_dagster_runs(folder: Path) -> None:
    (source,) = audit_page.blocks("dagster")
    audited = only(source, {"audited"})["audited"]
    (folder / "gates.toml").write_text('[gates."accuracy.top_1.value"]\nmin = 0.99\n')
    report = audited("predictions.parquet", "report")
    assert report["verdict"] == "fail"
    assert json.dumps(report["metrics"]["accuracy"]["top_1"]["value"])
    with pytest.raises(RuntimeError, match="ended with 3"):
        audited("elsewhere.parquet", "report")


def test_the_page_names_every_exit_code() -> None:
    from lossd import cli
    from lossd.cli import audit_output

    text = (ROOT / audit_page.PAGE).read_text()
    codes = (audit_output.PASSED, audit_output.GATE_FAILED, cli.USAGE, cli.FAILED)
    for code in (*codes, audit_output.INCONCLUSIVE):
        assert f"| {code} |" in text
