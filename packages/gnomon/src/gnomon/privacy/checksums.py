"""Check digits: what tells an account, a card or a person's number from any other number.

Each function takes the written text without its separators, and answers whether it can be such a number.
"""

_DOUBLED = "0246813579"
_DNI = "TRWAGMYFPDXBNJZSQVHLCKE"
_ODD_VALUES = (1, 0, 5, 7, 9, 13, 15, 17, 19, 21, 2, 4, 18, 20, 11, 3, 6, 8, 12, 14, 16, 10, 22, 25, 24, 23)
# Letters that stand for digits where two Italians would share a code.
_OMOCODIA = str.maketrans("LMNPQRSTUV", "0123456789")

# ISO 13616: how long an IBAN is, by country.
_IBANS = """
AD24 AE23 AL28 AT20 AZ28 BA20 BE16 BG22 BH22 BR29 BY28 CH21 CR22 CY28 CZ24 DE22 DK18 DO28 EE20 EG29 ES24 FI18 FO18 FR27
GB22 GE22 GI23 GL18 GR27 GT28 HR21 HU28 IE22 IL23 IQ23 IS26 IT27 JO30 KW30 KZ20 LB28 LC32 LI21 LT20 LU20 LV21 MC27 MD24
ME22 MK19 MR27 MT31 MU30 NL18 NO15 PK24 PL28 PS29 PT25 QA29 RO24 RS22 SA24 SC31 SE24 SI19 SK24 SM27 ST25 SV28 TL23 TN24
TR26 UA29 VA22 VG24 XK20
"""
IBAN_LENGTHS = {pair[:2]: int(pair[2:]) for pair in _IBANS.split()}


def luhn(digits: str) -> bool:
    """The check digit of payment cards."""
    total = sum(map(int, digits[-1::-2])) + sum(int(_DOUBLED[int(digit)]) for digit in digits[-2::-2])
    return total % 10 == 0


def card(digits: str) -> bool:
    """A card of a scheme that exists, by its first digits and its length, with a right check digit."""
    first, two, four, size = digits[0], int(digits[:2]), int(digits[:4]), len(digits)
    scheme = (
        (first == "4" and size in {13, 16})
        or (size == 16 and (51 <= two <= 55 or 2221 <= four <= 2720 or two == 35))  # noqa: PLR2004 - the issuers' ranges
        or (size == 15 and two in {34, 37})  # noqa: PLR2004 - likewise
        or (size == 14 and (300 <= four // 10 <= 305 or two in {36, 38}))  # noqa: PLR2004 - likewise
        or (size == 16 and (four == 6011 or 644 <= four // 10 <= 659))  # noqa: PLR2004 - likewise
        or (size >= 16 and two == 62)  # noqa: PLR2004 - likewise
        or four in {5018, 5020, 5038, 6304, 6759, 6761, 6762, 6763}
    )
    return scheme and luhn(digits)


def iban(written: str) -> bool:
    """ISO 7064, modulus 97-10."""
    turned = written[4:] + written[:4]
    return int("".join(str(int(letter, 36)) for letter in turned)) % 97 == 1


def ssn(digits: str) -> bool:
    """A number that the United States issue: no check digit, but three ranges that are never used."""
    return digits[:3] not in {"000", "666"} and digits[0] != "9" and digits[3:5] != "00" and digits[5:] != "0000"


def dni(written: str) -> bool:
    """Spanish DNI (8 digits and a letter) or NIE (X, Y or Z, 7 digits and a letter)."""
    digits = written[:-1].translate(str.maketrans("XYZ", "012"))
    return _DNI[int(digits) % 23] == written[-1]


def nir(written: str) -> bool:
    """French NIR: 13 digits and their key; Corsica writes 2A and 2B for a department."""
    body = written[:13].replace("2A", "19").replace("2B", "18")
    return body.isdigit() and 97 - int(body) % 97 == int(written[13:])


def steuer_id(digits: str) -> bool:
    """German tax id: of the first ten digits one stands twice or three times; ISO 7064, modulus 11-10."""
    often = sorted((digits[:10].count(digit) for digit in set(digits[:10])), reverse=True)
    if digits[0] == "0" or often[0] not in {2, 3} or often[1] != 1:
        return False
    product = 10
    for digit in digits[:10]:
        product = ((int(digit) + product) % 10 or 10) * 2 % 11
    return (11 - product) % 10 == int(digits[10])


def nino(written: str) -> bool:
    """A British national insurance number: no check digit, but prefixes that are never used."""
    return (
        written[0] not in "DFIQUV"
        and written[1] not in "DFIOQUV"
        and written[:2] not in {"BG", "GB", "NK", "KN", "TN", "NT", "ZZ"}
    )


def codice_fiscale(written: str) -> bool:
    """The Italian code of 16 letters and digits, whose last letter checks the others."""
    digits = "".join(written[at] for at in (6, 7, 9, 10, 12, 13, 14)).translate(_OMOCODIA)
    if not digits.isdigit():
        return False
    odd = sum(_ODD_VALUES[int(letter, 36) - (10 if letter.isalpha() else 0)] for letter in written[0:15:2])
    even = sum(int(letter, 36) - (10 if letter.isalpha() else 0) for letter in written[1:15:2])
    return chr(65 + (odd + even) % 26) == written[15]
