"""Values and lines by a second writer, who drew them before looking at what the patterns accept.

Where `planted.py` has thirteen kinds in ten shapes, this has other countries, other issuers and the formats of other
programs. The first figures of `docs/sdk/privacy.md` were taken before any pattern was changed for these.
"""

# ruff: noqa: E501 - lines of logs are as long as they are

import base64
import json
import random
import string
from collections.abc import Callable, Iterator

EACH = 40
_ALNUM = string.ascii_letters + string.digits

Drawn = tuple[str, str]
"""(the value as it is written, the line it stands in)."""

# Where values stand that need no name beside them.
_PLACES = (
    "{}",
    "user {} not found",
    "[2026-03-14 09:15:00,123] WARN c.e.app.Mailer - bounce for {}",
    '{{"level":"error","data":{{"to":"{}","n":3}}}}',
    "row=(17, '{}', None)",
    "17;{};DE;2026-03-14",
    "ValueError: invalid value '{}' for field contact",
    "<contact>{}</contact>",
    "|{}|ok|",
    "contact={}, retries=3",
    "- name: x\n  value: {}\n",
    "customer\t{}\t12.50",
    "[{}]",
    "Caused by: java.lang.IllegalArgumentException: {}",
)


class Writer:
    """Draws values and lines, seeded."""

    def __init__(self, seed: int) -> None:
        self.draw = random.Random(seed)

    def form(self, *forms: str) -> str:
        """One of the forms; `#` is a digit, `%` one from 2 to 9."""
        signs = {"#": string.digits, "%": "23456789"}
        return "".join(self.draw.choice(signs[sign]) if sign in signs else sign for sign in self.draw.choice(forms))

    def signs(self, count: int, of: str = _ALNUM) -> str:
        return "".join(self.draw.choices(of, k=count))

    def placed(self, value: str) -> Drawn:
        return value, self.draw.choice(_PLACES).format(value)

    def email(self) -> Drawn:
        name = self.draw.choice(
            ("Grace.Hopper", "p.o'neil", "søren", "a", "first_last-2", "no-reply+tag=7", "ADA", "j.r.r.tolkien", "007")
        )
        host = self.draw.choice(
            ("mail.co.jp", "studio.museum", "x-y.com.br", "UPPER.COM", "firma.gmbh", "a.b.c.d.org", "xn--bcher-kva.ch")
        )
        value = f"{name}@{host}"
        return value, self.draw.choice(
            (*_PLACES, "postfix/smtp[812]: to=<{}>, relay=mx", "RCPT TO:<{}>", '"Doe, J" <{}>', "mailto:{}?cc=")
        ).format(value)

    def phone_with_country(self) -> Drawn:
        return self.placed(
            self.form(
                "+39 3## ### ####",
                "+81-90-####-####",
                "+91 9#### #####",
                "+55 (11) 9####-####",
                "+351 9## ### ###",
                "+61 4## ### ###",
                "+1.%##.%##.####",
                "+44 (0)20 79## ####",
                "+49-(0)30/1######",
                "0033 6 ## ## ## ##",
                "0049 171 #######",
                "+4670#######",
                "+1 (%##) %##-####",
                "+7 9## ###-##-##",
            )
        )

    def phone_national(self) -> Drawn:
        return self.placed(
            self.form(
                "9% ### ## ##",
                "6## ## ## ##",
                "01.##.##.##.##",
                "07 ## ## ## ##",
                "020 79## ####",
                "07700 9#####",
                "0161 496 0###",
                "030/1#######",
                "0176-########",
                "(030) 1######",
                "%##.%##.####",
                "(%##)%##-####",
                "1-800-%##-####",
            )
        )

    def phone_named(self) -> Drawn:
        value = self.form("6########", "%##%##%###", "07700######", "0301######")
        return value, self.draw.choice(
            (
                "phone={}",
                '"mobile": "{}"',
                "Tel.: {}",
                "phoneNumber={}",
                "'phone_number': '{}'",
                "telephone {}",
                "cell# {}",
            )
        ).format(value)

    def card(self) -> Drawn:
        prefix, size = self.draw.choice(
            (
                ("35", 16),
                ("65", 16),
                ("2720", 16),
                ("62", 16),
                ("34", 15),
                ("36", 14),
                ("5018", 16),
                ("4", 16),
                ("55", 16),
            )
        )
        body = prefix + self.signs(size - len(prefix) - 1, string.digits)
        total = sum(sum(divmod(int(sign) * (2 - at % 2), 10)) for at, sign in enumerate(reversed(body)))
        full = body + str(-total % 10)
        cuts = {16: (4, 8, 12), 15: (4, 10), 14: (4, 10)}[size]
        parts = [full[a:b] for a, b in zip((0, *cuts), (*cuts, size), strict=True)]
        value = self.draw.choice(("", " ", "-")).join(parts)
        return value, self.draw.choice((*_PLACES, "pan={} exp=12/29", "card#{}", "PAN:{}", "number[{}]=ok")).format(
            value
        )

    def iban(self) -> Drawn:
        country, form = self.draw.choice(
            (
                ("IT", "X##########AAAAAAAAAAAA"),
                ("PT", "#####################"),
                ("BE", "############"),
                ("CH", "#####AAAAAAAAAAAA"),
                ("AT", "################"),
                ("PL", "########################"),
                ("NO", "###########"),
                ("MT", "MALT#####AAAAAAAAAAAAAAAAAA"),
                ("IE", "AIBK##############"),
                ("SE", "####################"),
            )
        )
        body = "".join(
            self.draw.choice({"#": string.digits, "A": string.digits, "X": "XQ"}.get(sign, sign))
            if sign in "#X" or (sign == "A" and country not in {"IE", "MT"})
            else sign
            for sign in form
        )
        if country == "MT":
            body = "MALT" + self.signs(23, string.digits)
        check = 98 - int("".join(str(int(sign, 36)) for sign in f"{body}{country}00")) % 97
        full = f"{country}{check:02d}{body}"
        value = self.draw.choice((full, " ".join(full[at : at + 4] for at in range(0, len(full), 4)), full.lower()))
        return value, self.draw.choice((*_PLACES, "IBAN:{}", "iban_{}_x")).format(value)

    def token(self) -> Drawn:
        jwt = base64.urlsafe_b64encode(json.dumps({"sub": self.signs(9), "exp": 17}).encode()).decode().rstrip("=")
        value = self.draw.choice(
            (
                f"glpat-{self.signs(20)}",
                f"npm_{self.signs(36)}",
                f"pypi-AgEIcHlwaS5vcmc{self.signs(60)}",
                f"hf_{self.signs(34)}",
                f"SG.{self.signs(22)}.{self.signs(43)}",
                f"AIza{self.signs(35)}",
                f"github_pat_{self.signs(22)}_{self.signs(59)}",
                f"gho_{self.signs(36)}",
                f"xoxp-{self.signs(12, string.digits)}-{self.signs(32)}",
                f"sk-ant-api03-{self.signs(60)}",
                f"rk_live_{self.signs(24)}",
                f"ASIA{self.signs(16, string.ascii_uppercase)}",
                f"eyJ0eXAiOiJKV1QiLCJhbGciOiJSUzI1NiJ9.{jwt}.{self.signs(86)}",
            )
        )
        return value, self.draw.choice(
            (
                *_PLACES,
                "access_token={}&x=1",
                "git clone https://oauth2:{}@host/x",
                "export T={}",
                "GET /cb#id_token={}",
            )
        ).format(value)

    def secret(self) -> Drawn:
        value = self.signs(self.draw.randint(9, 18), _ALNUM + "!#*_")
        return value, self.draw.choice(
            (
                'PASSWORD="{}"',
                "db.password = {}",
                "redis://:{}@cache:6379/0",
                "mongodb+srv://svc:{}@cluster0.example.net/db",
                '"clientSecret":"{}"',
                '{{"accessToken": "{}"}}',
                "password: '{}'",
                "PGPASSWORD={} psql -h db",
                "x-api-key: {}",
                "X-Auth-Token: {}",
                "AccountName=shop;AccountKey={};Suffix=x",
                "<password>{}</password>",
                "mysql --password {} -u root",
                "mysql --password={} -u root",
                '{{:password=>"{}", :id=>3}}',
                "kwargs={{'user': 'a', 'passwd': '{}'}}",
                "Proxy-Authorization: Basic {}",
                "set-cookie: sid={}; Path=/; HttpOnly",
                "login(user='ann', password='{}')",
                "jdbc:postgresql://db/x?user=a&password={}",
                "refresh_token={}",
                "passphrase {}",
                "secret_key_base: {}",
            )
        ).format(value)

    def us_ssn(self) -> Drawn:
        value = f"{self.draw.randint(1, 665):03d}-{self.draw.randint(1, 99):02d}-{self.draw.randint(1, 9999):04d}"
        if self.draw.random() < 0.5:
            return self.placed(value)
        value = value.replace("-", "")
        return value, self.draw.choice(("SSN: {}", '"ssn":"{}"', "ssn={}", "social security number {}")).format(value)

    def es_dni(self) -> Drawn:
        number = self.signs(8, string.digits)
        letter = "TRWAGMYFPDXBNJZSQVHLCKE"[int(number) % 23]
        value = self.draw.choice(
            (number + letter, f"{number}-{letter}", f"{number}{letter.lower()}", f"{number} {letter}")
        )
        return self.placed(value)

    def fr_nir(self) -> Drawn:
        body = f"{self.draw.choice('12')}{self.signs(2, string.digits)}{self.draw.randint(1, 12):02d}97{self.signs(6, string.digits)}"
        key = f"{97 - int(body) % 97:02d}"
        return self.placed(
            self.draw.choice(
                (
                    f"{body}{key}",
                    f"{body} {key}",
                    f"{body[0]} {body[1:3]} {body[3:5]} {body[5:7]} {body[7:10]} {body[10:]} {key}",
                )
            )
        )

    def de_steuer_id(self) -> Drawn:
        digits = self.draw.sample(string.digits, 10)
        digits[self.draw.randrange(1, 10)] = digits[0]
        if digits[0] == "0":
            return self.de_steuer_id()
        product = 10
        for sign in digits:
            product = ((int(sign) + product) % 10 or 10) * 2 % 11
        check = (11 - product) % 10
        full = "".join(digits) + str(check)
        return self.placed(self.draw.choice((full, f"{full[:2]} {full[2:5]} {full[5:8]} {full[8:]}")))

    def uk_nino(self) -> Drawn:
        value = f"{self.draw.choice(('PX', 'WA', 'HY', 'TM'))}{self.signs(6, string.digits)}{self.draw.choice('ABCD')}"
        return self.placed(self.draw.choice((value, value.lower(), f"{value[:2]} {value[2:8]} {value[8]}")))

    def it_codice_fiscale(self) -> Drawn:
        odd = dict(
            zip(
                string.digits + string.ascii_uppercase,
                (
                    1,
                    0,
                    5,
                    7,
                    9,
                    13,
                    15,
                    17,
                    19,
                    21,
                    1,
                    0,
                    5,
                    7,
                    9,
                    13,
                    15,
                    17,
                    19,
                    21,
                    2,
                    4,
                    18,
                    20,
                    11,
                    3,
                    6,
                    8,
                    12,
                    14,
                    16,
                    10,
                    22,
                    25,
                    24,
                    23,
                ),
                strict=True,
            )
        )
        body = f"{self.signs(6, 'BCDGLMPRSTV')}{self.signs(2, string.digits)}{self.draw.choice('ABCDEHLMPRST')}{self.draw.randint(1, 31):02d}{self.draw.choice('FGHZ')}{self.signs(3, string.digits)}"
        total = sum(odd[sign] if at % 2 == 0 else int(sign, 36) - 10 * sign.isalpha() for at, sign in enumerate(body))
        value = body + chr(65 + total % 26)
        return self.placed(self.draw.choice((value, value.lower())))


