"""What is taken down of an exception, and what never is."""

import gc
import json
import weakref
from collections import UserDict
from collections.abc import Callable
from dataclasses import replace
from typing import Any

import pytest

from gnomon.issues.capture import attributes, captured, stacktrace
from gnomon.issues.values import shown
from gnomon.privacy.masking import Masker


class Hostile:
    """Whatever one does with it, it raises."""

    def __repr__(self) -> str:
        raise RuntimeError("no repr")

    def __hash__(self) -> int:
        return 1

    @property
    def __class__(self) -> Any:
        raise RuntimeError("no class")


def raised(call: Callable[[], Any]) -> BaseException:
    """What a call raises."""
    try:
        call()
    except BaseException as error:  # noqa: BLE001 - that is the point
        return error
    raise AssertionError("it raised nothing")


def login(email: str, password: str) -> None:
    """A function with everything in it."""
    card_number = 4111111111111111
    request = {"user": email, "api_key": "k-123", "nested": [{"token": "t-456"}], "odd": Hostile()}
    raise PermissionError(f"{email} with {password[:0]}{card_number} may not, {len(request)}")


def test_variables_are_masked_by_name_and_by_what_is_in_them() -> None:
    """Nothing of the planted values is in any attribute; what is harmless is."""
    taken = captured(raised(lambda: login("ann@example.org", "2retnuh"[::-1])), mask=Masker())
    written = json.dumps(attributes(taken))
    for secret in ("ann@", "hunter2", "4111", "k-123", "t-456"):
        assert secret not in written
    frame = taken.links[0].frames[-1]
    assert frame.function == "login"
    assert frame.in_app
    assert frame.source.startswith("raise PermissionError")
    assert frame.locals["password"] == "'<secret>'"
    assert frame.locals["card_number"] == "<card>"
    assert frame.locals["request"].startswith(
        "{'user': '<email>', 'api_key': '<secret>', 'nested': [{'token': '<secret>'}]"
    )
    assert f"'odd': <{__name__}.Hostile>" in frame.locals["request"]
    assert taken.title == "PermissionError: <email> with <card> may not, 4"


def test_attributes_are_otels_and_ours() -> None:
    """The names, and the stack as Python prints it, the cause before what it caused."""

    def outer() -> None:
        try:
            login("x", "y")
        except PermissionError as error:
            raise ValueError("outer") from error

    shown_ = attributes(captured(raised(outer)), escaped=True)
    assert set(shown_) == {
        *("exception.type", "exception.message", "exception.stacktrace", "exception.escaped"),
        *("gnomon.issue.fingerprint", "gnomon.issue.title", "gnomon.issue.frames"),
    }
    assert (shown_["exception.type"], shown_["exception.message"], shown_["exception.escaped"]) == (
        "ValueError",
        "outer",
        "true",
    )
    trace = shown_["exception.stacktrace"]
    assert trace.index("PermissionError: x") < trace.index("direct cause") < trace.index("ValueError: outer")
    frames = json.loads(shown_["gnomon.issue.frames"])
    assert [(link["type"], link["relation"]) for link in frames] == [("ValueError", ""), ("PermissionError", "cause")]
    assert frames[1]["frames"][0]["locals"]["password"] == "'y'"


def test_the_stack_reads_as_pythons_own() -> None:
    """Every line that Python would print is there, but for the marks under the code."""
    import traceback  # noqa: PLC0415 - the reference

    error = raised(lambda: login("x", "y"))
    ours = stacktrace(captured(error)).splitlines()
    theirs = [line for line in "".join(traceback.format_exception(error)).splitlines() if set(line) - set(" ^~")]
    strip = [line.replace("in <lambda>", "in") for line in theirs]
    assert len(ours) == len(strip)
    assert ours[0] == theirs[0]
    assert ours[-1] == theirs[-1]


def test_groups_and_contexts_are_followed() -> None:
    """Members of a group, what was being handled; a circle ends, and so does a crowd."""

    def handling() -> None:
        try:
            raise KeyError("first")  # noqa: TRY301 - what is handled is the point
        except KeyError:
            raise ExceptionGroup("both", [ValueError("a"), OSError("b")])  # noqa: B904 - the context is the point

    links = captured(raised(handling)).links
    assert [(link.type, link.relation) for link in links] == [
        ("ExceptionGroup", ""),
        ("KeyError", "context"),
        ("ValueError", "member"),
        ("OSError", "member"),
    ]
    one, two = ValueError(), KeyError()
    one.__cause__, two.__cause__ = two, one
    assert len(captured(one).links) == 2
    assert len(captured(ExceptionGroup("many", [ValueError(n) for n in range(100)])).links) == 16


