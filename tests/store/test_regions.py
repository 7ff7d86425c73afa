"""The regions that several processes share: what one writes, every other one sees at once."""

import fcntl
import os
import secrets
import sqlite3
from collections.abc import Callable, Iterator
from contextlib import closing
from functools import partial
from pathlib import Path

import numpy as np
import pytest
from numpy.typing import NDArray

from lossd.engine.memory import Buffers
from lossd.errors import OutOfRange, UnknownRegion
from lossd.store import Regions
from lossd.store._table import Region

SIZE = 1 << 20
BUFFERS = Buffers(8 << 20)
SEALS = fcntl.F_SEAL_SHRINK | fcntl.F_SEAL_GROW | fcntl.F_SEAL_SEAL


def sealed(size: int = SIZE, seals: int = SEALS) -> tuple[int, str]:
    """A descriptor, and the key that names it."""
    name = f"lossd-{secrets.token_hex(16)}"
    file = os.memfd_create(name, os.MFD_ALLOW_SEALING)
    os.posix_fallocate(file, 0, size)
    fcntl.fcntl(file, fcntl.F_ADD_SEALS, seals)
    return file, f"/memfd/{os.getpid()}/{file}/{name}"


def one_view(
    regions: Regions, region: Region, offset: int, byte_size: int
) -> tuple[NDArray[np.uint8], bool]:
    views, is_shared = regions.views(region, [(offset, byte_size)])
    return views[0], is_shared


@pytest.fixture
def make(tmp_path: Path) -> Iterator[Callable[..., Regions]]:
    made: list[Regions] = []

    def make_one(most_mapped_bytes: int = 1 << 30) -> Regions:
        made.append(
            Regions(
                tmp_path,
                enabled=True,
                prefix="lossd",
                most=100,
                most_mapped_bytes=most_mapped_bytes,
                allocate=lambda size: BUFFERS.take((size,), np.uint8),
            )
        )
        return made[-1]

    yield make_one
    for each in made:
        each.close()


def test_what_one_process_changes_the_others_see_at_once(make: Callable[..., Regions]) -> None:
    one, other = make(), make()
    file, key = sealed()
    for _ in range(20):
        one.register("r", "me", key=key, offset=0, byte_size=SIZE)
        assert other.find("r", "me") == one.find("r", "me")
        with pytest.raises(UnknownRegion):
            other.find("r", "you")
        other.unregister("r", "me")
        with pytest.raises(UnknownRegion):
            one.find("r", "me")
        one.register("r", "me", key=key, offset=64, byte_size=64)
        assert other.find("r", "me").offset == one.find("r", "me").offset == 64
        one.unregister(None, "me")
        with pytest.raises(UnknownRegion):
            other.find("r", "me")
    os.close(file)


def test_a_process_that_died_while_writing_leaves_no_stale_answers(
    make: Callable[..., Regions], tmp_path: Path
) -> None:
    one = make()
    file, key = sealed()
    one.register("r", "", key=key, offset=0, byte_size=SIZE)
    one.find("r", "")
    version = tmp_path / "regions.version"
    odd = int.from_bytes(version.read_bytes(), "little") + 1
    with version.open("r+b") as written:
        written.write(odd.to_bytes(8, "little"))
    with closing(sqlite3.connect(tmp_path / "regions.sqlite")) as database, database:
        database.execute("update regions set byte_offset = 64")
    assert one.find("r", "").offset == 64
    with closing(sqlite3.connect(tmp_path / "regions.sqlite")) as database, database:
        database.execute("update regions set byte_offset = 128")
    assert one.find("r", "").offset == 128
    one.unregister("r", "")
    assert int.from_bytes(version.read_bytes(), "little") % 2 == 0
    os.close(file)


def test_a_sealed_memfd_is_looked_at_and_written_in_place(make: Callable[..., Regions]) -> None:
    regions = make()
    file, key = sealed()
    regions.register("r", "", key=key, offset=64, byte_size=SIZE - 64)
    region = regions.find("r", "")
    view, is_shared = one_view(regions, region, 64, 8)
    os.pwrite(file, b"changed!", 128)
    assert is_shared and view.tobytes() == b"changed!"
    place = regions.place(region, 0, 8)
    assert place is not None
    place[:] = np.frombuffer(b"answered", np.uint8)
    assert os.pread(file, 8, 64) == b"answered"
    for offset, size in ((-1, 8), (SIZE - 64, 1), (0, SIZE)):
        with pytest.raises(OutOfRange):
            one_view(regions, region, offset, size)
    os.close(file)


