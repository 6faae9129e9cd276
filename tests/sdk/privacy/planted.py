"""Made-up people: values of every kind, in ten ways of writing, and lines in which there is nobody."""

import base64
import json
import random
import string
from collections.abc import Callable, Iterator
from urllib.parse import quote

from gnomon.privacy import checksums

SHAPES = (
    "plain",
    "spaced",
    "dashed",
    "dotted",
    "parenthesised",
    "upper-case",
    "in JSON",
    "in a URL",
    "in a sentence",
    "key=value",
)

_NAMES = ("ana", "jane.doe", "mueller", "o_brien", "x.y-z", "li+news", "marie-claire", "info42", "t.w", "josefine")
_HOSTS = (
    "example.com",
    "mail.example.org",
    "gmail.com",
    "uni-bonn.de",
    "empresa.com.es",
    "corp.co.uk",
    "sub.a.fr",
    "x.io",
)


class Person:
    """Draws the values; each is a tuple of groups, as people write it."""

    def __init__(self, seed: int) -> None:
        self.draw = random.Random(seed)

    def digits(self, count: int) -> str:
        return "".join(self.draw.choices(string.digits, k=count))

    def email(self) -> tuple[str, ...]:
        return (f"{self.draw.choice(_NAMES)}{self.draw.choice(['', self.digits(2)])}@{self.draw.choice(_HOSTS)}",)

    def phone_with_country(self) -> tuple[str, ...]:
        form = self.draw.choice(
            ("+34 6## ### ###", "+1 2## 5## ####", "+44 20 7### ####", "+49 30 1######", "+33 6 ## ## ## ##")
        )
        return tuple("".join(self.digits(1) if sign == "#" else sign for sign in form).split())

    def phone_national(self) -> tuple[str, ...]:
        form = self.draw.choice(("6## ### ###", "212 5## ####", "06 ## ## ## ##", "415 3## ####", "0171 234####"))
        return tuple("".join(self.digits(1) if sign == "#" else sign for sign in form).split())

    def card(self) -> tuple[str, ...]:
        prefix, size = self.draw.choice((("4", 16), ("52", 16), ("2221", 16), ("37", 15), ("6011", 16)))
        body = prefix + self.digits(size - len(prefix) - 1)
        full = next(body + last for last in string.digits if checksums.luhn(body + last))
        return (full[:4], full[4:10], full[10:]) if size == 15 else tuple(full[at : at + 4] for at in range(0, 16, 4))

    def iban(self) -> tuple[str, ...]:
        country, bank, size = self.draw.choice(
            (("DE", "", 22), ("ES", "", 24), ("GB", "WEST", 22), ("FR", "", 27), ("NL", "ABNA", 18))
        )
        account = bank + self.digits(size - 4 - len(bank))
        turned = "".join(str(int(sign, 36)) for sign in account + country + "00")
        full = f"{country}{98 - int(turned) % 97:02d}{account}"
        return tuple(full[at : at + 4] for at in range(0, size, 4))

    def us_ssn(self) -> tuple[str, ...]:
        return (
            f"{self.draw.randint(1, 665):03d}",
            f"{self.draw.randint(1, 99):02d}",
            f"{self.draw.randint(1, 9999):04d}",
        )

    def es_dni(self) -> tuple[str, ...]:
        if self.draw.random() < 0.5:
            number = self.digits(8)
            return (number[:2], number[2:5], number[5:], "TRWAGMYFPDXBNJZSQVHLCKE"[int(number) % 23])
        number, first = self.digits(7), self.draw.randint(0, 2)
        return ("XYZ"[first], number, "TRWAGMYFPDXBNJZSQVHLCKE"[int(f"{first}{number}") % 23])

    def fr_nir(self) -> tuple[str, ...]:
        department = self.draw.choice(("75", "13", "2A", "69"))
        groups = (
            self.draw.choice("12"),
            self.digits(2),
            f"{self.draw.randint(1, 12):02d}",
            department,
            self.digits(3),
            self.digits(3),
        )
        key = 97 - int("".join(groups).replace("2A", "19")) % 97
        return (*groups, f"{key:02d}")

    def de_steuer_id(self) -> tuple[str, ...]:
        while True:
            number = self.digits(11)
            if checksums.steuer_id(number):
                return (number[:2], number[2:5], number[5:8], number[8:])

    def uk_nino(self) -> tuple[str, ...]:
        number = self.digits(6)
        return (
            self.draw.choice(("AB", "CE", "JK", "SR")),
            number[:2],
            number[2:4],
            number[4:],
            self.draw.choice("ABCD"),
        )

    def it_codice_fiscale(self) -> tuple[str, ...]:
        name = "".join(self.draw.choices("BCDFGLMNRST", k=6))
        birth = f"{self.digits(2)}{self.draw.choice('ABCDEHLMPRST')}{self.draw.randint(1, 71):02d}"
        body = f"{name}{birth}{self.draw.choice('ABCFHL')}{self.digits(3)}"
        full = next(body + last for last in string.ascii_uppercase if checksums.codice_fiscale(body + last))
        return (full[:3], full[3:6], full[6:11], full[11:])

    def token(self) -> tuple[str, ...]:
        alnum = "".join(self.draw.choices(string.ascii_letters + string.digits, k=40))
        part = base64.urlsafe_b64encode(json.dumps({"sub": alnum[:20]}).encode()).decode().rstrip("=")
        return (
            self.draw.choice(
                (
                    f"eyJhbGciOiJIUzI1NiJ9.{part}.{alnum[:27]}",
                    "AKIA" + "".join(self.draw.choices(string.ascii_uppercase + "234567", k=16)),
                    f"ghp_{alnum[:36]}",
                    f"xoxb-{self.digits(11)}-{alnum[:24]}",
                    f"sk_live_{alnum[:24]}",
                    f"Bearer {alnum}",
                )
            ),
        )

    def password(self) -> tuple[str, ...]:
        return (
            "".join(self.draw.choices(string.ascii_letters + string.digits + "!#$*-_", k=self.draw.randint(8, 16))),
        )