def test_all_is_bounded() -> None:
    """A deep recursion, wide locals and endless texts: what is told stays small, and says what is missing."""

    def deep(n: int, text: str) -> None:
        big = [text] * 1000
        if n == 0:
            raise ValueError(text)
        deep(n - 1, text + str(len(big)))

    taken = captured(raised(lambda: deep(200, "x" * 100_000)))
    link = taken.links[0]
    assert len(link.frames) == 50
    assert link.left_out == 153
    assert len(link.message) <= 2048
    assert all(len(text) <= 257 for frame in link.frames for text in frame.locals.values())
    told = attributes(taken)
    assert "153 frames left out" in stacktrace(replace(taken, links=(replace(link, message=""),)))
    assert sum(map(len, told.values())) < 40_000
    names: dict[str, Any] = {"__name__": "app"}
    exec(  # noqa: S102 - a hundred variables are not written by hand
        compile("def f():\n " + ";".join(f"v{n}={n}" for n in range(100)) + "\n raise ValueError", "/srv/a.py", "exec"),
        names,
    )
    assert len(captured(raised(names["f"])).links[0].frames[-1].locals) == 30


def test_nothing_is_held() -> None:
    """Neither the exception, nor its frames, nor what was in them."""

    class Held:
        pass

    def fail() -> "weakref.ref[Held]":
        held = Held()
        kept.append(weakref.ref(held))
        raise ValueError(str(held)[:0])

    kept: list[weakref.ref[Held]] = []
    error: BaseException | None = raised(fail)
    assert error is not None
    taken = captured(error)
    assert "Held" in taken.links[0].frames[-1].locals["held"]
    error = None
    gc.collect()
    assert kept[0]() is None


def test_exceptions_that_misbehave() -> None:
    """A `__str__` that raises, no traceback, no locals wanted."""

    class Odd(Exception):  # noqa: N818 - not an error of ours
        def __str__(self) -> str:
            raise RuntimeError("no str")

    taken = captured(Odd())
    assert taken.links[0].message == "<str() failed>"
    assert taken.links[0].frames == ()
    assert captured(ValueError()).title == "ValueError"
    assert captured(raised(lambda: login("x", "y")), locals=False).links[0].frames[-1].locals == {}


def test_sources_that_misbehave() -> None:
    """A loader that raises when asked for the source."""

    class Loader:
        def get_source(self, name: str) -> str:
            raise RuntimeError(name)

    names: dict[str, Any] = {"__name__": "app", "__loader__": Loader()}
    exec(compile("def f():\n raise ValueError", "/srv/nowhere.py", "exec"), names)  # noqa: S102 - a file that is not there
    assert captured(raised(names["f"])).links[0].frames[-1].source == ""


@pytest.mark.parametrize(
    ("value", "text"),
    [
        (None, "None"),
        (True, "True"),
        (12, "12"),
        (10**400, "<int of many digits>"),
        (1.5, "1.5"),
        (b"ab", "b'ab'"),
        (bytearray(b"ab"), "b'ab'"),
        ((1, "a"), "(1, 'a')"),
        ({1: {2: {3: {4: 5}}}}, "{1: {2: {3: …}}}"),
        ([1] * 12, "[" + "1, " * 10 + "… 2 more]"),
        (frozenset({1}), "{1}"),
        (range(3), "range(0, 3)"),
        (UserDict({"a": 1}), "<collections.UserDict>"),
        (type("Text", (str,), {})("x"), f"<{__name__}.Text>"),
        ("SELECT id FROM people WHERE name='Ann'", "'SELECT id FROM people WHERE name=?'"),
        ("x" * 1000, "'" + "x" * 255 + "…"),
        ({Hostile(): 1}, f"{{<{__name__}.Hostile>: 1}}"),
    ],
)
def test_values(value: Any, text: str) -> None:
    """Only Python's own types are written out; of others, and of their subclasses, the class."""
    assert shown("name", value, None) == text


def test_a_mask_that_raises_breaks_nothing() -> None:
    """A value is then told by its class."""

    def mask(key: str, text: str) -> str:
        raise RuntimeError(key + text)

    assert shown("name", "text", mask) == "<builtins.str>"


def test_a_class_body_that_misbehaves() -> None:
    """Its namespace is what `__prepare__` made, and may raise or have names that are none."""

    class Names:
        def __init__(self) -> None:
            self.names: dict[Any, Any] = {}

        def __setitem__(self, name: str, value: Any) -> None:
            self.names[name] = value

        def __getitem__(self, name: str) -> Any:
            return self.names[name]

    def of(names: Any) -> Callable[[], Any]:
        class Meta(type):
            @classmethod
            def __prepare__(cls, *_: Any) -> Any:
                return names

        def define() -> None:
            class Broken(metaclass=Meta):
                number = 7
                raise ValueError

        return define

    assert captured(raised(of(Names()))).links[0].frames[-1].locals == {}
    assert captured(raised(of({7: 8}))).links[0].frames[-1].locals == {"number": "7"}


def test_room_for_frames_ends_with_the_innermost() -> None:
    """Of too much, the outer frames are missing, and the end of the stack is kept."""

    def deep(n: int) -> None:
        a, b, c, d = ("word " * 50 for _ in range(4))
        if n == 0:
            raise ValueError(a[:0] + b[:0] + c[:0] + d[:0])
        deep(n - 1)

    first = raised(lambda: deep(45))
    taken = captured(first)
    told = json.loads(attributes(taken)["gnomon.issue.frames"])[0]["frames"]
    assert 0 < len(told) < len(taken.links[0].frames)
    assert told[0]["line"] == taken.links[0].frames[-1].line
    assert len(stacktrace(replace(taken, links=taken.links * 10))) == 16_384
