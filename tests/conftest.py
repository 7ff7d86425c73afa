"""A live service on a loopback port, shared by every test that speaks HTTP."""

import contextlib
import os
import socket
import threading
from collections.abc import Iterator

import httpx
import pytest
import torch
import uvicorn
from fastapi import FastAPI

from lossd.app import create_app
from lossd.cli.serve import config_of
from lossd.settings import Settings

torch.set_num_threads(1)
if not torch.cuda.is_available():
    os.environ["TRITON_INTERPRET"] = "1"  # read when Triton is imported, which lossd does late


@contextlib.contextmanager
def running(
    settings: Settings, app: FastAPI | None = None, *, timeout_keep_alive: int = 5
) -> Iterator[str]:
    """Serve an app, made from the settings if not given, until the block ends; yields its URL."""
    listener = socket.socket()
    listener.bind(("127.0.0.1", 0))
    app = app or create_app(settings)
    config = config_of(app, settings.model_copy(update={"log_level": "warning"}))
    config.timeout_keep_alive = timeout_keep_alive
    server = uvicorn.Server(config)
    thread = threading.Thread(target=server.run, kwargs={"sockets": [listener]})
    thread.start()
    url = f"http://127.0.0.1:{listener.getsockname()[1]}"
    try:
        with httpx.Client(base_url=url, timeout=30, transport=httpx.HTTPTransport(retries=20)) as c:
            assert c.get("/readyz").is_success
        yield url
    finally:
        server.should_exit = True
        thread.join()
        listener.close()


@pytest.fixture(scope="session")
def url() -> Iterator[str]:
    """The address of a service with default limits but a small body budget."""
    with running(Settings(max_body_bytes=4_000_000, max_elements=500_000, threads=1)) as address:
        yield address


@pytest.fixture(scope="session")
def http(url: str) -> Iterator[httpx.Client]:
    with httpx.Client(base_url=url, timeout=30) as client:
        yield client
