"""The small example: three services on the stock SDKs of Python and Node, each in its own dialect of OTLP."""

import subprocess
import sys
from pathlib import Path

from tests.server import Server

TRIO = Path(__file__).resolve().parents[2] / "examples" / "trio"


def test_the_trio_arrives_whole(own_gnomon: Server, tmp_path: Path) -> None:
    """gRPC, http/protobuf with gzip, http/json with delta metrics: its own check finds every signal, counts exact."""
    send = ["run.py", "--otlp-grpc", own_gnomon.otlp_grpc, "--otlp-http", own_gnomon.otlp_http]
    send += ["--rate", "10", "--seconds", "10", "--logs", str(tmp_path)]
    subprocess.run([sys.executable, *send], cwd=TRIO, check=True, timeout=120)
    check = ["check.py", "--api", own_gnomon.api, "--report", str(tmp_path / "load.json")]
    subprocess.run([sys.executable, *check], cwd=TRIO, check=True, timeout=120)
