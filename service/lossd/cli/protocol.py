"""uvicorn's HTTP protocol, but that what arrives whole may be answered at once, in one write.

A task, its messages, and a write each for head and body are most of what a small call costs. So a
POST is held back until it is whole. If it can be answered at once it is; else, or where some of it
is still to come, uvicorn hears of it as if it had just arrived.
"""

import asyncio
from collections.abc import Callable, Collection
from typing import Any

from httptools import HttpRequestParser
from starlette.requests import ClientDisconnect
from uvicorn.protocols.http.flow_control import FlowControl
from uvicorn.protocols.http.httptools_impl import HttpToolsProtocol

from lossd.api.at_once import AtOnce, Head
from lossd.api.exchange import FILL, Headers
from lossd.cli.filling import PIECE_BYTES, Filling

_STATUS_LINE = b"HTTP/1.1 200 OK\r\n"
_CLOSING = b"connection: close\r\n"


class Patience(FlowControl):
    """Reads no more while requests wait for the answer to one before them.

    Else who sends faster than it reads answers would fill the memory with requests.
    """

    def __init__(self, transport: asyncio.Transport, waiting: Collection[Any]) -> None:
        super().__init__(transport)
        self._waiting = waiting

    def resume_reading(self) -> None:
        """Read on, if nothing waits: what waits is whole, but for the last of it."""
        if not self._waiting:
            super().resume_reading()


class HoldingProtocol(HttpToolsProtocol):
    """One connection."""

    def __init__(self, at_once: AtOnce, **named: Any) -> None:
        super().__init__(**named)
        self._at_once = at_once
        self._holds = self._has_head = False
        self._held_url = self._held_body = b""
        self._held_headers: Headers = []
        self._known_url, self._known_headers = b"", self._held_headers
        self._known_head: Head | None = None
        self._default, self._default_text = self._held_headers, b""

    def connection_made(self, transport: asyncio.Transport) -> None:  # type: ignore[override] # as uvicorn
        """Begin."""
        super().connection_made(transport)
        self.flow = Patience(transport, self.pipeline)

    def data_received(self, data: bytes) -> None:
        """Parse; a request that is not whole then goes the usual way."""
        super().data_received(data)
        if self._holds:
            if self.transport.is_closing():
                self._holds = False
            else:
                self._release()

    def on_message_begin(self) -> None:
        """Hold a request back, unless another is in flight before it."""
        self._holds = self.cycle is None or self.cycle.response_complete
        if self._holds:
            self._has_head = False
            self._held_url = self._held_body = b""
            self._held_headers = []
        else:
            super().on_message_begin()

    def on_url(self, url: bytes) -> None:
        """A part of the target."""
        if self._holds:
            self._held_url += url
        else:
            super().on_url(url)

    def on_header(self, name: bytes, value: bytes) -> None:
        """A header."""
        if self._holds:
            self._held_headers.append((name.lower(), value))
        else:
            super().on_header(name, value)

    def on_headers_complete(self) -> None:
        """Hold on to a POST alone."""
        if not self._holds:
            self._begin()
            return
        self._has_head = True
        parser = self.parser
        is_post = parser.get_method() == b"POST" and parser.get_http_version() == "1.1"
        if not is_post or parser.should_upgrade():
            self._release()

    def on_body(self, body: bytes) -> None:
        """A part of the body."""
        if self._holds:
            self._held_body = self._held_body + body if self._held_body else body
        else:
            super().on_body(body)

    def on_message_complete(self) -> None:
        """Answer what is whole, or let it go."""
        if self._holds:
            if self._answered():
                self._holds = False
                return
            self._release()
        super().on_message_complete()

    def _answered(self) -> bool:
        head = self._head()
        text = None if head is None or self.flow.write_paused else head.answer(self._held_body)
        if text is None:
            return False
        keeps_alive = self.parser.should_keep_alive()
        closing = b"" if keeps_alive else _CLOSING
        self.transport.write(b"".join((_STATUS_LINE, self._default_headers(), closing, text)))
        if not keeps_alive:
            self.transport.close()
        self.on_response_complete()
        return True

    def _head(self) -> Head | None:
        """What is held means, as far as its head goes; worked out anew where that has changed."""
        url, headers = self._held_url, self._held_headers
        if url != self._known_url or headers != self._known_headers:
            plain = url.isascii() and b"%" not in url and b"?" not in url
            self._known_head = self._at_once.read(url.decode(), headers) if plain else None
            self._known_url, self._known_headers = url, headers
        return self._known_head

    def _default_headers(self) -> bytes:
        """Those of uvicorn, which makes a new list where they change."""
        default = self.server_state.default_headers
        if default is not self._default:
            self._default = default
            self._default_text = b"".join([b"%b: %b\r\n" % each for each in default])
        return self._default_text

    def _release(self) -> None:
        """Tell uvicorn what was held back."""
        self._holds = False
        super().on_message_begin()
        super().on_url(self._held_url)
        for name, value in self._held_headers:
            super().on_header(name, value)
        if self._has_head:
            self._begin()
            if self._held_body:
                super().on_body(self._held_body)

    def _begin(self) -> None:
        self.scope["extensions"] = {FILL: {"read": self.fill}}
        super().on_headers_complete()

    async def fill(self, room: memoryview, hold: Callable[[int], None]) -> None:
        """Read the rest of the body that is arriving, which is as long as the room.

        `hold` is called with how many bytes have come. Raises `ClientDisconnect`, and what `hold`
        raises; then the rest of the body may still be received, but for what has come.
        """
        cycle, parser = self.cycle, self.parser
        if cycle.disconnected or parser is None:
            raise ClientDisconnect
        self._unset_keepalive_if_required()  # of an answer before this request, in one packet
        early = len(cycle.body)
        room[:early] = cycle.body
        cycle.body = bytearray()
        hold(early)
        if early == len(room):
            return
        filling = Filling(self, room[early:], hold)
        self.flow.read_paused = True  # filling reads on by itself, and ends with a pause
        try:
            await filling.fill(self.transport)
        except BaseException:
            if not cycle.disconnected:
                self._catch_up(filling.filled)
            raise
        self.parser = HttpRequestParser(self)  # the old one waits for what it will not see
        self.parser.set_dangerous_leniencies(lenient_data_after_close=True)  # as uvicorn's
        cycle.more_body = False
        cycle.message_event.set()
        self.flow.resume_reading()

    def _catch_up(self, seen_bytes: int) -> None:
        """Tell the parser of bytes that came without it."""
        for start in range(0, seen_bytes, PIECE_BYTES):
            self.parser.feed_data(bytes(min(PIECE_BYTES, seen_bytes - start)))
            self.cycle.body = bytearray()
