"""Media types of headers (RFC 9110, 8.3.1)."""


def media_type(text: str) -> tuple[str, dict[str, str]]:
    """One of Content-Type or Accept, in lower case, and its parameters, without quotes around their values."""
    named, *parameters = (part.strip() for part in text.split(";"))
    pairs = (parameter.partition("=")[::2] for parameter in parameters)
    return named.lower(), {name: value.strip('"') for name, value in pairs}
