"""What `import gnomon` costs, and what the package offers."""

import json
import os
import shutil
import subprocess
import sys
from pathlib import Path

import pytest
from tests.sdk.lifecycle.processes import environment, ran

import gnomon

ROOT = Path(__file__).parents[3]
HEAVY = ("pydantic", "fastapi", "starlette", "grpc", "opentelemetry", "requests", "httpx", "google", "ssl", "asyncio")


def test_importing_loads_nothing() -> None:
    """Neither pydantic nor exporters nor frameworks: not even parts of our own, but for the version's line."""
    done = ran(f"""
        import sys
        before = set(sys.modules)
        import gnomon
        new = set(sys.modules) - before
        assert not [name for name in new if name.partition(".")[0] in {HEAVY}], new
        print(sorted(name for name in new if name.startswith("gnomon")))
        print(sorted(dir(gnomon)) == dir(gnomon), "instrument" in dir(gnomon))
    """)
    assert done.stdout.splitlines() == ["['gnomon', 'gnomon.version']", "True True"], done.stderr


def test_instrumenting_loads_no_more_than_is_there() -> None:
    """Started in a script: no framework, no gRPC, no OpenTelemetry SDK."""
    done = ran("""
        import sys, gnomon
        gnomon.instrument(service_name="s", **{"export.protocol": "none"})
        loaded = {name.partition(".")[0] for name in sys.modules}
        assert not loaded & {"fastapi", "starlette", "grpc", "requests", "httpx", "sqlalchemy", "redis"}, loaded
        assert "opentelemetry.sdk" not in sys.modules
        gnomon.shutdown()
    """)
    assert done.returncode == 0, done.stderr


def test_the_pytest_plugin_loads_nothing() -> None:
    """Every pytest run of a project that has us installed imports it."""
    done = ran("""
        import sys
        import gnomon.testing.plugin
        loaded = {name for name in sys.modules if name.startswith("gnomon")}
        assert loaded == {"gnomon", "gnomon.version", "gnomon.testing", "gnomon.testing.plugin"}, loaded
        from gnomon.testing import capture
    """)
    assert done.returncode == 0, done.stderr


@pytest.mark.parametrize("name", gnomon.__all__)
def test_every_public_name(name: str) -> None:
    """What is promised is there, and is found again in `dir`."""
    assert getattr(gnomon, name) is not None
    assert name in dir(gnomon)


def test_an_unknown_name() -> None:
    """As of any module."""
    with pytest.raises(AttributeError, match="'gnomon' has no attribute 'nothing'"):
        gnomon.nothing  # noqa: B018 - asking is the test


needs_registry = pytest.mark.skipif(
    os.environ.get("FROM_REGISTRY") != "1", reason="installs from the package registry: set FROM_REGISTRY=1"
)


@needs_registry
@pytest.mark.timeout(300)
def test_the_wheel_in_an_empty_environment(tmp_path: Path) -> None:
    """Built, installed with the lock's versions and nothing else: imports light, starts, and degrades."""
    venv, wheels = tmp_path / "venv", tmp_path / "wheels"
    pip = [str(venv / "bin" / "python"), "-m", "pip", "-q"]
    subprocess.run([sys.executable, "-m", "venv", venv], check=True)
    source = shutil.copytree(ROOT / "packages" / "gnomon", tmp_path / "source")
    subprocess.run([*pip, "wheel", "--no-deps", "-w", wheels, source], check=True)
    locked = [
        line.split(" ")[0] for line in (ROOT / "requirements.lock").read_text().splitlines() if line[:1].isalpha()
    ]
    (tmp_path / "constraints.txt").write_text("\n".join(locked))
    subprocess.run([*pip, "install", "-c", tmp_path / "constraints.txt", *wheels.glob("gnomon-*.whl")], check=True)
    code = f"""
import json, sys
import gnomon
light = [name for name in sys.modules if name.partition(".")[0] in {HEAVY}]
missing = [name for name in gnomon.__all__ if getattr(gnomon, name) is None]
gnomon.instrument(service_name="bare", **{{"export.protocol": "none"}})
with gnomon.span("s"):
    gnomon.get_logger("l").info("hello")
gnomon.shutdown()
print(json.dumps([light, missing, gnomon.__file__]))
"""
    done = subprocess.run(
        [venv / "bin" / "python", "-c", code], capture_output=True, text=True, check=True, cwd=tmp_path,
        env=environment(),
    )  # fmt: skip
    light, missing, where = json.loads(done.stdout.splitlines()[-1])
    assert (light, missing) == ([], [])
    assert where.startswith(str(venv))
    assert (venv / "bin" / "gnomon-run").exists()
