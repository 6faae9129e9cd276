"""Service level objectives, and how well they were truly met."""

from collections.abc import Iterable
from dataclasses import dataclass

from gnomon_shop.truth.graph import SERVING
from gnomon_shop.truth.records import Operation


@dataclass(frozen=True, slots=True)
class Objective:
    """The share of requests that must go well; with `within_ms`, the share of the successful that must be as quick."""

    name: str
    service: str
    route: str  # empty: all of the service
    target: float
    within_ms: int | None = None

    def counts(self, operation: Operation) -> bool:
        """Whether the objective is about this operation."""
        return (
            operation.kind in SERVING
            and operation.service == self.service
            and self.route in ("", operation.name)
            and (self.within_ms is None or operation.ok)
        )

    def good(self, operation: Operation) -> bool:
        """Whether an operation that counts went well."""
        return operation.ok if self.within_ms is None else operation.duration_ns <= self.within_ms * 1_000_000


# Of a small shop that earns its money at the checkout: there less may fail, and it may take longer.
OBJECTIVES = (
    Objective("shop available", "gateway", "", 0.995),
    Objective("products fast", "gateway", "GET /api/products", 0.95, 250),
    Objective("product fast", "gateway", "GET /api/products/{id}", 0.95, 250),
    Objective("recommendations fast", "gateway", "GET /api/recommendations", 0.9, 500),
    Objective("cart available", "gateway", "POST /api/cart", 0.999),
    Objective("checkout available", "gateway", "POST /api/checkout", 0.99),
    Objective("checkout fast", "gateway", "POST /api/checkout", 0.95, 1000),
    Objective("catalogue available", "catalogue", "", 0.999),
    Objective("catalogue fast", "catalogue", "", 0.99, 100),
    Objective("cart service available", "cart", "", 0.999),
    Objective("checkout service available", "checkout", "", 0.995),
    Objective("payment available", "payment", "", 0.99),
    Objective("payment fast", "payment", "", 0.95, 500),
    Objective("recommendation available", "recommendation", "", 0.99),
    Objective("notification available", "notification", "", 0.99),
)


@dataclass(frozen=True, slots=True)
class Attainment:
    """How an objective was met by the operations that began in a window. With none, it was met."""

    objective: Objective
    total: int
    good: int

    @property
    def ratio(self) -> float:
        """The good among all."""
        return self.good / self.total if self.total else 1.0

    @property
    def budget_burnt(self) -> float:
        """Of the errors that the target allows for this many requests; above 1 the objective was missed."""
        return (1 - self.ratio) / (1 - self.objective.target)

    @property
    def met(self) -> bool:
        """Whether that is enough."""
        return self.ratio >= self.objective.target


def attainment(
    objective: Objective, operations: Iterable[Operation], start_ns: int = 0, end_ns: int | None = None
) -> Attainment:
    """Over the operations that began at `start_ns` or later, and before `end_ns`."""
    about = [
        each
        for each in operations
        if start_ns <= each.start and (end_ns is None or each.start < end_ns) and objective.counts(each)
    ]
    return Attainment(objective, len(about), sum(objective.good(each) for each in about))
