"""The seventeen kinds of faults: what breaks, how it shows, who sees it, and what to conclude.

`docs/faults.md` is written from this table (`python -m gnomon_shop faults --markdown`), and a test compares the two.
"""

from dataclasses import dataclass

LOAD = "load"  # what comes from outside is made by the load
# Who waits for whose answers. Notification's messages come by the queue: nobody waits for it.
CALLERS = {
    "gateway": (),
    "catalogue": ("gateway", "recommendation"),
    "cart": ("gateway", "checkout"),
    "recommendation": ("gateway",),
    "checkout": ("gateway",),
    "payment": ("checkout",),
    "notification": (),
}


@dataclass(frozen=True, slots=True)
class Kind:
    """One kind of fault; `level` in the texts is the strength, or the way towards it of a gradual onset."""

    targets: tuple[str, ...]  # where it can be planted, the usual place first
    what: str  # one line, for truth.json and the terminal; `{where}` is the service
    spreads: bool  # whether the callers of that service, and their callers, suffer too
    also: tuple[str, ...]  # other services whose signals change
    signals: tuple[str, ...]  # of spans, logs, metrics
    breaks: str
    traces: str
    metrics: str
    logs: str
    strength: str
    conclude: str

    def seen_by(self, where: str) -> list[str]:
        """The services whose signals change when it is planted there: that one, its callers, then others."""
        seen = [] if where == LOAD else [where]
        if self.spreads:
            for service in seen:  # grows on the way: callers of callers
                seen += [caller for caller in CALLERS[service] if caller not in seen]
        return seen + [service for service in self.also if service not in seen]


