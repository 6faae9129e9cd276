"""What a browser would have measured: web vitals drawn from the answer that the page really waited for.

Ratings are those of web.dev/articles/vitals (good up to the first limit, poor above the second).
"""

import random
from typing import Any

from gnomon_shop.load.users import User

# Limits in milliseconds; of CLS without a unit.
LIMITS = {"TTFB": (800, 1800), "FCP": (1800, 3000), "LCP": (2500, 4000), "INP": (200, 500), "CLS": (0.1, 0.25)}


def measured(rng: random.Random, user: User, answered_s: float) -> dict[str, float]:
    """The vitals of a page whose document took the server that long.

    First byte = network + answer; then the device renders: first paint, largest paint. A press of a key waits for the
    device alone. Shifts of the layout come with late images, so that they grow a little with the time to the largest.
    """
    first_byte = user.network_ms + answered_s * 1000
    first_paint = first_byte + 180 * user.render * rng.lognormvariate(0, 0.3)
    largest_paint = first_paint + 320 * user.render * rng.lognormvariate(0, 0.4)
    return {
        "TTFB": round(first_byte, 1),
        "FCP": round(first_paint, 1),
        "LCP": round(largest_paint, 1),
        "INP": round(45 * user.render * rng.lognormvariate(0, 0.5), 1),
        "CLS": round(0.03 * rng.lognormvariate(0, 0.8) * (1 + largest_paint / 4000), 4),
    }


def rating(name: str, value: float) -> str:
    """`good`, `needs-improvement` or `poor`."""
    good, poor = LIMITS[name]
    return "good" if value <= good else "needs-improvement" if value <= poor else "poor"


def beacon(rng: random.Random, user: User, page: str, answered_s: float) -> dict[str, Any]:
    """The body of `POST /vitals`: one entry per vital, as the library web-vitals names them."""
    values = measured(rng, user, answered_s)
    return {
        "page": page,
        "device": user.device,
        "metrics": [{"name": name, "value": value, "rating": rating(name, value)} for name, value in values.items()],
    }
