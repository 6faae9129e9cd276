"""docs/sdk/settings.md is true: every setting, every standard variable, and the file that it shows."""

import re
from pathlib import Path

from gnomon.config import otel
from gnomon.config.settings import ObservabilityConfig, Part, keys
from gnomon.config.sources import load

PAGE = (Path(__file__).resolve().parents[3] / "docs" / "sdk" / "settings.md").read_text("utf-8")
DEFAULTS = {key: value for key, value, _ in ObservabilityConfig().explain()}
OF_A_SIGNAL = "export.traces."  # stands for those of metrics and logs, which are the same


def described(model: type[Part] = ObservabilityConfig, prefix: str = "") -> dict[str, str]:
    """Each key's description."""
    found: dict[str, str] = {}
    for name, info in model.model_fields.items():
        if isinstance(info.default, Part):
            found |= described(type(info.default), f"{prefix}{name}.")
        else:
            found[prefix + name] = info.description or ""
    return found


def row(key: str, meaning: str) -> str:
    """A setting's line in the page."""
    default = f"`{DEFAULTS[key]}`" if DEFAULTS[key] else ""
    live = "live" if keys()[key] else ""
    return f"| `{key.replace(OF_A_SIGNAL, 'export.SIGNAL.')}` | {default} | {live} | {meaning} |"


def test_every_setting() -> None:
    """The page has each with its default, whether it may change while the service runs, and what it means."""
    same = tuple(f"export.{signal}." for signal in ("metrics", "logs"))
    expected = [row(key, meaning) for key, meaning in described().items() if not key.startswith(same)]
    assert re.findall(r"^\| `[a-z][a-zA-Z_.]*` \|.*\|$", PAGE, re.MULTILINE) == expected
    assert all(meaning.endswith(".") and "|" not in meaning for meaning in described().values())


def test_every_standard_variable() -> None:
    """The page names each that is read, and the keys that it sets exist."""
    rows = re.findall(r"^\| `(OTEL_[A-Z_]+)` \| (.*?) \|", PAGE, re.MULTILINE)
    named = {
        name.replace("SIGNAL_", signal)
        for name, _ in rows
        for signal in (("", "TRACES_", "METRICS_", "LOGS_") if "SIGNAL" in name else ("",))
    }
    assert named == set(otel.VARIABLES)
    mentioned = {key.replace("SIGNAL.", "traces.") for _, text in rows for key in re.findall(r"`([a-z_.A-Z]+)`", text)}
    assert mentioned <= set(keys())


def test_the_file(tmp_path: Path) -> None:
    """The file that the page shows is read without a remark."""
    (block,) = re.findall(r"```toml\n(.*?)```", PAGE, re.DOTALL)
    path = tmp_path / "gnomon.toml"
    path.write_text(block)
    config = load(environment={}, file=path)
    assert config.service.name == "shop"
    assert config.remarks == ()
