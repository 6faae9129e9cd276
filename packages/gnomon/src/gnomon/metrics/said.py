"""What the developer should know, said once: a service that measures wrongly must not be flooded with it."""

import logging

# Bounded: what is said is about instruments and labels, of which there are few; beyond that we are silent.
MOST = 1000
_said: set[str] = set()
_log = logging.getLogger("gnomon.metrics")


def say_once(about: str, message: str) -> None:
    """Warn through the standard logging, once in the life of the process for each `about`."""
    if about not in _said and len(_said) < MOST:
        _said.add(about)
        _log.warning("%s", message)
