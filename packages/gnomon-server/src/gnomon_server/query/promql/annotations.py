"""Warnings and infos: what Prometheus says beside an answer, in its words.

https://github.com/prometheus/prometheus/blob/main/util/annotations/annotations.go
"""

from dataclasses import dataclass, field

from gnomon_server.query.promql.ast import Node

MOST = 10  # of a kind, as Prometheus' API shows them


@dataclass(slots=True)
class Annotations:
    """What was noticed while a query was evaluated; the same thing at the same place is said once.

    Args:
        text: the query.
    """

    text: str
    _warnings: dict[str, None] = field(default_factory=dict)
    _infos: dict[str, None] = field(default_factory=dict)

    def warn(self, message: str, node: Node) -> None:
        """Something is probably wrong with the query or the data."""
        self._warnings[f"PromQL warning: {message} ({self._place(node)})"] = None

    def inform(self, message: str, node: Node) -> None:
        """Something may be meant otherwise."""
        self._infos[f"PromQL info: {message} ({self._place(node)})"] = None

    @property
    def warnings(self) -> list[str]:
        """As the API shows them."""
        return _shown(self._warnings, "warnings")

    @property
    def infos(self) -> list[str]:
        """As the API shows them."""
        return _shown(self._infos, "infos")

    def _place(self, node: Node) -> str:
        before = self.text[: node.start]
        return f"{before.count(chr(10)) + 1}:{node.start - (before.rfind(chr(10)) + 1) + 1}"


def _shown(said: dict[str, None], kind: str) -> list[str]:
    listed = list(said)
    return listed if len(listed) <= MOST else [*listed[:MOST], f"{len(listed) - MOST} more {kind} omitted"]
