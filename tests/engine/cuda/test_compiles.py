"""The kernels through Triton's compiler, for a GPU that need not be there."""

import json
import os
import subprocess
import sys
from pathlib import Path

from lossd.engine.cuda.kernels import kernel_names


def test_every_kernel_compiles_and_counts_memory_in_64_bits(tmp_path: Path) -> None:
    """More than 2^31 elements would otherwise be read from where they are not."""
    env = {key: x for key, x in os.environ.items() if key != "TRITON_INTERPRET"}
    env |= {"TRITON_CACHE_DIR": str(tmp_path), "PYTHONPATH": os.pathsep.join(sys.path)}
    script = Path(__file__).with_name("compile_kernels.py")
    ran = subprocess.run([sys.executable, script], env=env, capture_output=True, text=True)
    assert ran.returncode == 0, ran.stderr[-2000:]
    found = [json.loads(line) for line in ran.stdout.splitlines()]
    assert len(found) == len(kernel_names()) + 1
    for each in found:
        assert each["offsets"] and not any("i32" in kind for kind in each["offsets"]), each
