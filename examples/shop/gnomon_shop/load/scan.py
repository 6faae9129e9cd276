"""Someone who probes the gateway: a dictionary of paths, SQL in the search, stolen passwords; from few sources."""

import random
from dataclasses import dataclass, field
from urllib.parse import quote

PROBES_PER_S = 20.0  # at full strength
SOURCES = ("203.0.113.7", "203.0.113.66", "198.51.100.23")  # addresses set aside for documentation (RFC 5737)
AGENTS = ("sqlmap/1.8.4#stable (https://sqlmap.org)", "Mozilla/5.00 (Nikto/2.5.0)", "python-requests/2.31.0")
PATHS = (
    "/.env", "/.git/config", "/.aws/credentials", "/wp-admin/", "/wp-login.php", "/xmlrpc.php", "/phpmyadmin/index.php",
    "/admin/config.php", "/actuator/env", "/server-status", "/backup.sql", "/config.json", "/cgi-bin/test.cgi",
    "/api/v1/../../etc/passwd", "/vendor/phpunit/phpunit/src/Util/PHP/eval-stdin.php", "/solr/admin/info/system",
)  # fmt: skip
INJECTIONS = (
    "' OR '1'='1",
    "1' UNION SELECT username, password FROM users--",
    "'; DROP TABLE products;--",
    "1 AND SLEEP(5)",
    "<script>alert(1)</script>",
)
LOGINS = ("/api/login", "/api/login", "/api/login", "/login", "/admin/login")
PASSWORDS = ("123456", "password", "qwerty", "letmein", "Summer2024!")


@dataclass(frozen=True, slots=True)
class Probe:
    """One request of the scan."""

    method: str
    path: str
    headers: dict[str, str]
    body: dict[str, str] = field(default_factory=dict)


def probe(seed: int, number: int) -> Probe:
    """The probe of that number."""
    rng = random.Random(f"scan {seed} {number}")
    headers = {"user-agent": rng.choice(AGENTS), "x-forwarded-for": rng.choice(SOURCES)}
    kind = rng.random()
    if kind < 0.55:
        return Probe("GET", rng.choice(PATHS), headers)
    if kind < 0.8:
        return Probe("GET", f"/api/products?q={quote(rng.choice(INJECTIONS))}", headers)
    body = {"user": f"user{rng.randint(1, 5000)}@example.com", "password": rng.choice(PASSWORDS)}
    return Probe("POST", rng.choice(LOGINS), headers, body)
