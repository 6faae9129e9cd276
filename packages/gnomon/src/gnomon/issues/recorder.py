"""From an exception to attributes: in full for the first of its group in a minute, a line for the others."""

from gnomon.issues.capture import attributes, captured, message
from gnomon.issues.fingerprint import fingerprint, qualified
from gnomon.issues.limiter import Limiter
from gnomon.wire.attributes import Mask


class Recorder:
    """What spans and log records ask, when they meet an exception.

    Args:
        mask: what messages and variables pass through.
        limiter: how often a group is told in full.
        locals: whether variables are written down at all.
    """

    __slots__ = ("_limiter", "_locals", "_mask")

    def __init__(self, mask: Mask | None, limiter: Limiter, *, locals: bool = True) -> None:  # noqa: A002 - the word for them
        self._mask, self._limiter, self._locals = mask, limiter, locals

    def attributes(self, exception: BaseException, *, escaped: bool = False) -> dict[str, str | int]:
        """Attributes for an event or a record; `gnomon.issue.count` says how many occurrences the full one stands for.

        Never raises. Takes some 10 µs for a group that was told in full within the minute.
        """
        group = fingerprint(exception)
        occurrences = self._limiter.admitted(group)
        if not occurrences:
            return {
                "exception.type": qualified(type(exception)),
                "exception.message": message(exception, self._mask),
                "exception.escaped": "true" if escaped else "false",
                "gnomon.issue.fingerprint": group,
            }
        taken = captured(exception, locals=self._locals, mask=self._mask)
        return {**attributes(taken, escaped=escaped), "gnomon.issue.count": occurrences}
