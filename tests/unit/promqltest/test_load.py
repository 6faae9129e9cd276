"""Scripts through the ordinary writer into the real engine: what is stored is what the script says."""

import math
import struct
from pathlib import Path

from tests.promqltest.engine import writing
from tests.promqltest.load import batch_of
from tests.promqltest.run import load, scenes

from gnomon_server.model.series import STALE_BITS, series_id
from gnomon_server.store.durable_store import DurableStore
from gnomon_server.store.tenants import TenantNumbers

SCRIPT = """
load 12h
  m{a="b"}@st _ _ -1s
  m{a="b"} 1 stale 3
  m{a="c"} 5 _ 7
  h {{schema:1 count:4 sum:-1 z_bucket:1 z_bucket_w:0.5 buckets:[0 2] n_buckets:[1] counter_reset_hint:gauge}} stale 9

eval instant at 0 m

load 1m
  m{a="c"} _ 6

eval instant at 0 m
"""


async def test_a_script_is_stored_scene_by_scene(store: DurableStore, tmp_path: Path) -> None:
    """Each scene under its tenant, samples from the epoch on, stale markers by their bits and in their kind."""
    path = tmp_path / "some.test"
    path.write_text(SCRIPT)
    played = scenes(path)
    tenants = TenantNumbers(store)
    await tenants.load()
    async with writing(store, tenants) as intake:
        await load(played, intake)
    numbers = [tenants.known(scene.tenant) or -1 for scene in played]
    first = {"tenant": numbers[0]}
    found, _ = await store.query(
        "SELECT id, toUnixTimestamp64Milli(ts) AS at, reinterpretAsUInt64(v) AS bits, toUnixTimestamp64Milli(start) AS "
        "start_ms FROM samples WHERE tenant = {tenant:UInt32} ORDER BY id, ts",
        first,
    )
    half_day = 43_200_000
    b, c, h = series_id("m", {"a": "b"}), series_id("m", {"a": "c"}), series_id("h", {})
    expected = [(b, 0, _bits(1), 0), (b, half_day, STALE_BITS, 0), (b, 2 * half_day, _bits(3), 2 * half_day - 1000)]
    expected += [(c, 0, _bits(5), 0), (c, 2 * half_day, _bits(7), 0), (h, 2 * half_day, _bits(9), 0)]
    assert sorted(expected) == [tuple(row.values()) for row in found.to_pylist()]
    native, _ = await store.query(
        "SELECT id, toUnixTimestamp64Milli(ts) AS at, schema, hint, count, sum, zero_threshold, zero_count, p_idx, "
        "p_cnt, n_idx, n_cnt, reinterpretAsUInt64(sum) AS bits FROM native_histograms WHERE tenant = {tenant:UInt32} "
        "ORDER BY ts",
        first,
    )
    rows = native.to_pylist()
    assert [(row["id"], row["at"]) for row in rows] == [(h, 0), (h, half_day)]
    assert list(rows[0].values())[2:-1] == [1, 3, 4, -1, 0.5, 1, [1], [2], [0], [1]]
    assert rows[1]["bits"] == STALE_BITS
    assert math.isnan(rows[1]["sum"])
    described, _ = await store.query(
        "SELECT tenant, metric, toString(day) AS day, labels FROM series ORDER BY tenant, metric, labels['a'], day"
    )
    days = [(row["tenant"], row["metric"], row["day"]) for row in described.to_pylist()]
    per_tenant = [("h", "1970-01-01"), ("h", "1970-01-02")] + [("m", "1970-01-01"), ("m", "1970-01-02")] * 2
    assert days == [(number, *one) for number in sorted(numbers) for one in per_tenant]
    counted, _ = await store.query(
        "SELECT count() AS n FROM samples WHERE tenant = {tenant:UInt32}", {"tenant": numbers[1]}
    )
    assert counted["n"][0].as_py() == len(expected) + 1


def test_nothing_loaded_is_no_table() -> None:
    """A scene after a clear has nothing to write."""
    assert batch_of("none", []).tables == {}


def _bits(value: float) -> int:
    return int(struct.unpack("<Q", struct.pack("<d", value))[0])
