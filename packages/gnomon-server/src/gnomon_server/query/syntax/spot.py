"""Errors of a query's text: line and column in front, as Prometheus has them, and the place underlined."""

from gnomon_server.errors import InvalidInput

_BLANKS = str.maketrans("\t\r", "  ")
_MARGIN = 60  # characters shown to the left and to the right of the place
_LONGEST = 1000  # characters of a message: it may quote a token, and a token may be all of the text


def line_and_column(text: str, offset: int) -> tuple[int, int]:
    """Both from 1; columns count characters."""
    return text.count("\n", 0, offset) + 1, offset - text.rfind("\n", 0, offset)


def show(text: str, start: int, end: int) -> str:
    """The line of `start` with what stands from `start` to before `end` underlined, at least one place."""
    first = text.rfind("\n", 0, start) + 1
    last = text.find("\n", start)
    last = len(text) if last < 0 else last
    width = max(1, min(end, last, start + _MARGIN) - start)
    left = max(first, start - _MARGIN)
    line = text[left : min(last, start + width + _MARGIN)].translate(_BLANKS)
    number, column = line_and_column(text, start)
    return f"line {number}, column {column}\n  {line}\n  {' ' * (start - left)}{'^' * width}"


def parse_error(code: str, message: str, text: str, start: int, end: int, hint: str = "") -> InvalidInput:
    """A refusal of `text`, whose `what` reads as Prometheus writes it: `1:7: parse error: message`."""
    line, column = line_and_column(text, start)
    place = f"{line}:{column}" if text else "unknown position"
    message = message if len(message) <= _LONGEST else f"{message[:_LONGEST]}..."
    return InvalidInput(
        code, _sendable(f"{place}: parse error: {message}"), where=_sendable(show(text, start, end)), hint=hint
    )


def _sendable(text: str) -> str:
    """Half a surrogate pair, which no UTF-8 answer can carry, as a question mark."""
    return text.encode("utf-8", "replace").decode()
