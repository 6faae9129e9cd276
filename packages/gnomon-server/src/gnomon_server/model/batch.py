"""What travels between the stages: tables of Arrow rows that are stored together, and what was refused on the way."""

from collections import Counter
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import NamedTuple

import pyarrow as pa


@dataclass(slots=True)
class Rejections:
    """Records refused or cut, by reason; the first message of each is kept for the sender.

    `refused` counts records that are not stored, `altered` counts records that are stored but cut (an attribute value
    over the limit, say). Reasons are snake_case words: the same word is the metric label and the sender's message.
    """

    refused: Counter[str] = field(default_factory=Counter)
    altered: Counter[str] = field(default_factory=Counter)
    messages: dict[str, str] = field(default_factory=dict)

    def refuse(self, reason: str, message: str, count: int = 1) -> None:
        """Count `count` records that will not be stored."""
        self.refused[reason] += count
        self.messages.setdefault(reason, message)

    def alter(self, reason: str, message: str, count: int = 1) -> None:
        """Count `count` records that are stored with something cut or replaced."""
        self.altered[reason] += count
        self.messages.setdefault(reason, message)

    @property
    def total_refused(self) -> int:
        """How many records are not stored."""
        return self.refused.total()

    def text(self, limit: int = 5) -> str:
        """One line for the sender: what was refused or cut, how often, why."""
        counts = [*self.refused.most_common(limit), *self.altered.most_common(limit)]
        return "; ".join(f"{count} x {reason}: {self.messages[reason]}" for reason, count in counts)


class Sender(NamedTuple):
    """One service instance's share of a batch. `newest_ns`: the latest time it wrote on a record, refused ones too."""

    signal: str
    service: str
    instance: str
    records: int
    newest_ns: int


@dataclass(frozen=True, slots=True)
class Batch:
    """Rows for one tenant that are acknowledged together.

    `tables` maps a table's name (model.tables) to its rows, without the columns `tenant` and `ret`, which intake adds.
    `records` is the number of what the sender counts (spans, log records, data points); `size_bytes` what it weighs in
    memory, for the queue's bound. `senders` says whose records these are; empty where nobody is to be watched.
    """

    tenant: str
    tables: Mapping[str, pa.RecordBatch]
    records: int
    size_bytes: int
    rejections: Rejections
    senders: tuple[Sender, ...] = ()