KINDS: dict[str, Callable[[Person], tuple[str, ...]]] = {
    "e-mail": Person.email,
    "phone, with country": Person.phone_with_country,
    "phone, national": Person.phone_national,
    "payment card": Person.card,
    "IBAN": Person.iban,
    "access token": Person.token,
    "password": Person.password,
    "US SSN": Person.us_ssn,
    "ES DNI, NIE": Person.es_dni,
    "FR NIR": Person.fr_nir,
    "DE Steuer-ID": Person.de_steuer_id,
    "UK NINO": Person.uk_nino,
    "IT codice fiscale": Person.it_codice_fiscale,
}

# Kinds that are one word: what is spaced or dashed is what surrounds them.
_ONE_WORD = {"e-mail", "access token", "password"}
_CASE_MATTERS = {"access token", "password"}


def written(kind: str, shape: str, groups: tuple[str, ...]) -> tuple[str, str] | None:
    """(the value as it is written, the line it stands in); None where a kind has no such shape."""
    solid = "".join(groups)
    name = "password" if kind == "password" else "note"
    if kind in _CASE_MATTERS and shape == "upper-case":
        return None
    separators = {"spaced": " ", "dashed": "-", "dotted": "."}
    if shape in separators and kind not in _ONE_WORD:
        value = separators[shape].join(groups)
        return value, f"took 12 ms for {value}"
    value = solid.upper() if shape == "upper-case" else solid
    if kind == "e-mail" and shape == "spaced":
        value = (
            solid.replace("@", " @ ").replace(".", " . ")
            if "." not in solid.partition("@")[0]
            else solid.replace("@", " @ ")
        )
    said = f"password: {value}" if kind == "password" else value
    lines = {
        "plain": said,
        "spaced": f"seen {said} again",
        "dashed": f"- {said} -",
        "dotted": f"...{said}..." if kind != "password" else f"{said}.",
        "parenthesised": f"found ({said}) twice"
        if kind != "phone, national"
        else f"found {_parenthesised(groups)} twice",
        "upper-case": f"FOUND {said} TWICE",
        "in JSON": json.dumps({"id": 7, name: value, "ok": True}),
        "in a URL": f"https://shop.example/find?a=1&{name}={quote(value, safe='')}&page=2",
        "in a sentence": f"We could not reach {said}, so we gave up.",
        "key=value": f"level=info {name}={value} took=3",
    }
    if kind == "phone, national" and shape == "parenthesised":
        value = _parenthesised(groups)
    return value, lines[shape]


