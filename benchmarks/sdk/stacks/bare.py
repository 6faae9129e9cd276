"""Nothing at all: what the others are compared with."""

from contextlib import nullcontext

from fastapi import FastAPI

from stacks import Stack


def start(_app: FastAPI, _sink: str) -> Stack:
    """Calls that do nothing."""
    nothing = nullcontext()
    return Stack(span=lambda _: nothing, log=lambda _message, **_fields: None, flush=lambda: None, access=False)
