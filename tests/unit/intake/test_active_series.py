"""How many series a tenant may have: told by a clock that the test turns."""

from typing import Any

import pyarrow as pa
import pytest
from batches import batch
from rows import sample

from gnomon_server.intake.active_series import ActiveSeries, most_varied_label
from gnomon_server.model.batch import Batch

DAY_S = 86_400
NOON_S = 20_000.5 * DAY_S


def sent(*ids: int, tenant: str = "acme", **tables: Any) -> Batch:
    """A sample of each of these series, with their rows of `series`."""
    series = [
        {"id": one, "metric": "up", "labels": [("user", str(one)), ("job", "shop")]} for one in dict.fromkeys(ids)
    ]
    points = [sample("2026-11-20", one) for one in ids]
    return batch(tenant, series=series, samples=points, **tables)


def left(made: Batch, table: str = "samples") -> list[int]:
    """Whose points are left."""
    return made.tables[table]["id"].to_pylist() if table in made.tables else []


def test_new_series_of_a_minute() -> None:
    """The first ones are taken and go on, the others are refused in this minute, and taken in the next."""
    active = ActiveSeries(most_new=3, most_active=100)
    first = active.admitted(sent(1, 2, 3, 4, 5, 4), NOON_S)
    assert (left(first), left(first, "series")) == ([1, 2, 3], [1, 2, 3])
    assert dict(first.rejections.refused) == {"series_limit": 3}
    assert left(active.admitted(sent(5, 2, 1), NOON_S + 1)) == [2, 1]
    assert left(active.admitted(sent(5, 2, 1), NOON_S + 60)) == [5, 2, 1]


def test_active_series_of_a_day() -> None:
    """Those of yesterday are there today as well, before any new one; those of the day before are new."""
    active = ActiveSeries(most_new=100, most_active=3)
    assert left(active.admitted(sent(1, 2, 3, 4), NOON_S)) == [1, 2, 3]
    assert left(active.admitted(sent(4, 3), NOON_S + DAY_S)) == [4, 3]
    assert left(active.admitted(sent(5, 1, 2), NOON_S + DAY_S)) == [1, 2]
    assert left(active.admitted(sent(7, 8, 9, 1), NOON_S + 3 * DAY_S)) == [7, 8, 9]


def test_tenants_do_not_use_up_each_others_series() -> None:
    """Each has its own limits."""
    active = ActiveSeries(most_new=1, most_active=1)
    assert left(active.admitted(sent(1, 2), NOON_S)) == [1]
    assert left(active.admitted(sent(1, 2, tenant="bank"), NOON_S)) == [1]


def test_what_was_active_before_a_restart_is_not_new() -> None:
    """It is recalled, tenant by tenant."""
    active = ActiveSeries(most_new=1, most_active=10)
    names = pa.chunked_array([pa.array(["acme"] * 3).dictionary_encode(), pa.array(["bank"]).dictionary_encode()])
    active.recall(pa.table({"name": names, "id": pa.array([1, 2, 3, 4], pa.uint64())}), NOON_S)
    assert left(active.admitted(sent(1, 2, 3, 4, 5), NOON_S)) == [1, 2, 3, 4]
    assert left(active.admitted(sent(1, 4, tenant="bank"), NOON_S)) == [1, 4]


def test_the_message_names_the_limit_and_the_label_at_fault() -> None:
    """So that the sender knows what to mend."""
    active = ActiveSeries(most_new=2, most_active=100)
    refused = active.admitted(sent(*range(12)), NOON_S).rejections
    assert refused.messages["series_limit"] == (
        "more than 2 new series a minute (intake.new_series_per_minute); "
        "label 'user' has 10 values in 10 series that were refused"
    )
    active = ActiveSeries(most_new=100, most_active=2)
    assert "2 active series a day (intake.active_series)" in active.admitted(sent(1, 2, 3), NOON_S).rejections.text()


def test_a_metric_name_may_be_the_label_at_fault() -> None:
    """Where a sender puts what varies into the name."""
    rows = [{"id": one, "metric": f"m_{one}", "labels": [("job", "shop")]} for one in range(5)]
    assert most_varied_label(batch(series=rows).tables["series"]) == ("__name__", 5, 5)


@pytest.mark.parametrize("table", ["delta_samples", "native_histograms", "exemplars"])
def test_every_kind_of_point_is_refused_with_its_series(table: str) -> None:
    """And counted, save exemplars, which are no points."""
    active = ActiveSeries(most_new=1, most_active=10)
    rows = [{"id": one} for one in (1, 2, 2)]
    made = active.admitted(batch(series=[{"id": 1}, {"id": 2}], **{table: rows}), NOON_S)
    assert left(made, table) == [1]
    assert made.rejections.total_refused == (0 if table == "exemplars" else 2)


def test_batches_without_new_series_pass_untouched() -> None:
    """They are most of what comes."""
    active = ActiveSeries(most_new=1, most_active=1)
    made = batch(samples=[sample("2026-11-20", 9)])
    assert active.admitted(made, NOON_S) is made
