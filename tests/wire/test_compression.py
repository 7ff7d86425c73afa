"""Compressed bodies: read whole, within the bound, or refused."""

import gzip
import zlib

import pytest
import zstandard

from lossd.errors import TooLarge, UnreadableBody, UnsupportedMediaType
from lossd.wire import ENCODINGS, expand

COMPRESS = {
    "gzip": gzip.compress,
    "deflate": zlib.compress,
    "zstd": zstandard.ZstdCompressor().compress,
}
every_encoding = pytest.mark.parametrize("encoding", ENCODINGS)
BODY = b"the same body " * 100


@every_encoding
def test_a_body_comes_out_as_it_went_in(encoding: str) -> None:
    assert expand(COMPRESS[encoding](BODY), encoding, len(BODY)) == BODY
    assert expand(COMPRESS[encoding](BODY), encoding.upper(), len(BODY)) == BODY


@every_encoding
def test_several_members_are_one_body(encoding: str) -> None:
    assert expand(COMPRESS[encoding](BODY) * 3, encoding, 3 * len(BODY)) == BODY * 3


@every_encoding
def test_a_bomb_is_refused_at_the_bound(encoding: str) -> None:
    bomb = COMPRESS[encoding](b"0" * 50_000_000)
    assert len(bomb) < 100_000
    with pytest.raises(TooLarge):
        expand(bomb, encoding, 1_000_000)


@every_encoding
@pytest.mark.parametrize("damage", [lambda b: b"noise" + b, lambda b: b[: len(b) // 2]])
def test_damage_is_unreadable(encoding: str, damage: object) -> None:
    with pytest.raises(UnreadableBody):
        expand(damage(COMPRESS[encoding](BODY)), encoding, 10_000)  # type: ignore[operator]


def test_an_unknown_encoding_is_refused_and_none_is_none() -> None:
    with pytest.raises(UnsupportedMediaType):
        expand(BODY, "br", 10_000)
    assert expand(BODY, "", 1) == BODY == expand(BODY, "identity", 1)
