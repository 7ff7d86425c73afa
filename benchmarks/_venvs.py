"""A virtual environment for each contender that is not lossd, made once, with pinned versions."""

import hashlib
import subprocess
import sys
from pathlib import Path

SERVERS = Path(__file__).parent / "servers"
AUDITORS = Path(__file__).parent / "auditors"
DEFAULT_FOLDER = Path.home() / ".cache" / "lossd-bench"


class NoVenv(Exception):
    """pip could not install what a contender needs."""


def python_of(name: str, folder: Path, pins_folder: Path = SERVERS) -> Path:
    """The interpreter of `<pins_folder>/<name>.txt`, installed first if need be. Raises `NoVenv`.

    The folder's name holds a digest of the pins, so that other pins are another environment.
    """
    pins = pins_folder / f"{name}.txt"
    digest = hashlib.sha256(pins.read_bytes()).hexdigest()[:8]
    version = f"{sys.version_info.major}.{sys.version_info.minor}"
    venv = folder / f"{name}-{version}-{digest}"
    python, done = venv / "bin" / "python", venv / "installed"
    if not done.exists():
        print(f"installing {name} into {venv}", file=sys.stderr)
        pip = [str(python), "-m", "pip", "install", "--quiet", "--disable-pip-version-check"]
        _run([sys.executable, "-m", "venv", "--clear", str(venv)])
        # torch first and alone: no other package's wish for it may choose another build.
        for line in pins.read_text().split():
            if line.startswith("torch=="):
                _run([*pip, line])
        _run([*pip, "--requirement", str(pins)])
        done.touch()
    return python


def _run(command: list[str]) -> None:
    done = subprocess.run(command, capture_output=True, text=True)
    if done.returncode:
        raise NoVenv(f"{' '.join(command[:5])} ...: {done.stderr.strip()[-500:]}")
