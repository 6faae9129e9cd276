"""Request bodies under limits."""

import asyncio
import gzip
from typing import Never

import pytest
from hypothesis import given
from hypothesis import strategies as st
from pydantic import ValidationError
from starlette.types import Message, Receive

from gnomon_server.errors import InvalidInput, Overloaded, TooLarge, Unsupported
from gnomon_server.transport.body import BodyBudget, read_body
from gnomon_server.transport.limits import BodyLimits

LIMITS = BodyLimits(max_request_bytes=100_000, max_decoded_bytes=400_000, max_in_flight_bytes=600_000)


def sender(*parts: bytes, leaves: bool = False) -> Receive:
    """An ASGI receive that brings these parts."""
    messages = [{"type": "http.request", "body": part, "more_body": True} for part in parts]
    messages.append({"type": "http.disconnect"} if leaves else {"type": "http.request", "body": b""})

    async def receive() -> Message:
        return messages.pop(0)

    return receive


async def never() -> Never:
    """A receive that must not be called."""
    raise AssertionError("the body was read")


async def read(receive: Receive, headers: dict[str, str], budget: BodyBudget | None = None) -> bytes:
    """Read with a lease of its own."""
    with (budget or BodyBudget(LIMITS)).lease() as lease:
        return await read_body(receive, headers, LIMITS, lease)


@given(parts=st.lists(st.binary(max_size=50), max_size=20))
def test_a_body_arrives_whole_however_it_is_cut(parts: list[bytes]) -> None:
    """The parts are joined in order."""
    assert asyncio.run(read(sender(*parts), {})) == b"".join(parts)


@pytest.mark.parametrize("size", [100, 50_000])
async def test_an_encoded_body_is_decoded(size: int) -> None:
    """Small bodies are decoded in place, large ones in a thread."""
    body = bytes(range(100)) * (size // 100)
    encoded = gzip.compress(body, 0)
    assert await read(sender(encoded[:60], encoded[60:]), {"content-encoding": "gzip"}) == body


async def test_a_content_length_beyond_the_limit_is_refused_unread() -> None:
    """Nothing is received for a body that announces too much."""
    with pytest.raises(TooLarge, match="100001 bytes"):
        await read(never, {"content-length": "100001"})


@pytest.mark.parametrize("declared", ["-1", "+5", "1e3", "", "٣", "5, 5"])
async def test_a_content_length_that_is_no_number_is_refused(declared: str) -> None:
    """Only ASCII digits count."""
    with pytest.raises(InvalidInput) as refusal:
        await read(never, {"content-length": declared})
    assert refusal.value.code == "content_length_invalid"


async def test_a_body_that_outgrows_the_limit_while_it_streams_is_refused() -> None:
    """Chunked bodies announce nothing, so the bytes are counted."""
    with pytest.raises(TooLarge):
        await read(sender(bytes(60_000), bytes(60_000)), {})


async def test_a_body_that_unfolds_beyond_the_limit_is_refused() -> None:
    """The decoded size has its own cap."""
    with pytest.raises(TooLarge, match="unfolds to more"):
        await read(sender(gzip.compress(bytes(400_001))), {"content-encoding": "gzip"})


async def test_an_unknown_encoding_is_unsupported() -> None:
    """It is named, and the body is not taken as it is."""
    with pytest.raises(Unsupported):
        await read(sender(b"x"), {"content-encoding": "br"})


async def test_a_client_that_leaves_ends_the_body() -> None:
    """A disconnect in the middle is no short body."""
    with pytest.raises(InvalidInput) as refusal:
        await read(sender(b"half", leaves=True), {})
    assert refusal.value.code == "client_left"


async def test_the_budget_turns_away_what_does_not_fit_and_gets_all_back() -> None:
    """All bodies in flight share one budget; what a lease took returns when its block ends, also by an error."""
    budget = BodyBudget(LIMITS)
    leases = [budget.lease() for _ in range(6)]
    for lease in leases:
        await read_body(sender(bytes(100_000)), {}, LIMITS, lease)
    assert budget.used_bytes == 600_000
    with pytest.raises(Overloaded) as refusal:
        await read(sender(b"x"), {}, budget)
    assert (refusal.value.code, refusal.value.retry_after_s) == ("bodies_in_flight", LIMITS.retry_after_s)
    for lease in leases:
        with lease:
            pass
    assert budget.used_bytes == 0


@pytest.mark.parametrize("garbage", [b"no gzip", gzip.compress(bytes(300_000))[:-5]])
async def test_a_refused_body_gives_its_bytes_back(garbage: bytes) -> None:
    """Also what was decoded before the fault."""
    budget = BodyBudget(LIMITS)
    with pytest.raises(InvalidInput):
        await read(sender(garbage), {"content-encoding": "gzip"}, budget)
    assert budget.used_bytes == 0


async def test_decoded_bytes_count_too_and_the_encoded_ones_are_released() -> None:
    """While the decoded body lives, it and only it is charged."""
    budget = BodyBudget(LIMITS)
    with budget.lease() as lease:
        await read_body(sender(gzip.compress(bytes(350_000))), {"content-encoding": "gzip"}, LIMITS, lease)
        assert budget.used_bytes == 350_000
        with pytest.raises(Overloaded):
            await read(sender(gzip.compress(bytes(350_000))), {"content-encoding": "gzip"}, budget)
    assert budget.used_bytes == 0


def test_the_budget_must_hold_one_body() -> None:
    """Otherwise a body within its limits would be told to come again for ever."""
    with pytest.raises(ValidationError, match="must hold one body"):
        BodyLimits(max_in_flight_bytes=1)
