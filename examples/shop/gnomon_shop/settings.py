"""What every process of the shop knows: read once from the environment that the runner sets."""

import json
import os
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path

# In the order of starting: a service comes after those it calls.
SERVICES = ("catalogue", "cart", "recommendation", "payment", "notification", "checkout", "gateway")
VERSION = "1.4.0"
NEXT_VERSION = "1.5.0"  # what a bad deploy brings, beside the other
NEXT_CHECKOUT = "checkout-next"  # where it listens; its telemetry says `checkout`, as a deployed version's would


@dataclass(frozen=True)
class Settings:
    """One process's view; addresses are `host:port` by part name (`gateway`, ..., `outside`, `broker`)."""

    dir: Path
    service: str
    version: str = VERSION
    instance: str = ""
    seed: int = 7
    sdk: str = "gnomon"
    database_url: str = ""  # empty: SQLite in the run's directory
    redis_url: str = ""  # empty: cache in memory
    amqp_url: str = ""  # empty, and no Redis: the small broker
    rate: float = 2.0  # journeys per second at the day's mean
    seconds: float = 0.0  # length of the load; 0: until stopped
    day_minutes: float = 10.0  # how long a day of the load's shape takes
    start_ns: int = 0  # of the run
    place: str = ""  # the name it is reached by, where that is not the service's: `checkout-next`
    addresses: Mapping[str, str] = field(default_factory=dict)

    @property
    def here(self) -> tuple[str, int]:
        """Where this process listens."""
        return self.address(self.place or self.service)

    def address(self, part: str) -> tuple[str, int]:
        """Where a part listens."""
        host, port = self.addresses[part].rsplit(":", 1)
        return host, int(port)

    def url(self, part: str) -> str:
        """The same, for those that speak HTTP."""
        return f"http://{self.addresses[part]}"

    def environment(self) -> dict[str, str]:
        """As variables for a child process; `from_environment` reads them back."""
        return {
            "SHOP_DIR": str(self.dir),
            "SHOP_SERVICE": self.service,
            "SHOP_PLACE": self.place,
            "SHOP_VERSION": self.version,
            "SHOP_SEED": str(self.seed),
            "SHOP_SDK": self.sdk,
            "SHOP_DATABASE_URL": self.database_url,
            "SHOP_REDIS_URL": self.redis_url,
            "SHOP_AMQP_URL": self.amqp_url,
            "SHOP_RATE": str(self.rate),
            "SHOP_SECONDS": str(self.seconds),
            "SHOP_DAY_MINUTES": str(self.day_minutes),
            "SHOP_START_NS": str(self.start_ns),
            "SHOP_ADDRESSES": json.dumps(dict(self.addresses)),
        }


def from_environment() -> Settings:
    """The settings of this process; KeyError when the runner did not start it."""
    env = os.environ
    service = env["SHOP_SERVICE"]
    return Settings(
        dir=Path(env["SHOP_DIR"]),
        service=service,
        version=env.get("SHOP_VERSION", VERSION),
        place=env.get("SHOP_PLACE", ""),
        instance=f"{service}-{os.getpid()}",
        seed=int(env.get("SHOP_SEED", "7")),
        sdk=env.get("SHOP_SDK", "gnomon"),
        database_url=env.get("SHOP_DATABASE_URL", ""),
        redis_url=env.get("SHOP_REDIS_URL", ""),
        amqp_url=env.get("SHOP_AMQP_URL", ""),
        rate=float(env.get("SHOP_RATE", "2")),
        seconds=float(env.get("SHOP_SECONDS", "0")),
        day_minutes=float(env.get("SHOP_DAY_MINUTES", "10")),
        start_ns=int(env.get("SHOP_START_NS", "0")),
        addresses=json.loads(env.get("SHOP_ADDRESSES", "{}")),
    )
