"""Masks and what is remembered: cut after masking, forgotten with everything that was made of it."""

import gc
from typing import Any

from opentelemetry.proto.trace.v1.trace_pb2 import Span

from gnomon.issues.capture import captured
from gnomon.privacy.masking import Masker
from gnomon.wire.attributes import KeyValues


def seen(encoded: bytes) -> dict[str, str]:
    """The attributes of a span that has these bytes."""
    return {pair.key: pair.value.string_value for pair in Span.FromString(encoded).attributes}


def test_a_text_is_masked_before_it_is_cut() -> None:
    """An address that the cut goes through would not be seen for one."""
    encoder = KeyValues(9, Masker())
    encoder.longest = 20
    told = seen(encoder.encode({"note": f"{'x' * 9} ann@example.com and more", "free": "y" * 30}))
    assert told == {"note": "xxxxxxxxx <email> an", "free": "y" * 20}


def test_an_exceptions_message_likewise() -> None:
    """And the line of source that raised it."""
    message = "x" * 2040 + " ann@example.com"
    assert "ann" not in captured(ValueError(message), mask=Masker()).links[0].message
    assert len(captured(ValueError("x" * 9999), mask=Masker()).links[0].message) == 2048


def test_a_secret_is_not_kept_in_memory() -> None:
    """What is too long to be remembered is not remembered as the key of its short mask either."""
    encoder = KeyValues(9, Masker())
    encoder.longest = 100
    encoder.encode({"password": "p" * 200})
    assert not encoder._texts


def test_blocks_are_forgotten_with_the_mask() -> None:
    """All that are still there; one that its owner has let go is nobody's any more."""
    encoder = KeyValues(9, lambda _, text: text)
    kept: dict[str, Any] = encoder.blocks()
    encoder.blocks()
    gc.collect()
    kept["one"] = encoder.encode({"a": "b"})
    encoder.mask = lambda _, text: f"<{text}>"
    encoder.forget()
    assert not kept
    assert seen(encoder.encode({"a": "b"})) == {"a": "<b>"}
    encoder.blocks()
    assert len(encoder._blocks) == 2