def _parenthesised(groups: tuple[str, ...]) -> str:
    return f"({groups[0]}) " + "-".join(groups[1:])


def nobody(draw: random.Random) -> Iterator[str]:
    """Endless lines of services, with everything in them that looks like a number of somebody and is none."""

    def number(low: int, high: int) -> str:
        return str(draw.randrange(10 ** (low - 1), 10 ** draw.randint(low, high)))

    def hexa(size: int) -> str:
        return "".join(draw.choices("0123456789abcdef", k=size))

    while True:
        uuid = f"{hexa(8)}-{hexa(4)}-4{hexa(3)}-a{hexa(3)}-{hexa(12)}"
        clock = f"{draw.randint(0, 23):02d}:{draw.randint(0, 59):02d}:{draw.randint(0, 59):02d}"
        date = f"20{draw.randint(10, 30)}-{draw.randint(1, 12):02d}-{draw.randint(1, 28):02d}"
        version = f"{draw.randint(0, 30)}.{draw.randint(0, 99)}.{draw.randint(0, 999)}"
        yield from (
            f"Order {number(3, 9)} created for customer {number(1, 6)} in {draw.random() * 100:.3f} ms",
            f"order ORD-{date[:4]}-{number(6, 6)} paid, total {draw.random() * 900:.2f} EUR",
            f"GET /orders/{uuid} 200 {number(1, 6)} {draw.random():.6f}",
            f"trace_id={hexa(32)} span_id={hexa(16)} sampled=true",
            f"{date}T{clock}.{number(3, 9)}Z worker {number(1, 3)} started, pid {number(2, 6)}",
            f"{date} {clock},{number(3, 3)} INFO [main] com.example.Pool@{hexa(8)} size {number(1, 3)}",
            f"epoch {1_700_000_000 + draw.randrange(10**8)} and in ms {1_700_000_000_000 + draw.randrange(10**11)}",
            f"stamp {1_700_000_000_000_000_000 + draw.randrange(10**17)} ns",
            f"image registry.example/shop:{version}@sha256:{hexa(64)} pulled",
            f"commit {hexa(40)} by build {number(3, 7)}; python {version}",
            f"pod checkout-{hexa(10)}-x{hexa(4)} on 10.{draw.randint(0, 255)}.3.7:{number(4, 5)} ready",
            f"read {number(5, 12)} bytes at offset {number(5, 12)} of segment-{number(8, 8)}.log",
            f"blk_{number(18, 19)} replicated in {number(1, 5)} us",
            f"position {draw.uniform(-90, 90):.7f}, {draw.uniform(-180, 180):.7f}",
            f"cache hits {number(1, 7)} misses {number(1, 7)} ratio 0.{number(16, 16)}",
            f"Invalid token: expired, {number(1, 3)} tokens left, key not found: {number(1, 8)}",
            f"session started; max_tokens={number(2, 5)} partition={number(1, 3)} offset={number(3, 11)}",
            f"mac 00:1b:{hexa(2)}:{hexa(2)}:{hexa(2)}:{hexa(2)} on eth0, mtu {number(4, 4)}",
            f"systemd: getty@tty{number(1, 1)}.service, user@{number(4, 4)}.service started",
            f'  File "/srv/app/orders.py", line {number(1, 4)}, in create',
            f"latency p50={draw.random():.4f} p99={draw.random() * 10:.4f} n={number(3, 7)}",
            f'HTTP Range bytes={number(3, 7)}-{number(7, 9)}/{number(9, 10)} etag W/"{hexa(16)}"',
            f"SELECT id FROM orders WHERE id = {number(3, 9)} LIMIT 100 -- {number(1, 4)} rows",
            f"invoice INV/{date[:4]}/{number(5, 5)} due {date}, batch {number(10, 12)}",
            f"counters {number(1, 4)} {number(1, 4)} {number(1, 4)} {number(1, 4)}",
            f"npm install lodash@{version} left-pad@{version}",
        )
