"""The error root: every refusal is a small letter that says what, where and how to help it.

The subclasses name what the *sender* should do, not a protocol's number; `transport.reply` is the one place
that turns them into HTTP and gRPC statuses.
"""

# ruff: noqa: N818 - the subclasses are named for what they say; the root carries the suffix.

from typing import Any


class GnomonError(Exception):
    """What went wrong, in words a reader can act on.

    Args:
        code: the reason in snake_case; the same word in answers, metric labels and logs (`body_too_large`).
        what: one sentence: what was got and what was expected.
        where: the place: a header, a field path, a settings key, an address. Empty when `what` says it all.
        hint: the cure, when there is one to name.
    """

    def __init__(self, code: str, what: str, where: str = "", hint: str = "") -> None:
        # All four go to `args`, so that the error crosses a process boundary (pickle) whole.
        super().__init__(code, what, where, hint)
        self.code = code
        self.what = what
        self.where = where
        self.hint = hint

    def __str__(self) -> str:
        where = f"\n  where: {self.where}" if self.where else ""
        hint = f"\n  hint: {self.hint}" if self.hint else ""
        return f"{self.what} [{self.code}]{where}{hint}"

    def __repr__(self) -> str:
        return f"{type(self).__name__}({self.code!r}, {self.what!r}, where={self.where!r}, hint={self.hint!r})"

    def to_dict(self) -> dict[str, Any]:
        """The body of the answer: `{"error": {"code", "what", "where", "hint"}}`, always all four."""
        return {"error": {"code": self.code, "what": self.what, "where": self.where, "hint": self.hint}}


class InvalidInput(GnomonError):
    """The same bytes will never be acceptable: mend them."""


class TooLarge(GnomonError):
    """Larger than will ever be taken: send it in smaller pieces. Senders drop on it, so never for mere load."""


class Unauthenticated(GnomonError):
    """Who are you? No token, or one we do not know."""


class Forbidden(GnomonError):
    """We know who you are, and you may not."""


class NotFound(GnomonError):
    """No such thing."""


class Unsupported(GnomonError):
    """A media type or encoding we do not speak: send another."""


class RetryableError(GnomonError):
    """What passes by itself: the same request again after `retry_after_s` seconds."""

    def __init__(self, code: str, what: str, where: str = "", hint: str = "", *, retry_after_s: float = 1.0) -> None:
        super().__init__(code, what, where, hint)
        self.retry_after_s = retry_after_s


class Overloaded(RetryableError):
    """More than fits now, or over a rate limit: slow down and send it again after `retry_after_s`."""


class Unavailable(RetryableError):
    """We cannot take it now, through no fault of the sender (store away, disk full): again after `retry_after_s`."""


class DeadlineExceeded(GnomonError):
    """It took longer than it may."""


class Internal(GnomonError):
    """A fault of ours."""