KINDS: dict[str, Callable[[Writer], Drawn]] = {
    "e-mail": Writer.email,
    "phone, with country": Writer.phone_with_country,
    "phone, national, grouped": Writer.phone_national,
    "phone, solid, named": Writer.phone_named,
    "payment card": Writer.card,
    "IBAN": Writer.iban,
    "access token": Writer.token,
    "password, key": Writer.secret,
    "US SSN, dashed or named": Writer.us_ssn,
    "ES DNI": Writer.es_dni,
    "FR NIR": Writer.fr_nir,
    "DE Steuer-ID": Writer.de_steuer_id,
    "UK NINO": Writer.uk_nino,
    "IT codice fiscale": Writer.it_codice_fiscale,
}


def nobody(seed: int) -> Iterator[str]:
    """Endless lines of other programs, in which there is nobody and nothing secret."""
    one = Writer(seed)
    form, signs = one.form, one.signs
    hexa = "0123456789abcdef"
    while True:
        yield from (
            f'{form("10.%.#.7#", "172.1%.3.2#")} - - [14/Mar/2026:09:15:{form("%#")} +0000] "GET /v2/items/{form("####", "#######")} HTTP/1.1" 200 {form("####", "#####")} "-" "curl/8.{form("#")}.1"',
            f"arn:aws:iam::{form('############')}:role/shop-{signs(6)}",
            f"isbn 978-{form('#-###-#####-#')} ean {form('4############')}",
            f"parcel 1Z{signs(16, string.ascii_uppercase + string.digits)} scanned",
            f"snowflake {form('1##################')} shard {form('##')}",
            f"offset {form('########', '##########')} lag {form('###')} partition {form('#')}",
            f"ulid 01H{signs(23, string.ascii_uppercase + string.digits)}",
            f"took {form('########', '#########', '######')} ns",
            f"total EUR {form('#.###.###,##', '###,###.##')} for {form('###')} items",
            f"sha256-{base64.b64encode(signs(32).encode()).decode()}",
            f"GET /orders/{form('%######', '%########')}/items/{form('######')} -> 200",
            f"pid {form('#####')} rss {form('#########')} vsz {form('###########')}",
            f"at com.example.shop.Pay.run(Pay.java:{form('###')}) ~[shop-{form('#.#.#')}.jar:?]",
            f"kernel: [{form('#####.######')}] eth0: link up {form('####')} Mbps",
            f"build {form('20260314.%#')} of 20260314T0915{form('##')}Z",
            f"lat={form('4#.######')} lon={form('-3.######')}",
            f"GC pause {form('##.###')}ms heap {form('####')}M->{form('###')}M({form('####')}M)",
            f"seq scan on orders (cost=0.00..{form('#####.##')} rows={form('######')} width={form('##')})",
            f"x-request-id: {signs(32, hexa)}",
            f"span {signs(16, hexa)} parent {signs(16, hexa)}",
            f"Token bucket: {form('##')}/s, burst {form('###')}",
            f"password reset requested for account {form('#####')}",
            f"tests passed: {form('###')} failed: {form('#')}",
            f"signature: def f(x, y={form('#')})",
            f"spinning: {form('##')} workers, mapping: done",
            f"tokens: prompt={form('####')} completion={form('###')}",
            f"key: {form('#####')} value: {form('####')} ttl: {form('###')}",
            f"author=build-bot rev={form('######')}",
            f"serial {form('%##-%###-##')} firmware v{form('#.##.###')}",
            f"invoice {form('2026-######')} of order {form('%#########')}",
            f"1. {form('###')} 2. {form('###')} 3. {form('####')}",
            f"matrix {form('###')} {form('##')} {form('###')} {form('##')} {form('###')}",
            f"{form('##########')} {form('#####')} {form('########')} cpu stats",
            f"timeout after {form('#####')}ms (deadline {form('17########')}.{form('######')})",
            f"ref T{form('######')}B batch AB{form('####')}",
            f'etag "{signs(32, hexa)}-{form("##")}" size {form("##########")}',
            f"imported module foo_{form('###')}@{form('#.#')} from cache",
            f"thread-{form('##')}: acquired lock 0x{signs(12, hexa)}",
            f"range {form('###')}-{form('####')}-{form('####')} of {form('#####')}",
            f"https://shop.example/p/{form('########')}?v={form('##########')}",
        )
