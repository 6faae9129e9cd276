"""What becomes of each request: which variant of its tree of calls, where it fails, and whose journey ends there."""

from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any

import numpy as np
from numpy.typing import NDArray

from gnomon_shop.history.calls import Tree
from gnomon_shop.history.shape import (
    BANK_ATTEMPTS,
    MOST_HASTY,
    MOST_LINES,
    MOST_SETTLED,
    PROBES,
    Variant,
    handed_up,
    tree,
)
from gnomon_shop.history.traffic import ACTION, ACTIONS, Rows
from gnomon_shop.history.weather import Weather
from gnomon_shop.services.goods import DISCOUNT_RATIO

Ints = NDArray[np.int64]
Floats = NDArray[np.float64]
Flags = NDArray[np.bool_]

DISPENSABLE = "similar"  # a journey goes on without it
NEXT_SHARE = 0.5  # of the checkouts, to a new version at full strength; see services/gateway.py
REVENUE_DROP_RATIO = 0.6  # see services/checkout.py
DECLINED_RATIO, BANK_FAILS_RATIO = 0.04, 0.01  # see services/outside.py
# How often an entry is not in catalogue's cache, by what asks for it; at the history's pace most have expired.
_MISSED = {"list": 0.12, "search": 0.12, "view": 0.6, "similar": 0.5, "add": 0.1, "probe": 0.1}
_CODES = 32  # more than any field of a variant has values
_DEAR = 10  # statements of a stampede at full strength
_HASTY_FAILS = 0.5  # share of the hurried calls that are not quick enough


@dataclass
class Group:
    """Requests that go the same way."""

    action: str
    tree: Tree
    places: Ints  # among the day's rows, in order
    is_next: Flags  # whether the new version of checkout takes it


