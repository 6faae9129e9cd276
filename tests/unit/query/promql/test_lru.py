"""What was used last is kept, within a budget."""

from gnomon_server.query.promql.caches.lru import Lru


def test_what_was_not_used_longest_goes_first() -> None:
    """Being found is being used."""
    kept: Lru[str, int] = Lru(12)
    for number, name in enumerate("abcd"):
        kept.keep(name, number, 3)
    assert kept.find("a") == 0
    kept.keep("e", 4, 3)
    assert [kept.find(name) for name in "abcde"] == [0, None, 2, 3, 4]
    assert kept.weight == 12


def test_a_new_value_takes_the_place_of_the_old_one() -> None:
    """And its weight; one that is too heavy only turns out the old one."""
    kept: Lru[str, str] = Lru(100)
    kept.keep("a", "old", 20)
    kept.keep("a", "new", 10)
    assert (kept.find("a"), kept.weight) == ("new", 10)
    kept.keep("a", "heavy", 26)
    assert (kept.find("a"), kept.weight) == (None, 0)


def test_without_a_budget_nothing_is_kept() -> None:
    """Unless it weighs nothing."""
    kept: Lru[str, int] = Lru(0)
    kept.keep("a", 1, 1)
    assert kept.find("a") is None
