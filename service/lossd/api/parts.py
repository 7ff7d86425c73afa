"""A response of several buffers, sent one after another without being joined."""

from collections.abc import Mapping, Sequence

from fastapi import Response
from starlette.types import Receive, Scope, Send


class Parts(Response):
    """Bytes and views of memory; whatever a view looks at is kept until it is sent."""

    def __init__(
        self, parts: Sequence[bytes | memoryview], headers: Mapping[str, str], status: int = 200
    ) -> None:
        super().__init__(status_code=status)
        self._parts = parts
        self.headers.update(headers)
        self.headers["content-length"] = str(sum(len(part) for part in parts))

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Send the parts."""
        start = {"type": "http.response.start", "status": self.status_code}
        await send({**start, "headers": self.raw_headers})
        last = len(self._parts) - 1
        for i, part in enumerate(self._parts):
            await send({"type": "http.response.body", "body": part, "more_body": i < last})
