"""What makes two exceptions one issue, and what makes them two."""

import sys
from collections.abc import Callable
from json import JSONDecodeError
from types import CodeType
from typing import Any

from gnomon.issues.fingerprint import fingerprint, qualified
from gnomon.issues.frames import _places, in_app


def raised(call: Callable[[], Any]) -> BaseException:
    """What a call raises."""
    try:
        call()
    except BaseException as error:  # noqa: BLE001 - that is the point
        return error
    raise AssertionError("it raised nothing")


def module(source: str, file: str = "/srv/app/orders.py", name: str = "app.orders") -> dict[str, Any]:
    """A module made of source, as if it were in that file."""
    names: dict[str, Any] = {"__name__": name}
    exec(compile(source, file, "exec"), names)  # noqa: S102 - code objects of files that are not there
    return names


LIBRARY = "/usr/lib/python3/site-packages/lib/calls.py"
library = module(
    "def call(f):\n    return again(f)\ndef again(f):\n    return f()\ndef fail():\n    raise KeyError\n",
    LIBRARY,
    "lib",
)


def test_neither_lines_nor_messages_nor_files_matter() -> None:
    """A deploy that moves the code, on a machine with another path: the same issue."""
    one = module("def pay(n):\n    raise ValueError(f'order {n}')\n")
    two = module(
        "# a new comment\n\ndef pay(n):\n    n += 1\n    raise ValueError(f'no {n}')\n", "/home/ann/app/orders.py"
    )
    assert fingerprint(raised(lambda: one["pay"](1))) == fingerprint(raised(lambda: two["pay"](2)))


def test_type_function_and_module_matter() -> None:
    """Another type, another function or another module is another issue."""
    sources = {
        "base": module("def pay():\n    raise ValueError\n"),
        "type": module("def pay():\n    raise TypeError\n"),
        "module": module("def pay():\n    raise ValueError\n", name="app.bills"),
    }
    prints = {name: fingerprint(raised(names["pay"])) for name, names in sources.items()}
    other = module("def refund():\n    raise ValueError\n")
    prints["function"] = fingerprint(raised(other["refund"]))
    assert len(set(prints.values())) == 4


def test_frames_of_libraries_do_not_matter() -> None:
    """However the library is built inside, its caller in the application tells the issue; two callers are two."""
    app = module("def one(f, g):\n    return f(g)\ndef two(f, g):\n    return f(g)\n")
    through = fingerprint(raised(lambda: app["one"](library["call"], library["fail"])))
    shorter = fingerprint(raised(lambda: app["one"](library["again"], library["fail"])))
    elsewhere = fingerprint(raised(lambda: app["two"](library["call"], library["fail"])))
    assert through == shorter != elsewhere


def test_without_frames_of_the_application_the_others_tell() -> None:
    """An exception all of whose frames are a library's is still told from another."""

    def inside(name: str) -> BaseException:
        error = raised(library[name])
        assert error.__traceback__ is not None
        return error.with_traceback(error.__traceback__.tb_next)

    deep = raised(lambda: library["call"](library["fail"]))
    assert deep.__traceback__ is not None
    assert deep.__traceback__.tb_next is not None
    assert fingerprint(inside("fail")) != fingerprint(deep.with_traceback(deep.__traceback__.tb_next.tb_next))


def test_a_recursion_is_one_round_of_it() -> None:
    """Three deep or thirty deep, of one function or of two in turns."""
    app = module("def a(n):\n    if n == 0: raise ValueError\n    return b(n - 1)\ndef b(n):\n    return a(n)\n")
    assert fingerprint(raised(lambda: app["a"](3))) == fingerprint(raised(lambda: app["a"](30)))
    endless = module("def down(n):\n    return down(n + 1)\n")
    old = sys.getrecursionlimit()
    first = fingerprint(raised(lambda: endless["down"](0)))
    sys.setrecursionlimit(old + 300)
    try:
        assert fingerprint(raised(lambda: endless["down"](0))) == first
    finally:
        sys.setrecursionlimit(old)


def test_causes_count_and_suppressed_contexts_do_not() -> None:
    """`raise from`, what was being handled, and `from None`."""
    app = module(
        "def low(kind):\n    raise kind\n"
        "def cause(kind):\n    try: low(kind)\n    except Exception as error: raise ValueError from error\n"
        "def context(kind):\n    try: low(kind)\n    except Exception: raise ValueError\n"
        "def hidden(kind):\n    try: low(kind)\n    except Exception: raise ValueError from None\n"
    )

    def told(name: str, kind: type[Exception]) -> str:
        return fingerprint(raised(lambda: app[name](kind)))

    assert told("cause", KeyError) != told("cause", OSError)
    assert told("context", KeyError) != told("context", OSError)
    assert told("hidden", KeyError) == told("hidden", OSError)


def test_groups_are_told_by_the_kinds_of_their_members() -> None:
    """A hundred tasks that failed alike are the issue that two are; one that failed otherwise is another."""

    def group(*members: Exception) -> str:
        return fingerprint(ExceptionGroup("tasks", members))

    assert group(KeyError("a"), KeyError("b")) == group(*(KeyError(n) for n in range(100)))
    assert group(KeyError("a"), OSError()) == group(OSError(), KeyError("a")) != group(KeyError("a"))
    nested: Exception = ValueError()
    for _ in range(50):
        nested = ExceptionGroup("deep", [nested])
    assert len(fingerprint(nested)) == 16


def test_a_circle_of_causes_ends() -> None:
    """Python allows it, so we must end."""
    one, two = ValueError(), KeyError()
    one.__cause__, two.__cause__ = two, one
    assert len(fingerprint(one)) == 16


def test_whose_frame_it_is() -> None:
    """Installed packages, the standard library, the SDK and console scripts are not the application."""
    assert in_app("/srv/app/orders.py")
    assert in_app("/srv/gnomon_shop/orders.py")
    import gnomon  # noqa: PLC0415 - for its path

    for file in (
        LIBRARY,
        "<frozen runpy>",
        sys.modules["threading"].__file__,
        gnomon.__file__,
        "/srv/.venv/bin/uvicorn",
    ):
        assert not in_app(str(file))
    assert qualified(KeyError) == "KeyError"
    assert qualified(CodeType) == "code"
    assert qualified(JSONDecodeError) == "json.decoder.JSONDecodeError"


def test_functions_are_remembered_within_bounds() -> None:
    """A host that compiles code without end fills no memory; a module without a name is no trouble."""
    for _ in range(4200):
        names = module("def f():\n    raise ValueError\n")
        names["__name__"] = None
        fingerprint(raised(names["f"]))
    assert len(_places) <= 4096