KINDS: dict[str, Kind] = {
    "latency": Kind(
        targets=("payment", "recommendation", "notification", "catalogue", "cart"),
        what="what {where} depends on answers late",
        spreads=True,
        also=(),
        signals=("spans", "metrics"),
        breaks="Every call from payment to the bank waits before it is answered (elsewhere: every call, statement "
        "and look into the cache). Nothing fails by itself, but a caller's deadline may pass.",
        traces="The client span of payment towards the bank grows, and with it `Charge`, `POST /api/checkout` in "
        "checkout and in the gateway: one critical path, whose own time stays in the bottommost span.",
        metrics="Duration histograms of payment, checkout and the gateway's checkout route shift; other routes stay.",
        logs="Nothing new.",
        strength="400 ms x level for each call, plus a fifth of that at random.",
        conclude="The time is spent waiting for the bank, outside the shop; checkout and gateway are victims. Put "
        "a deadline on the call, talk to the bank.",
    ),
    "errors": Kind(
        targets=("catalogue", "cart", "recommendation", "payment", "checkout"),
        what="{where} fails a share of its requests",
        spreads=True,
        also=(),
        signals=("spans", "logs", "metrics"),
        breaks="A share of catalogue's requests ends in 500 before any work is done.",
        traces="Server spans of catalogue with status error; the calling spans of gateway and recommendation fail "
        "with them. Failed spans are shorter than good ones.",
        metrics="Error ratio of catalogue, then of gateway and recommendation; durations of catalogue fall slightly.",
        logs="Error records in catalogue, in the trace of the failed request.",
        strength="A share of level x 0.6 of the requests fails, drawn anew for each.",
        conclude="The lowest service with errors of its own is catalogue, on all routes and in its only version: "
        "look there, not at the callers.",
    ),
    "pool_exhaustion": Kind(
        targets=("checkout",),
        what="connections of checkout's database pool are held and not given back",
        spreads=True,
        also=(),
        signals=("spans", "logs", "metrics"),
        breaks="All five connections of checkout's pool are taken and held; whoever needs one waits, and after "
        "two seconds gives up.",
        traces="A long wait before the first SQL span within checkout's `POST /checkout`, the SQL itself as short "
        "as ever; some requests end in 503 at the pool's deadline.",
        metrics="`db.client.connection.count` in state `used` stays at the maximum, `pending_requests` and "
        "`wait_time` rise; durations of checkout get two humps.",
        logs="Warnings of checkout that no connection came free in time.",
        strength="The pool is empty for level x 3 s of every 3 s; from about 0.67 on some give up waiting.",
        conclude="The database is quick and idle while checkout waits: the pool is the bottleneck. Look for who "
        "does not give connections back.",
    ),
    "n_plus_one": Kind(
        targets=("catalogue",),
        what="catalogue's list asks the database once per row",
        spreads=True,
        also=(),
        signals=("spans", "metrics"),
        breaks="A list of products is read with one statement for the list and one more for every row of it.",
        traces="Many short, equal SQL spans in a row below `GET /products`, where there was one.",
        metrics="Statements per request rise from one to some twenty; list durations rise, single products stay.",
        logs="Nothing new.",
        strength="A share of level of the lists is read row by row.",
        conclude="The database answers each statement as fast as before; there are too many of them. A change of "
        "catalogue's code did it: join or batch.",
    ),
    "memory_growth": Kind(
        targets=("recommendation", "catalogue", "cart", "checkout"),
        what="{where} keeps memory for every request",
        spreads=False,
        also=(),
        signals=("metrics",),
        breaks="Recommendation keeps bytes of each request, up to 512 MiB, and lets go only when the fault is over.",
        traces="Nothing, or slightly longer spans late in the window.",
        metrics="`process.memory.usage` of recommendation rises in proportion to its requests, a line without an end.",
        logs="Nothing new.",
        strength="1 MiB x level is kept per request.",
        conclude="Memory follows requests, not time or load at the moment: a leak in recommendation. Forecast "
        "when the limit is reached, restart before that, look for a cache without bounds.",
    ),
    "lock_contention": Kind(
        targets=("cart", "catalogue"),
        what="requests of {where} queue on one lock",
        spreads=True,
        also=(),
        signals=("spans", "metrics"),
        breaks="All requests of cart go through one lock, held for a while by each, before they are worked on.",
        traces="Server spans of cart grow with the number at work at the same moment; nothing below them does.",
        metrics="Durations of cart rise with its concurrency, its CPU does not; requests in progress pile up.",
        logs="Nothing new.",
        strength="The lock is held for up to 200 ms x level by each request.",
        conclude="Slow only when several come at once, with idle CPU and quick cache: they wait for each other, "
        "in cart.",
    ),
    "cpu_starvation": Kind(
        targets=("recommendation", "catalogue", "cart"),
        what="a thread burns the CPU of {where} beside its event loop",
        spreads=True,
        also=(),
        signals=("spans", "metrics"),
        breaks="A busy thread in recommendation's process takes the interpreter from its event loop.",
        traces="Every span of recommendation grows, those without any waiting (`rank`) too; gaps between child spans.",
        metrics="`process.cpu.utilization` of recommendation near a whole core; its durations rise, and those of "
        "the gateway's recommendations route.",
        logs="Nothing new.",
        strength="The share of time that the thread is busy.",
        conclude="The time is in recommendation itself and not in what it calls, with the CPU at its limit: find "
        "the hot code, or give it more CPU. On a small machine the neighbours suffer a little, too.",
    ),
    "bad_deploy": Kind(
        targets=("checkout",),
        what="version 1.5.0 of checkout, beside 1.4.0, fails and is slow",
        spreads=True,
        also=(),
        signals=("spans", "logs", "metrics"),
        breaks="A second version of checkout takes a part of the traffic; it answers slowly, and often with 500.",
        traces="Errors and long spans all have `service.version` 1.5.0; those of 1.4.0 are as ever.",
        metrics="Error ratio and durations of checkout rise in part; split by version, one is well and one is ill.",
        logs="Error records of the instances with version 1.5.0 only.",
        strength="Half of the checkouts x level go to the new version; there each takes some 300 ms x level "
        "longer and half of them x level fail.",
        conclude="Everything bad has version 1.5.0, and it began with that version's first span: roll back.",
    ),
    "traffic_spike": Kind(
        targets=("load",),
        what="the number of visitors multiplies",
        spreads=False,
        also=("gateway", "catalogue", "cart", "checkout", "payment", "recommendation", "notification"),
        signals=("spans", "metrics"),
        breaks="More visitors arrive than the hour and the day explain. They behave as visitors always do.",
        traces="Nothing in a single trace but, at the limit, longer ones.",
        metrics="Request rates of all services rise by the same factor, with the mix of routes and the funnel's "
        "ratios unchanged; durations follow only near saturation.",
        logs="More of the same.",
        strength="The rate of arrivals is multiplied by 1 + 5 x level.",
        conclude="Demand, not a defect: all entry routes grow alike and conversion holds. Scale out, or shed load.",
    ),
    "slow_disk": Kind(
        targets=("checkout",),
        what="commits of checkout's database take long",
        spreads=True,
        also=(),
        signals=("spans", "metrics"),
        breaks="Committing a transaction takes long; reading does not.",
        traces="The commit span of an order grows; `SELECT`s are as short as ever.",
        metrics="Durations of `POST /checkout` and of the database's commits shift; connections in use rise.",
        logs="Nothing new.",
        strength="300 ms x level for each commit, plus a third of that at random.",
        conclude="Only what writes durably is slow: storage below the database. Look at disk latency before "
        "touching queries.",
    ),
    "queue_backlog": Kind(
        targets=("notification",),
        what="notification takes its messages slowly, and the queue grows",
        spreads=False,
        also=(),
        signals=("spans", "metrics"),
        breaks="The consumer is slower than the orders come in. Mails arrive late; nobody at the front notices.",
        traces="A growing gap between checkout's producer span and notification's consumer span; the latter is longer.",
        metrics="`shop.queue.depth` rises steadily and falls slowly after the end; `messaging.process.duration` "
        "shifts.",
        logs="Nothing new.",
        strength="Each message takes 3 s x level longer.",
        conclude="Arrivals are as ever, the consumer is slow: add consumers or find what slows them. It outlasts "
        "the fault itself by the time the backlog takes to drain.",
    ),
    "certificate_expiry": Kind(
        targets=("payment",),
        what="the certificate towards the bank runs out, then TLS fails",
        spreads=True,
        also=(),
        signals=("spans", "logs", "metrics"),
        breaks="The certificate of the bank's endpoint nears its end; once past, every handshake fails, and with "
        "it every charge.",
        traces="Client spans of payment fail at once with a certificate error; `Charge` and checkout's answers follow.",
        metrics="`shop.certificate.days_left` falls from 30 to 0, at once or over a gradual onset; error ratio of "
        "payment, checkout and gateway.",
        logs="Error records of payment that name the certificate and its end.",
        strength="The share of handshakes that fails once the days are over; payment tries three times.",
        conclude="Instant, total and with a date known in advance: renew the certificate, and alert on the days left.",
    ),
    "cache_stampede": Kind(
        targets=("catalogue",),
        what="catalogue's cached entries expire together and are all computed anew",
        spreads=True,
        also=(),
        signals=("spans", "metrics"),
        breaks="Cached entries expire at the same moment, again and again, and every request computes its entry "
        "itself.",
        traces="Cache misses and SQL in nearly every request, several computing the same entry at the same time.",
        metrics="`shop.cache.lookups` of catalogue turn from hits to misses in waves, statements rise in the same "
        "waves, durations likewise.",
        logs="Nothing new.",
        strength="All entries are thrown away every 4 s / level, and each costs up to 10 x level more statements "
        "to compute.",
        conclude="The cache is up and quick but empty: everyone recomputes. Spread the expiry, let one compute "
        "for all.",
    ),
    "retry_storm": Kind(
        targets=("gateway",),
        what="the gateway asks catalogue again and again, without back-off, when an answer is slow",
        spreads=False,
        also=("catalogue",),
        signals=("spans", "metrics"),
        breaks="The gateway gives catalogue far too little time and repeats the call at once, while the first is "
        "still worked on.",
        traces="Several client spans towards catalogue within one gateway span, the earlier ones cut off by the "
        "caller.",
        metrics="Requests of catalogue rise while those of the gateway do not: the ratio of the two is the finding.",
        logs="Warnings of the gateway about repeated calls.",
        strength="Up to 8 x level hasty calls before the patient one.",
        conclude="Catalogue's load is made by its caller: amplification. Limit retries with a budget, back off, "
        "add jitter.",
    ),
    "clock_skew": Kind(
        targets=("notification", "payment", "recommendation"),
        what="the clock of {where} is fast",
        spreads=False,
        also=(),
        signals=("spans", "logs", "metrics"),
        breaks="The clock by which notification stamps its telemetry is ahead. What happens in truth is as ever.",
        traces="Consumer spans begin seconds after the message was produced, though nothing waits in the queue; "
        "elsewhere, children begin after their parents have ended. Spans arrive before the time they tell.",
        metrics="Samples of notification are ahead of all others by a constant; `shop.queue.depth` is as ever.",
        logs="Records of notification are late beside those of the same trace, and newer than their own arrival.",
        strength="Ahead by 5 s x level.",
        conclude="What comes from the future was stamped by a wrong clock: compare with the time of arrival. Mend "
        "the time service of that process, and do not trust the order of its events until then.",
    ),
    "revenue_drop": Kind(
        targets=("checkout",),
        what="the discount is taken off twice: orders bring less money",
        spreads=False,
        also=("payment",),
        signals=("spans", "logs", "metrics"),
        breaks="Checkout takes a discount off every order that is not due. Nothing fails and nothing is slow.",
        traces="As ever, but for `shop.order.cents` of the orders.",
        metrics="`shop.revenue` per `shop.orders` falls (and payment's `shop.payment.amount`), the number of "
        "orders does not; no technical metric moves.",
        logs="`shop.order.placed` carries smaller sums.",
        strength="60 % x level is taken off each order, beside the discount that is due.",
        conclude="Technically all is well: only revenue per order tells. Look at what changed in prices and discounts.",
    ),
    "security_scan": Kind(
        targets=("load",),
        what="someone probes the gateway: known holes, SQL injection, stolen passwords",
        spreads=False,
        also=("gateway", "catalogue"),
        signals=("spans", "logs", "metrics"),
        breaks="Requests for `/.env`, `/wp-admin` and the like, SQL in the search field, many logins, from three "
        "addresses.",
        traces="Short root spans of the gateway that end in 404, 401 or 405; searches with quotes and keywords of SQL.",
        metrics="4xx of the gateway rise, 5xx do not; requests without a known route.",
        logs="Records of unknown paths and of refused logins; `client.address` has few values, "
        "`user_agent.original` tells the tool.",
        strength="20 probing requests x level per second.",
        conclude="Not visitors: no session, no journey, few sources, a dictionary of paths. Block the sources; "
        "check that nothing was answered with 200.",
    ),
}