@pytest.mark.parametrize("seals", [0, fcntl.F_SEAL_GROW, SEALS | fcntl.F_SEAL_WRITE])
def test_what_may_shrink_or_not_be_written_is_copied(
    make: Callable[..., Regions], seals: int
) -> None:
    regions = make()
    file, key = sealed(seals=seals)
    regions.register("r", "", key=key, offset=0, byte_size=SIZE)
    view, is_shared = one_view(regions, regions.find("r", ""), 0, SIZE)
    assert not is_shared and not view.any()
    if seals & fcntl.F_SEAL_WRITE:
        with pytest.raises(UnknownRegion, match="sealed against writing"):
            regions.write(regions.find("r", ""), 0, np.ones(8, np.uint8))
    else:
        regions.write(regions.find("r", ""), 0, np.ones(8, np.uint8))
        assert os.pread(file, 9, 0) == b"\1" * 8 + b"\0"
    os.close(file)


def test_one_that_is_not_all_there_is_copied_and_takes_no_memory(
    make: Callable[..., Regions],
) -> None:
    regions = make()
    file, key = sealed()
    name = key.rpartition("/")[2]
    sparse = os.memfd_create(name, os.MFD_ALLOW_SEALING)
    os.ftruncate(sparse, SIZE)
    fcntl.fcntl(sparse, fcntl.F_ADD_SEALS, SEALS)
    regions.register("r", "", key=f"/memfd/{os.getpid()}/{sparse}/{name}", offset=0, byte_size=SIZE)
    view, is_shared = one_view(regions, regions.find("r", ""), 0, SIZE)
    assert not is_shared and not view.any() and os.fstat(sparse).st_blocks == 0
    os.close(file)
    os.close(sparse)


def test_one_that_was_cut_before_it_was_sealed_is_shorter(make: Callable[..., Regions]) -> None:
    regions = make()
    file, key = sealed(seals=0)
    regions.register("r", "", key=key, offset=0, byte_size=SIZE)
    os.ftruncate(file, 4096)
    fcntl.fcntl(file, fcntl.F_ADD_SEALS, SEALS)
    region = regions.find("r", "")
    assert one_view(regions, region, 0, 4096)[1]
    for reach in (partial(one_view, regions), regions.place):
        with pytest.raises(OutOfRange, match="shorter"):
            reach(region, 0, 4097)
    os.close(file)


def test_only_so_many_bytes_stay_mapped_and_a_view_outlives_its_mapping(
    make: Callable[..., Regions],
) -> None:
    regions = make(most_mapped_bytes=2 * SIZE)
    files = [sealed() for _ in range(4)] + [sealed(3 * SIZE)]
    views = []
    for i, (file, key) in enumerate(files):
        size = os.fstat(file).st_size
        regions.register(str(i), "", key=key, offset=0, byte_size=size)
        views.append(one_view(regions, regions.find(str(i), ""), 0, size))
        assert len(regions._mappings) == min(i + 1, 2)
    assert [is_shared for _, is_shared in views] == [True, True, True, True, False]
    os.pwrite(files[0][0], b"still", 0)
    assert views[0][0][:5].tobytes() == b"still"
    regions.unregister("3", "")
    assert len(regions._mappings) == 1
    regions.unregister(None, "")
    assert len(regions._mappings) == 0
    for file, _ in files:
        os.close(file)


def test_a_sweep_forgets_what_was_closed_or_has_another_meaning(
    make: Callable[..., Regions],
) -> None:
    regions, other = make(), make()
    kept, closed, replaced = (sealed() for _ in range(3))
    for name, (_, key) in {"kept": kept, "closed": closed, "replaced": replaced}.items():
        regions.register(name, "", key=key, offset=0, byte_size=SIZE)
        for each in (regions, other):
            one_view(each, each.find(name, ""), 0, SIZE)
    os.close(closed[0])
    os.dup2(kept[0], replaced[0])
    regions.sweep()
    assert [each.name for each in other.status("")] == ["kept"]
    other.sweep()
    assert len(regions._mappings) == len(other._mappings) == 1
    os.close(kept[0])
    os.close(replaced[0])


def test_buffers_for_copies_are_used_again_but_never_while_they_are_looked_at(
    make: Callable[..., Regions],
) -> None:
    regions = make()
    file, key = sealed(seals=0)
    regions.register("r", "", key=key, offset=0, byte_size=SIZE)
    region = regions.find("r", "")
    first = one_view(regions, region, 0, SIZE)[0]
    address, part = first.ctypes.data, first[100:200].view(np.float32)
    del first
    os.pwrite(file, b"\1" * SIZE, 0)
    second = one_view(regions, region, 0, SIZE)[0]
    assert second.ctypes.data != address and not part.any() and second.all()
    del part
    assert one_view(regions, region, 0, SIZE)[0].ctypes.data == address
    os.close(file)
