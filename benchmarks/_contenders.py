"""The servers: how each is started, in which environment, and where it answers."""

import json
import os
import shutil
import sys
import sysconfig
from collections.abc import Callable, Mapping
from contextlib import ExitStack
from dataclasses import dataclass, field
from pathlib import Path
from tempfile import TemporaryDirectory

from benchmarks._processes import Server, free_port
from benchmarks._venvs import SERVERS, python_of

ROOT = Path(__file__).parents[1]
SHARED_MEMORY_PREFIX = "lossd_bench"


@dataclass(frozen=True)
class Start:
    """What starts a server: a command, where it says that it is ready, more environment."""

    command: list[str]
    ready_path: str
    environment: Mapping[str, str] = field(default_factory=dict)


def _lossd(port: int, venvs: Path, scratch: Path) -> Start:
    paths = [str(ROOT / "service"), str(ROOT / "clients/python/src")]
    environment = {
        "PYTHONPATH": os.pathsep.join(paths),
        "LOSSD_SHARED_MEMORY": "true",
        "LOSSD_SHARED_MEMORY_PREFIX": SHARED_MEMORY_PREFIX,
        "LOSSD_DEVICE": "cpu",
    }
    command = [sys.executable, "-m", "lossd", "serve", "--port", str(port)]
    return Start(command, "/readyz", environment)


def _script(name: str) -> Callable[[int, Path, Path], Start]:
    def start(port: int, venvs: Path, scratch: Path) -> Start:
        return Start([sys.executable, str(SERVERS / f"{name}.py"), str(port)], "/openapi.json")

    return start


def _litserve(port: int, venvs: Path, scratch: Path) -> Start:
    python = python_of("litserve", venvs)
    return Start([str(python), str(SERVERS / "litserve_api.py"), str(port)], "/health")


def _mlserver(port: int, venvs: Path, scratch: Path) -> Start:
    """In one process: its default is another one for the model, which only adds a hop."""
    python = python_of("mlserver", venvs)
    settings = {
        "debug": False,
        "host": "127.0.0.1",
        "http_port": port,
        "grpc_port": free_port(),
        "metrics_port": free_port(),
        "parallel_workers": 0,
    }
    model = {"name": "cross_entropy", "implementation": "mlserver_runtime.CrossEntropy"}
    (scratch / "settings.json").write_text(json.dumps(settings))
    (scratch / "model-settings.json").write_text(json.dumps(model))
    shutil.copy(SERVERS / "mlserver_runtime.py", scratch)
    command = [str(python.with_name("mlserver")), "start", str(scratch)]
    return Start(command, "/v2/models/cross_entropy/ready", {"PYTHONPATH": str(scratch)})


def _triton(port: int, venvs: Path, scratch: Path) -> Start:
    """The server of NVIDIA's wheel, without pytriton around it: a model of the Python backend.

    The wheel has a stub for each version of Python, which the backend looks for beside itself, and
    which needs the interpreter's shared library.
    """
    python = python_of("triton", venvs)
    packages = python.parents[1] / "lib" / f"python{_version()}" / "site-packages"
    triton = packages / "pytriton" / "tritonserver"
    backend = scratch / "backends" / "python"
    shutil.copytree(triton / "backends" / "python", backend)
    shutil.copy(
        triton / "python_backend_stubs" / _version() / "triton_python_backend_stub", backend
    )
    model = scratch / "models" / "cross_entropy" / "1"
    model.mkdir(parents=True)
    shutil.copy(SERVERS / "triton_model.py", model / "model.py")
    shutil.copy(SERVERS / "triton_config.pbtxt", model.parent / "config.pbtxt")
    libraries = [str(sysconfig.get_config_var("LIBDIR")), str(packages / "nvidia_pytriton.libs")]
    command = [
        str(triton / "bin" / "tritonserver"),
        f"--model-repository={scratch / 'models'}",
        f"--backend-directory={scratch / 'backends'}",
        "--http-address=127.0.0.1",
        f"--http-port={port}",
        "--allow-grpc=false",
        "--allow-metrics=false",
    ]
    environment = {"LD_LIBRARY_PATH": os.pathsep.join(libraries), "PYTHONPATH": str(packages)}
    return Start(command, "/v2/models/cross_entropy/ready", environment)


def _version() -> str:
    return f"{sys.version_info.major}.{sys.version_info.minor}"


STARTS: Mapping[str, Callable[[int, Path, Path], Start]] = {
    "lossd": _lossd,
    "plain": _script("plain"),
    "empty": _script("empty"),
    "litserve": _litserve,
    "mlserver": _mlserver,
    "triton": _triton,
}


def start(
    name: str,
    stack: ExitStack,
    venvs: Path,
    *,
    cpus: set[int] | None,
    environment: Mapping[str, str] | None = None,
    options: tuple[str, ...] = (),
) -> Server:
    """A running, paused server, stopped when the stack closes. Raises `ServerFailed`, `NoVenv`.

    - `environment`, `options`: beside the contender's own.
    """
    scratch = Path(stack.enter_context(TemporaryDirectory(prefix="lossd-bench-")))
    port = free_port()
    how = STARTS[name](port, venvs, scratch)
    server = Server(
        name,
        [*how.command, *options],
        port,
        ready_path=how.ready_path,
        environment={**how.environment, **(environment or {})},
        cpus=cpus,
    )
    return stack.enter_context(server)
