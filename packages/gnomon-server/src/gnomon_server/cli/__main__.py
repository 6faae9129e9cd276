"""`python -m gnomon_server.cli` is the command `gnomon`."""

from gnomon_server.cli import main

main()
