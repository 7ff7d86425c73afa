"""Every setting of the service: `LOSSD_*` in the environment, typed, with unit and default."""

from pathlib import Path
from typing import Literal

from pydantic import Field, field_validator
from pydantic_settings import BaseSettings, SettingsConfigDict

MIB = 1024 * 1024


class Settings(BaseSettings):
    """Read once, at the composition root. `lossd settings` prints it."""

    model_config = SettingsConfigDict(env_prefix="LOSSD_", frozen=True, extra="ignore")

    host: str = Field("127.0.0.1", description="Address to bind.")
    port: int = Field(8000, ge=0, le=65535, description="Port to bind; 0 takes a free one.")
    uds: Path | None = Field(
        None,
        description="Path of a Unix socket to listen on too, open to this user only.",
    )
    device: str = Field(
        "auto",
        pattern=r"^(auto|cpu|cuda|cuda:\d+)$",
        description="Where losses are computed: auto, cpu, cuda or cuda:N.",
    )
    threads: int = Field(0, ge=0, le=1024, description="CPU threads of one call; 0 is every core.")
    lanes: int = Field(1, ge=1, le=64, description="Calls computed at the same time.")
    block_bytes: int = Field(
        256 * MIB,
        ge=1,
        description="Memory, in bytes, that one block of a call's rows may need; calls whose rows "
        "stand alone are computed in such blocks.",
    )
    pinned_bytes: int = Field(
        512 * MIB,
        ge=0,
        description="Page-locked memory, in bytes, kept for copies to and from CUDA.",
    )
    max_body_bytes: int = Field(
        256 * MIB, ge=1, description="Largest request body, in bytes; a larger one answers 413."
    )
    max_elements: int = Field(
        64 * MIB,
        ge=1,
        description="Most tensor elements in one request, or pairs of rows that a loss compares; "
        "more answer 413.",
    )
    max_batch_calls: int = Field(
        1024,
        ge=1,
        description="Most calls, points of sweeps included, in one batch; more answer 413.",
    )
    max_batch_elements: int = Field(
        128 * MIB,
        ge=1,
        description="Most elements that the calls of one batch may take and pair, added up over "
        "the calls; more answer 413.",
    )
    max_linear_logits: int = Field(
        1024 * MIB,
        ge=1,
        description="Most logits that one call makes of hidden and classifier, a few rows at a "
        "time; more answer 413.",
    )
    max_bytes_in_flight: int = Field(
        2048 * MIB, ge=1, description="Most bytes of bodies held at once; more answer 503."
    )
    pool_bytes: int = Field(
        256 * MIB,
        ge=0,
        description="Most bytes that each process keeps to use again: of large buffers, and as "
        "many of its free heap.",
    )
    max_queue: int = Field(
        256, ge=1, description="Calls that may wait or run at once; one more answers 503."
    )
    timeout_s: float = Field(
        60.0, gt=0, le=3600, description="Seconds a call may wait before it starts; then 504."
    )
    body_timeout_s: float = Field(
        60.0, gt=0, le=3600, description="Seconds a whole body may take to arrive; then 504."
    )
    max_stream_batch_bytes: int = Field(
        16 * MIB,
        ge=1024,
        description="Largest record batch of a stream, in bytes; a larger one ends it. A stream of "
        "any length needs memory for about ten of them.",
    )
    stream_idle_timeout_s: float = Field(
        60.0,
        gt=0,
        le=3600,
        description="Seconds that a stream may bring no bytes, or its reader take none; then it "
        "ends.",
    )
    drain_delay_s: float = Field(
        0.0,
        ge=0,
        le=600,
        description="Seconds after SIGTERM during which calls are still taken while /readyz says "
        "503, so that balancers look away first.",
    )
    drain_timeout_s: float = Field(
        30.0, ge=0, le=3600, description="Seconds that calls in flight may take after SIGTERM."
    )
    workers: int = Field(
        1, ge=1, le=64, description="Worker processes of `lossd serve`; they answer as one."
    )
    state_dir: Path | None = Field(
        None,
        description="Owner-only folder that the workers share; a fresh temporary one if not given.",
    )
    shared_memory: bool = Field(
        False, description="Whether callers on this machine may use shared memory (/v2)."
    )
    shared_memory_prefix: str = Field(
        "lossd",
        pattern=r"^[A-Za-z0-9_.\-]{0,100}$",
        description="What the names of files in /dev/shm, and of memfds, must begin with that "
        "callers may use.",
    )
    max_regions: int = Field(
        1024, ge=1, description="Shared-memory regions that may be registered at once."
    )
    max_mapped_bytes: int = Field(
        4096 * MIB,
        ge=0,
        description="Bytes of callers' sealed memfds that a worker keeps mapped; a larger one is "
        "copied at each call.",
    )
    log_level: Literal["debug", "info", "warning", "error"] = Field(
        "info", description="Least severe message that is logged."
    )

    @field_validator("host")
    @classmethod
    def _host_is_named(cls, host: str) -> str:
        if not host:
            raise ValueError("must not be empty")
        return host

    @field_validator("uds")
    @classmethod
    def _uds_is_named(cls, uds: Path | None) -> Path | None:
        if uds == Path():
            raise ValueError("must not be empty")
        return uds
