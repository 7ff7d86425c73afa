"""Files that appear when they are whole."""

import os
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from lossd.errors import UnreadableBody


@contextmanager
def whole_file(path: Path) -> Iterator[Path]:
    """A name beside a file to write to; it becomes the file when the block ends without an error.

    Links are followed, and what exists and is no file (a pipe, /dev/stdout) is written to as it is.
    Raises `UnreadableBody` for every `OSError` of the block.
    """
    target = Path(os.path.realpath(path))
    is_special = target.exists() and not target.is_file()
    part = target if is_special else target.with_name(f".{target.name}.{os.getpid()}.part")
    try:
        yield part
        if not is_special:
            part.replace(target)
    except OSError as err:
        raise UnreadableBody(f"cannot write: {err.strerror or err}", at=str(path)) from err
    finally:
        if not is_special:
            part.unlink(missing_ok=True)
