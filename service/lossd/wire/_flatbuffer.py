"""Flatbuffers, read with every offset checked.

Parts of a flatbuffer may be pointed at from many places, so a few bytes can describe very much.
Every table and every byte of text that is visited is paid for from a budget, each time.
"""

import struct

from lossd.errors import UnreadableBody

_MOST_TABLES = 1 << 16


def damaged(why: str) -> UnreadableBody:
    """The error for bytes that are no Arrow stream after all."""
    return UnreadableBody(f"not an Arrow IPC stream: {why}", at="body")


class Flatbuffer:
    """The bytes, and what may still be visited of them."""

    def __init__(self, data: bytes) -> None:
        self.data = data
        self._tables_left, self._bytes_left = _MOST_TABLES, len(data)

    def root(self) -> "Table":
        """The table that everything hangs on. Raises `UnreadableBody`."""
        return Table(self, self.number("I", 0))

    def number(self, code: str, at: int) -> int:
        """The little-endian number of a `struct` code at a place. Raises `UnreadableBody`."""
        if not 0 <= at <= len(self.data) - struct.calcsize(code):
            raise damaged("an offset points outside the metadata")
        value: int = struct.unpack_from(f"<{code}", self.data, at)[0]
        return value

    def slice(self, at: int, length: int) -> bytes:
        """Bytes that are paid for. Raises `UnreadableBody`."""
        self._bytes_left -= length
        if at < 0 or length > len(self.data) - at or self._bytes_left < 0:
            raise damaged("texts or lists are longer than the metadata that holds them")
        return self.data[at : at + length]

    def visit(self) -> None:
        """Pay for a table. Raises `UnreadableBody`."""
        self._tables_left -= 1
        if self._tables_left < 0:
            raise damaged(f"the metadata describes more than {_MOST_TABLES} parts")


class Table:
    """One table: fields in numbered slots, any of which may be absent."""

    def __init__(self, source: Flatbuffer, at: int) -> None:
        source.visit()
        self._source, self._at = source, at
        self._slots = at - source.number("i", at)
        self._slots_bytes = source.number("H", self._slots)

    def _place(self, slot: int) -> int | None:
        entry = 4 + 2 * slot
        if entry + 2 > self._slots_bytes:
            return None
        offset = self._source.number("H", self._slots + entry)
        return self._at + offset if offset else None

    def _pointed(self, slot: int) -> int | None:
        place = self._place(slot)
        return None if place is None else place + self._source.number("I", place)

    def number(self, slot: int, code: str, default: int) -> int:
        """A number, or its default where it is absent."""
        place = self._place(slot)
        return default if place is None else self._source.number(code, place)

    def table(self, slot: int) -> "Table | None":
        """A table, or None."""
        place = self._pointed(slot)
        return None if place is None else Table(self._source, place)

    def structs(self, slot: int, size: int) -> bytes:
        """The bytes of a list of structs of `size` bytes each; text is a list of bytes."""
        place = self._pointed(slot)
        if place is None:
            return b""
        return self._source.slice(place + 4, size * self._source.number("I", place))

    def text(self, slot: int) -> bytes:
        """The bytes of a text."""
        return self.structs(slot, 1)

    def tables(self, slot: int) -> list["Table"]:
        """A list of tables."""
        place = self._pointed(slot)
        if place is None:
            return []
        count = self._source.number("I", place)
        places = range(place + 4, place + 4 + 4 * min(count, _MOST_TABLES + 1), 4)
        return [Table(self._source, each + self._source.number("I", each)) for each in places]
