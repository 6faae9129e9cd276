"""Tenant names: the value of `X-Scope-OrgID`, as Mimir, Loki and Tempo read it."""

import re

from gnomon_server.errors import InvalidInput

DEFAULT_TENANT = "default"
OWN_TENANT = "_gnomon"
"""Where the server's own telemetry goes; reading or writing it takes the scope `admin`."""

# Mimir's rule (Grafana Mimir documentation, "Tenant IDs"): these characters, at most 150 of them, not "." or "..".
_NAME = re.compile(r"[A-Za-z0-9!\-_.*'()]{1,150}")


def check_tenant(name: str, where: str = "header X-Scope-OrgID") -> str:
    """`name` itself, when it is a tenant's name.

    Raises:
        InvalidInput: `tenant_invalid`. Several tenants at once (`a|b`) are not supported and end here too.
    """
    if _NAME.fullmatch(name) is None or name in {".", ".."}:
        raise InvalidInput(
            "tenant_invalid",
            f"{name[:160]!r} is not a tenant's name: 1 to 150 letters, digits and any of ! - _ . * ' ( )",
            where,
        )
    return name
