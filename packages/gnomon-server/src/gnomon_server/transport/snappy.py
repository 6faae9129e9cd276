"""Snappy's block format under a cap: what a body declares is believed only after it was held against the limits.

Source: https://github.com/google/snappy/blob/main/format_description.txt. Its first bytes say how long the decoded body
is, and decoders allocate that much at once.
"""

from cramjam import DecompressionError, snappy

from gnomon_server.errors import InvalidInput, TooLarge

_MAX_PREAMBLE_BYTES = 5  # a varint of 32 bits
_MOST_A_BYTE = 22  # the longest copy makes 64 bytes of 3
_MORE_FOLLOWS, _SEVEN_BITS = 0x80, 0x7F


def declared_bytes(body: bytes, max_decoded_bytes: int) -> int:
    """How long the decoded body will be; nothing is allocated for it.

    Raises:
        TooLarge: `body_too_large`, more than the cap.
        InvalidInput: `body_undecodable`, no such length, or one that so few bytes cannot unfold to.
    """
    declared = 0
    for place, byte in enumerate(body[:_MAX_PREAMBLE_BYTES]):
        declared |= (byte & _SEVEN_BITS) << 7 * place
        if byte < _MORE_FOLLOWS:
            break
    else:
        raise _undecodable("it does not begin with a length")
    if declared > max_decoded_bytes:
        raise TooLarge(
            "body_too_large",
            f"the decoded body declares {declared} bytes; at most {max_decoded_bytes} bytes are taken",
            where="body",
            hint="send smaller batches",
        )
    if declared > len(body) * _MOST_A_BYTE:
        raise _undecodable(f"{len(body)} bytes cannot unfold to the {declared} that they declare")
    return declared


def decompress_block(body: bytes, max_decoded_bytes: int) -> bytes:
    """The decoded body. Errors as of `declared_bytes`; `body_undecodable` also for what is damaged further on."""
    declared = declared_bytes(body, max_decoded_bytes)
    try:
        decoded = bytes(snappy.decompress_raw(body))
    except DecompressionError as error:
        raise _undecodable(str(error)) from error
    if len(decoded) != declared:
        raise _undecodable(f"it unfolds to {len(decoded)} bytes and declares {declared}")
    return decoded


def _undecodable(why: str) -> InvalidInput:
    return InvalidInput("body_undecodable", f"the body is not whole, valid snappy (block format): {why}", where="body")