@dataclass
class Outcomes:
    """Decides; goes from day to day, because journeys do."""

    weather: Weather
    _cut: set[int] = field(default_factory=set)  # sessions that have met a failure
    _due: dict[int, int] = field(default_factory=dict)  # cents of the order placed in a session

    def of(self, rng: np.random.Generator, rows: Rows) -> list[Group]:
        """The day's requests as groups; sets `cents` to what orders come to. Rows that do not happen are in none."""
        groups = [
            group
            for number, action in enumerate(ACTIONS)
            for group in self._grouped(rng, action, rows, np.flatnonzero(rows["action"] == number))
        ]
        happens = self._uncut(rows, groups)
        self._price(rows, groups, happens)
        kept = []
        for group in groups:
            there = happens[group.places]
            if there.any():
                kept.append(Group(group.action, group.tree, group.places[there], group.is_next[there]))
        return kept

    def _grouped(self, rng: np.random.Generator, action: str, rows: Rows, places: Ints) -> list[Group]:
        if not len(places):
            return []
        at, dice = rows["at"][places], rows["dice"][places]
        is_next = np.zeros(len(places), np.bool_)
        if action in ("checkout", "return"):
            is_next = dice[:, 5] < NEXT_SHARE * self.weather.level("bad_deploy", "checkout", at)
        codes, variants = self._variants(action, rows[places], at, dice)
        found = []
        for code in np.unique(codes):
            mine = codes == code
            whole = tree(action, variants(int(code)))
            failed, reasons = self.weather.failures(rng, whole, at[mine], is_next[mine])
            for place in np.unique(failed).tolist():
                here = failed == place
                status, error = reasons[max(place, 0)]
                gone = whole if place < 0 else whole.failed(place, status, error, handed_up)
                found.append(Group(action, gone, places[mine][here], is_next[mine][here]))
        return found

    def _variants(self, action: str, rows: Rows, at: Ints, dice: Floats) -> tuple[Ints, Callable[[int], Variant]]:
        """A code for each row, and what a code means: the fields of `Variant` that this action has, as one number."""
        columns = {
            **(self._in_catalogue(action, at, dice) if action in _MISSED else {}),
            **(self._in_payment(at, dice) if action in ("checkout", "return") else {}),
        }
        if action == "checkout":
            columns |= {"declined": dice[:, 1] < DECLINED_RATIO, "lines": np.clip(rows["lines"], 1, MOST_LINES)}
        elif action == "settle":
            columns["settled"] = np.minimum(rows["quantity"], MOST_SETTLED)
        elif action == "probe":
            columns["probe"] = (dice[:, 0] * len(PROBES)).astype(int)
        code = np.zeros(len(rows), np.int64)
        for column in columns.values():
            code = code * _CODES + column
        flags = {name for name, column in columns.items() if column.dtype == np.bool_}

        def meant(code: int) -> Variant:
            fields: dict[str, Any] = {}
            for name in reversed(columns):
                code, value = divmod(code, _CODES)
                fields[name] = bool(value) if name in flags else value
            return Variant(**fields)

        return code, meant

    def _in_catalogue(self, action: str, at: Ints, dice: Floats) -> dict[str, NDArray[Any]]:
        """Cache, statements and hurried calls."""
        stampede = self.weather.level("cache_stampede", "catalogue", at)
        missed = dice[:, 0] < np.where(stampede > 0, 0.95, _MISSED[action])
        dear = np.where(missed, (stampede * _DEAR + dice[:, 1] * (stampede > 0)).astype(int), 0)
        columns = {"missed": missed, "dear": dear}
        if action in ("list", "search"):
            columns["one_by_one"] = dice[:, 2] < self.weather.level("n_plus_one", "catalogue", at)
        if action in ("list", "search", "view", "add"):
            storm = self.weather.level("retry_storm", "gateway", at)
            tried = np.where(storm > 0, (storm * MOST_HASTY + dice[:, 3]).astype(int), 0)
            unlucky = np.floor(np.log(1 - dice[:, 4]) / np.log(_HASTY_FAILS)).astype(int)
            columns["hasty"] = np.minimum(tried, unlucky)
        return columns

    def _in_payment(self, at: Ints, dice: Floats) -> dict[str, NDArray[Any]]:
        """Attempts that the bank did not answer well; with an expired certificate none is answered at all."""
        ended = self.weather.certificate_days(at) <= 0
        expired = np.where(ended, self.weather.level("certificate_expiry", "payment", at), 0)
        share = np.maximum(expired, BANK_FAILS_RATIO)
        bank = (dice[:, :1] < share[:, None] ** np.arange(1, BANK_ATTEMPTS + 1)).sum(axis=1)
        return {"bank": bank, "expired": (bank > 0) & (expired > 0)}

    def _uncut(self, rows: Rows, groups: list[Group]) -> Flags:
        """Which rows happen: a journey ends with its first failure."""
        ill = np.zeros(len(rows), np.bool_)
        for group in groups:
            if group.tree.root.code >= 500 and group.action != DISPENSABLE:
                ill[group.places] = True
        journeys = rows["action"] < ACTION["probe"]
        happens = ~(journeys & np.isin(rows["session"], list(self._cut)))
        first: dict[int, int] = {}
        for place in np.flatnonzero(ill & journeys & happens).tolist():
            first.setdefault(int(rows["session"][place]), place)
        for place in np.flatnonzero(journeys & np.isin(rows["session"], list(first))).tolist():
            happens[place] &= place <= first[int(rows["session"][place])]
        self._cut |= set(first)
        return happens

    def _price(self, rows: Rows, groups: list[Group], happens: Flags) -> None:
        """What is due for an order, after discounts; and nothing is given back that was not bought."""
        bug = 1 - REVENUE_DROP_RATIO * self.weather.level("revenue_drop", "checkout", rows["at"])
        checkouts = rows["action"] == ACTION["checkout"]
        due = np.rint(rows["cart"] * (1 - DISCOUNT_RATIO) * bug).astype(np.int64)
        rows["cents"][checkouts] = due[checkouts]
        for group in groups:
            if group.action == "checkout" and group.tree.root.status == "200":
                for place in group.places[happens[group.places]].tolist():
                    self._due[int(rows["session"][place])] = int(due[place])
        for place in np.flatnonzero(rows["action"] == ACTION["return"]).tolist():
            cents = self._due.get(int(rows["session"][place]), 0)
            rows["cents"][place] = cents
            happens[place] &= cents > 0
