"""The error root."""

import pickle

from gnomon_server.errors import GnomonError, Overloaded, RetryableError, TooLarge


def test_an_error_reads_like_a_small_letter() -> None:
    """What and code come first; where and hint get a line each when there is something to say."""
    error = GnomonError("port_taken", "another program listens on it", "127.0.0.1:4317", "choose another")
    assert str(error) == "another program listens on it [port_taken]\n  where: 127.0.0.1:4317\n  hint: choose another"
    assert str(GnomonError("a", "b")) == "b [a]"


def test_the_answer_has_all_four_keys() -> None:
    """`to_dict` is the body of the native API's errors."""
    assert TooLarge("body_too_large", "too long").to_dict() == {
        "error": {"code": "body_too_large", "what": "too long", "where": "", "hint": ""}
    }


def test_an_error_crosses_a_process_boundary_whole() -> None:
    """Workers raise in another process: nothing may be lost by pickling."""
    error = pickle.loads(pickle.dumps(Overloaded("full", "it is full", "here", "wait", retry_after_s=7.5)))  # noqa: S301 - our own bytes
    assert isinstance(error, RetryableError)
    assert (error.code, error.what, error.where, error.hint, error.retry_after_s) == (
        "full",
        "it is full",
        "here",
        "wait",
        7.5,
    )
