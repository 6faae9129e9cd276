"""After an unclean end: what a commit that was cut in two left behind is completed.

A span's row and its share of `trace_index` (a materialised view) are two parts of one insert. A server that is killed
between them leaves spans that no list of traces shows, and the sender's repetition does not mend it, since the spans
are recognised as stored. So before the writer starts, the newest spans are counted against the index, and what is
missing is added; the other columns are minima, maxima and sets, which repetition does not change.
"""

from gnomon_server.store.interface import Store

_WINDOW_MINUTES = 15  # what was in flight is seconds old; some senders report late

_MISSING_TRACES = f"""
INSERT INTO trace_index (tenant, ret, trace_id, start, end, spans, errors, services, root_service, root_name, root_dur)
SELECT s.tenant, s.ret, s.trace_id, s.start, s.end, s.spans - i.spans, s.errors - least(i.errors, s.errors), s.services,
    s.root_service, s.root_name, s.root_dur
FROM (
    SELECT tenant, ret, trace_id, min(ts) AS start, max(addNanoseconds(ts, least(dur, 86400000000000))) AS end,
        count() AS spans, countIf(status = 2) AS errors, groupUniqArray(toString(service)) AS services,
        max(if(parent_id = toFixedString('', 8), toString(service), '')) AS root_service,
        max(if(parent_id = toFixedString('', 8), toString(name), '')) AS root_name,
        max(if(parent_id = toFixedString('', 8), dur, 0)) AS root_dur
    FROM spans WHERE ts >= now() - INTERVAL {_WINDOW_MINUTES} MINUTE GROUP BY tenant, ret, trace_id
) AS s
LEFT JOIN (
    SELECT tenant, ret, trace_id, sum(spans) AS spans, sum(errors) AS errors
    FROM trace_index WHERE end >= now() - INTERVAL {_WINDOW_MINUTES} MINUTE GROUP BY tenant, ret, trace_id
) AS i ON s.tenant = i.tenant AND s.ret = i.ret AND s.trace_id = i.trace_id
WHERE s.spans > i.spans
"""


async def complete_trace_index(store: Store) -> None:
    """Add to the list of traces what an interrupted commit left out. Nothing else may write meanwhile."""
    await store.command(_MISSING_TRACES, settings={"max_execution_time": 20, "use_query_condition_cache": 0})
