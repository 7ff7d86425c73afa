"""The rest of a large body, read from its connection straight to where it will be used.

uvicorn's way copies what arrives four times on its way: to a bytes object, for the parser's part of
it, to a request's body, and for a message.
"""

import asyncio
from collections.abc import Callable

from starlette.requests import ClientDisconnect

PIECE_BYTES = 256 * 1024  # a longer read locks the socket for who writes to it meanwhile


class Filling(asyncio.BufferedProtocol):
    """Stands in for the protocol of a connection until some room is full, or filling it fails.

    `hold` is called with how many bytes have come; what it raises ends the filling.
    """

    def __init__(
        self, owner: asyncio.Protocol, room: memoryview, hold: Callable[[int], None]
    ) -> None:
        self._owner, self._room, self._hold = owner, room, hold
        self._transport: asyncio.Transport | None = None
        self._is_over: asyncio.Future[None] = asyncio.get_running_loop().create_future()
        self.filled = 0

    async def fill(self, transport: asyncio.Transport) -> None:
        """Fill the room; then the owner is the connection's protocol again, if it is not lost.

        Raises `ClientDisconnect`, and what `hold` raises.
        """
        self._transport = transport
        transport.set_protocol(self)
        transport.resume_reading()
        try:
            await self._is_over
        finally:
            self._leave()
            # uvloop goes on holding this, and an error its frames: let the memory go.
            self._room, self._hold = memoryview(b""), _hold_nothing
            del self._is_over

    def _leave(self) -> None:
        if self._transport is not None:
            self._transport.pause_reading()
            self._transport.set_protocol(self._owner)
            self._transport = None

    def get_buffer(self, sizehint: int) -> memoryview:
        """Where the next bytes go."""
        return self._room[self.filled : self.filled + PIECE_BYTES]

    def buffer_updated(self, nbytes: int) -> None:
        """Some have come."""
        self.filled += nbytes
        try:
            self._hold(nbytes)
        except Exception as err:
            self._end(err)
        else:
            if self.filled == len(self._room):
                self._end(None)

    def _end(self, error: Exception | None) -> None:
        self._leave()  # now: the transport reads on before whoever waits is woken
        if self._is_over.done():
            return
        if error is None:
            self._is_over.set_result(None)
        else:
            self._is_over.set_exception(error)

    def eof_received(self) -> bool | None:
        """The caller sends no more."""
        return self._owner.eof_received()

    def connection_lost(self, exc: Exception | None) -> None:
        """The caller is gone."""
        self._transport = None
        self._owner.connection_lost(exc)
        self._end(ClientDisconnect())

    def pause_writing(self) -> None:
        """As the owner."""
        self._owner.pause_writing()

    def resume_writing(self) -> None:
        """As the owner."""
        self._owner.resume_writing()


def _hold_nothing(nbytes: int) -> None:
    pass
