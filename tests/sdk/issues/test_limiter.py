"""An issue in full once a minute, counted in between."""

import os

from gnomon.issues.limiter import Limiter
from gnomon.issues.recorder import Recorder
from gnomon.privacy.masking import Masker
from gnomon.process.clock import Clock


class Turned:
    """A clock that stands until it is turned."""

    def __init__(self) -> None:
        self.now_s = 1000.0
        self.clock = Clock(monotonic_s=lambda: self.now_s)


def test_the_first_of_a_group_in_a_minute_is_admitted() -> None:
    """And the next one says how many it stands for."""
    time = Turned()
    limiter = Limiter(time.clock)
    assert [limiter.admitted("a") for _ in range(4)] == [1, 0, 0, 0]
    assert limiter.admitted("b") == 1
    time.now_s += 60
    assert limiter.admitted("a") == 4
    assert limiter.admitted("a") == 0


def test_groups_are_bounded() -> None:
    """The one that was admitted longest ago is forgotten first, with its count."""
    limiter = Limiter(Turned().clock, groups=2)
    assert [limiter.admitted(group) for group in "aabca"] == [1, 0, 1, 1, 1]
    for number in range(100):
        limiter.admitted(str(number))
    assert len(limiter._admitted) == 2
    assert not limiter._since


def test_a_forked_child_begins_anew() -> None:
    """Each process tells an issue once in full, for itself."""
    limiter = Limiter(Turned().clock)
    limiter.admitted("a")
    child = os.fork()
    if not child:
        os._exit(limiter.admitted("a"))
    assert os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]) == 1
    assert limiter.admitted("a") == 0


def test_a_recorder_tells_in_full_once() -> None:
    """The others have the fingerprint, the type and the masked message."""
    time = Turned()
    recorder = Recorder(Masker(), Limiter(time.clock))

    def failed() -> dict[str, str | int]:
        try:
            raise ValueError("ann@example.org")  # noqa: TRY301 - raised to be recorded
        except ValueError as error:
            return recorder.attributes(error, escaped=True)

    first, second = failed(), failed()
    assert first["gnomon.issue.count"] == 1
    assert "gnomon.issue.frames" in first
    assert second == {
        "exception.type": "ValueError",
        "exception.message": "<email>",
        "exception.escaped": "true",
        "gnomon.issue.fingerprint": first["gnomon.issue.fingerprint"],
    }
    time.now_s += 61
    assert failed()["gnomon.issue.count"] == 2
