"""Who we are: the resource that stands over everything a process sends.

Every process is an instance of its own, forked ones included: two workers that shared an instance id would write into
the same series, and their counters would jump to and fro.
"""

import os
import platform
import socket
import uuid
from collections.abc import Mapping
from typing import Any

from gnomon.process.forks import after_fork
from gnomon.wire.envelope import resource


class Identity:
    """The resource attributes of this process, and their bytes.

    Args:
        attributes: of the service, as configured. A `service.instance.id` among them stands for the first process; a
            forked one adds its pid.
        version: of the SDK.
        one_of_many: whether others like this process were started beside it, and were given the same attributes: a
            worker that was not forked from a process of ours. Then it adds its pid, too.
    """

    def __init__(self, attributes: Mapping[str, Any], version: str, *, one_of_many: bool = False) -> None:
        self._given, self._version = dict(attributes), version
        if one_of_many:
            self._reborn()
        else:
            self._describe(str(self._given.get("service.instance.id") or uuid.uuid4()))
        after_fork(self._reborn)

    def _reborn(self) -> None:
        given = self._given.get("service.instance.id")
        self._describe(f"{given}-{os.getpid()}" if given else str(uuid.uuid4()))

    def _describe(self, instance: str) -> None:
        self.attributes: dict[str, Any] = {
            "telemetry.sdk.name": "gnomon",
            "telemetry.sdk.language": "python",
            "telemetry.sdk.version": self._version,
            "host.name": socket.gethostname(),
            "os.type": platform.system().lower(),
            "process.pid": os.getpid(),
            "process.runtime.name": platform.python_implementation().lower(),
            "process.runtime.version": platform.python_version(),
            **self._given,
            "service.instance.id": instance,
        }
        self.encoded = resource(self.attributes)
