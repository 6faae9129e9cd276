"""`gnomon-run COMMAND ...`: any Python program, instrumented without a line of code.

Python imports `sitecustomize` before anything else; the folder `gnomon/onstart` has one that starts the SDK, and is put
at the front of PYTHONPATH. So the workers that a server spawns are instrumented too.
"""

import argparse
import os
import shutil
import sys
from pathlib import Path

import gnomon

ONSTART = Path(__file__).parent / "onstart"
NOT_FOUND = 127  # as shells say it


def main() -> None:
    """Replace this process by the command."""
    parser = argparse.ArgumentParser(
        prog="gnomon-run",
        description="Run a Python program with metrics, traces and logs, without changing it.",
        epilog="example: gnomon-run --service orders uvicorn app:app --workers 4    "
        "Settings: docs/sdk/settings.md, or any OTEL_* or GNOMON_* variable.",
    )
    parser.add_argument("--service", help="the service's name (OTEL_SERVICE_NAME)")
    parser.add_argument("--endpoint", help="where telemetry goes (default: http://localhost:4318)")
    parser.add_argument("--config", help="a file of settings: TOML, JSON or YAML")
    parser.add_argument("--version", action="version", version=f"gnomon {gnomon.__version__}")
    parser.add_argument("command", nargs=argparse.REMAINDER, help="the program and its arguments")
    asked = parser.parse_args()
    command = asked.command[1:] if asked.command[:1] == ["--"] else asked.command
    if not command:
        parser.error("which program? For example: gnomon-run uvicorn app:app")
    program = shutil.which(command[0])
    if program is None:
        print(f"gnomon-run: {command[0]}: command not found", file=sys.stderr)  # noqa: T201 - a command's own words
        sys.exit(NOT_FOUND)
    for variable, value in (
        ("GNOMON_SERVICE_NAME", asked.service),
        ("GNOMON_EXPORT_ENDPOINT", asked.endpoint),
        ("GNOMON_CONFIG", asked.config),
    ):
        if value:
            os.environ[variable] = value
    paths = [str(ONSTART), *filter(None, [os.environ.get("PYTHONPATH")])]
    os.environ["PYTHONPATH"] = os.pathsep.join(paths)
    os.execv(program, command)  # noqa: S606 - running it is what we are asked for
