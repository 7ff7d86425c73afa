"""What is written down: JSON lines, units in the names, and first the machine."""

import datetime
import json
import os
import platform
import subprocess
import sys
from collections.abc import Iterable, Mapping
from importlib.metadata import version
from pathlib import Path
from typing import Any

from benchmarks._venvs import SERVERS

RESULTS = Path(__file__).parent / "results"
LIBRARIES = ("torch", "numpy", "fastapi", "pydantic", "uvicorn", "uvloop", "tritonclient")
CONTENDERS = {"litserve": "litserve", "mlserver": "mlserver", "triton": "nvidia-pytriton"}

Line = Mapping[str, Any]


def machine(*, quick: bool) -> dict[str, Any]:
    """Where and with what a run was made, and how busy the machine was as it began."""
    return {
        "kind": "machine",
        "date": datetime.datetime.now(datetime.UTC).date().isoformat(),
        "cpu": _first("/proc/cpuinfo", "model name"),
        "cores": len(os.sched_getaffinity(0)),
        "memory_gib": round(int(_first("/proc/meminfo", "MemTotal").split()[0]) / (1 << 20)),
        "system": f"{platform.system()} {platform.machine()}",
        "load_1min_at_start": round(os.getloadavg()[0], 2),
        "quick": quick,
        "versions": versions(),
    }


def versions() -> dict[str, str]:
    """Of lossd with its commit, of the libraries, and of the contenders as pinned."""
    found = {"lossd": f"{version('lossd')} ({_commit()})", "python": platform.python_version()}
    found |= {name: version(name) for name in LIBRARIES}
    for name, package in CONTENDERS.items():
        pins = (SERVERS / f"{name}.txt").read_text().splitlines()
        pin = next(line for line in pins if line.startswith(f"{package}=="))
        found[name] = pin.partition("==")[2] if package == name else pin.replace("==", " ")
    return found


def save(folder: Path, name: str, lines: Iterable[Line]) -> None:
    """Replace what the last run of this benchmark or section left."""
    folder.mkdir(parents=True, exist_ok=True)
    text = "".join(json.dumps(line) + "\n" for line in lines)
    (folder / f"{name}.jsonl").write_text(text)


def _commit() -> str:
    def git(*arguments: str) -> str:
        command = ["git", "-C", str(Path(__file__).parent), *arguments]
        return subprocess.run(command, capture_output=True, text=True, check=True).stdout.strip()

    try:
        changed = git("status", "--porcelain", "--untracked-files=no", "--", "../service")
        return git("rev-parse", "--short=10", "HEAD") + (", changed" if changed else "")
    except (OSError, subprocess.CalledProcessError) as err:
        print(f"no commit to name: {err}", file=sys.stderr)
        return "no commit"


def _first(path: str, key: str) -> str:
    for line in Path(path).read_text().splitlines():
        if line.startswith(key):
            return line.partition(":")[2].strip()
    return "unknown 0"
