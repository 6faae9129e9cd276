"""What counts as a fault that can be seen, on spans made by hand."""

from typing import Any

from hypothesis import given
from hypothesis import strategies as st

from gnomon_shop import evidence
from gnomon_shop.faults.kinds import KINDS
from gnomon_shop.stored import Api, Span, Stored

SECOND = evidence.SECOND_NS
FAULT = {"kind": "errors", "where": "catalogue", "strength": 1.0, "onset": "sudden"}


def at(second: int) -> str:
    """A time of the first minute of 1970, as `truth.json` has it."""
    return f"1970-01-01T00:00:{second:02}.000000000Z"


def seen(failing: range, fault: dict[str, Any], *others: dict[str, Any]) -> bool:
    """Whether a fault shows, where catalogue serves ten requests a second for a minute, and fails in some seconds."""
    spans = {
        ("t", f"{n}"): Span(
            "t",
            f"{n}",
            "",
            "catalogue",
            "GET",
            "server",
            "error" if n // 10 in failing else "unset",
            n * SECOND // 10,
            1,
            0,
            {},
        )
        for n in range(600)
    }
    stored = Stored(Api("http://nowhere", ""), [], 0, 0)
    stored.__dict__["spans"] = spans  # where the answer of the server would be kept
    return evidence.judged(stored, 0, fault, [fault, *others])[0]


def test_a_fault_shows_in_its_window_and_not_before() -> None:
    """Errors from the 20th to the 40th second belong to a fault of that time, not to one that begins at 30 or 45."""
    assert seen(range(20, 40), FAULT | {"start": at(20), "end": at(40)})
    assert not seen(range(20, 40), FAULT | {"start": at(30), "end": at(40)})
    assert not seen(range(20, 40), FAULT | {"start": at(45), "end": at(55)})
    assert not seen(range(20, 40), FAULT | {"start": at(0), "end": at(40)})  # nothing is known of the time before


def test_a_gradual_fault_is_looked_for_when_it_is_at_its_height() -> None:
    """In the second half of its window."""
    assert seen(range(30, 40), FAULT | {"start": at(20), "end": at(40), "onset": "gradual"})


def test_another_fault_before_is_no_quiet_time() -> None:
    """The time it takes is left out, else this one would be nothing new."""
    first, second = FAULT | {"start": at(5), "end": at(20)}, FAULT | {"start": at(20), "end": at(40)}
    assert not seen(range(5, 40), second)
    assert seen(range(5, 40), second, first)


def test_a_fault_of_half_the_strength_needs_half_the_change() -> None:
    """And a fall is a change below."""
    rise, fall = (
        evidence.Evidence("", evidence.order_cents, 10),
        evidence.Evidence("", evidence.order_cents, -0.2, relative=True),
    )
    assert rise.moved(100, 105, 0.5)
    assert not rise.moved(100, 105, 1)
    assert fall.moved(100, 80, 1)
    assert not fall.moved(100, 81, 1)


def test_every_kind_has_its_evidence() -> None:
    """None can be planted that the check would not look for."""
    assert evidence.EVIDENCE.keys() == KINDS.keys()


SPELLS = st.lists(st.tuples(st.integers(0, 20), st.integers(0, 20)), max_size=4)


@given(SPELLS, SPELLS)
def test_a_stretch_without_gaps_is_what_is_in_it_and_in_none(spell: evidence.Spell, gaps: evidence.Spell) -> None:
    """By trying every moment."""
    left = evidence.without(spell, gaps)
    for moment in range(21):
        expected = evidence.within(spell, moment) and not evidence.within(gaps, moment)
        assert evidence.within(left, moment) == expected
