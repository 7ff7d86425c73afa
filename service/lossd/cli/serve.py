"""`lossd serve`: the service in the foreground."""

import argparse
import signal
import socket
import sys
import threading
from collections.abc import Sequence
from contextlib import closing
from functools import partial
from pathlib import Path
from types import FrameType
from typing import Any

import uvicorn
from fastapi import FastAPI
from pydantic import ValidationError

from lossd.app import create_app
from lossd.cli.listeners import Listeners
from lossd.cli.protocol import HoldingProtocol
from lossd.cli.workers import supervise
from lossd.losses import find
from lossd.schema.describe import curl, example_request
from lossd.settings import Settings


def add_command(commands: Any) -> None:
    """Add `serve` to the parser."""
    command = commands.add_parser("serve", help="run the service in the foreground")
    command.add_argument("--host", help="address to bind (LOSSD_HOST)")
    command.add_argument("--port", type=int, help="port to bind, 0 for a free one (LOSSD_PORT)")
    command.add_argument("--uds", help="Unix socket to listen on too (LOSSD_UDS)")
    command.add_argument("--workers", type=int, help="worker processes (LOSSD_WORKERS)")
    command.add_argument("--device", help="auto, cpu, cuda or cuda:N (LOSSD_DEVICE)")
    command.set_defaults(run=run)


def run(arguments: argparse.Namespace) -> int:
    """Serve until SIGINT or SIGTERM; calls in flight are finished first."""
    given = {key: getattr(arguments, key) for key in ("host", "port", "uds", "workers", "device")}
    try:
        settings = Settings(**{key: value for key, value in given.items() if value is not None})
    except ValidationError as err:
        for each in err.errors():
            name = ".".join(str(part) for part in each["loc"])
            print(f"lossd: LOSSD_{name.upper()}: {each['msg']}", file=sys.stderr)
        return 2
    try:
        listeners = Listeners(settings.host, settings.port, settings.uds)
    except OSError as err:
        print(f"lossd: {err}", file=sys.stderr)
        return 3
    with closing(listeners):
        announce(listeners.tcp, settings.uds)
        if settings.workers > 1:
            return supervise(serve, settings, listeners.sockets)
        return serve(settings, listeners.sockets)


def serve(settings: Settings, listeners: Sequence[socket.socket]) -> int:
    """Serve in this process until told to stop; returns an exit code."""
    try:
        app = create_app(settings)
    except RuntimeError as err:
        print(f"lossd: {err}", file=sys.stderr)
        return 2
    config = config_of(app, settings)
    for number in (signal.SIGINT, signal.SIGTERM):
        signal.signal(number, lambda *_: None)  # uvicorn repeats the signal when it is done
    Server(config, app, settings.drain_delay_s).run(sockets=list(listeners))
    return 0


def config_of(app: FastAPI, settings: Settings) -> uvicorn.Config:
    """How uvicorn serves an app that `create_app` made."""
    protocol: Any = partial(HoldingProtocol, app.state.at_once)  # stands for its class
    return uvicorn.Config(
        app,
        loop="uvloop",
        http=protocol,
        log_level=settings.log_level,
        access_log=False,
        server_header=False,
        proxy_headers=False,  # nothing here asks who the caller is
        timeout_graceful_shutdown=max(1, round(settings.drain_timeout_s)),
    )


class Server(uvicorn.Server):
    """Says that it is not ready before it stops listening. A second signal stops at once."""

    def __init__(self, config: uvicorn.Config, app: FastAPI, drain_delay_s: float) -> None:
        super().__init__(config)
        self._app, self._delay_s = app, drain_delay_s

    def handle_exit(self, sig: int, frame: FrameType | None) -> None:
        """What uvicorn does on a signal, later."""
        was_ready = self._app.state.ready
        self._app.state.ready = False
        if sig == signal.SIGTERM and was_ready and self._delay_s:
            timer = threading.Timer(self._delay_s, super().handle_exit, (sig, frame))
            timer.daemon = True
            timer.start()
        else:
            super().handle_exit(sig, frame)


def announce(tcp: socket.socket, uds: Path | None) -> None:
    """Print where the service is, and a line to try."""
    host, port, *_ = tcp.getsockname()
    url = f"http://[{host}]:{port}" if ":" in host else f"http://{host}:{port}"
    spec = find("cross_entropy")
    print(f"lossd is at {url}")
    print(f"  every loss, to read and try: {url}/docs")
    print(f"  {curl(spec, example_request(spec), url)}", flush=True)
    if uds is not None:
        print(f"  also on the Unix socket {uds}", flush=True)
