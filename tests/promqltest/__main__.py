"""Runs promqltest scripts against the server and reports every file and every evaluation that is not exact.

    python -m tests.promqltest                                all of the corpus, through the door
    python -m tests.promqltest --pinned --no-pushdown         each also pinned by `@`; everything in NumPy
    python -m tests.promqltest --remembered                   from samples in memory, a few at a time
    python -m tests.promqltest --http --every 4 a.test        a quarter, over HTTP
    python -m tests.promqltest --verbose a.test               with a line for each evaluation

Exit code 1 when an evaluation is not exact.
"""

import argparse
import asyncio
import sys
from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path

from tests.promqltest.door import DoorAsker
from tests.promqltest.engine import engine, remembering, served, writing
from tests.promqltest.http import HttpAsker
from tests.promqltest.pinned import pinned
from tests.promqltest.run import CORPUS, Asker, Report, Scene, load, name_of, run, scenes, unpinned

from gnomon_server.query.promql.context import Options
from gnomon_server.query.promql.door import PromqlDoor


def main() -> None:
    """Run what the arguments name."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("files", nargs="*", type=Path, help="scripts; all of the corpus if none")
    parser.add_argument("--every", type=int, default=1, help="ask each so manieth evaluation of a file")
    parser.add_argument("--pinned", action="store_true", help="ask instant queries at other times too, pinned by @")
    parser.add_argument("--no-pushdown", action="store_true", help="evaluate nothing in the engine")
    parser.add_argument("--remembered", action="store_true", help="ask again until all samples are in memory")
    parser.add_argument("--http", action="store_true", help="over the HTTP API of a server")
    parser.add_argument("--verbose", action="store_true", help="name the exact ones too")
    arguments = parser.parse_args()
    files = arguments.files or sorted(CORPUS.glob("split/*/*.test"))
    if not files:
        sys.exit(f"no scripts at {CORPUS} (GNOMON_CORPORA)")
    reports = asyncio.run(_all(files, arguments))
    sys.exit(any(report.faulty for report in reports))


async def _all(files: Iterable[Path], arguments: argparse.Namespace) -> list[Report]:
    played = {name_of(path): scenes(path) for path in files}
    every = [scene for file in played.values() for scene in file]
    if arguments.http:
        async with served(every) as server:
            return await _reported(played, HttpAsker(server.api), arguments)
    async with engine() as (store, tenants), writing(store, tenants) as intake:
        await load(every, intake)
        if arguments.remembered:
            async with remembering(store, tenants) as asker:
                return await _reported(played, asker, arguments)
        door = PromqlDoor(store, tenants)
        return await _reported(played, DoorAsker(door, Options(pushdown=not arguments.no_pushdown)), arguments)


async def _reported(played: Mapping[str, Sequence[Scene]], asker: Asker, arguments: argparse.Namespace) -> list[Report]:
    reports = []
    total = Report("total")
    pin = pinned if arguments.pinned else unpinned
    for name, file in played.items():
        report = await run(name, file, asker, every=arguments.every, pinned=pin)
        for verdict in report.verdicts if arguments.verbose else report.faulty:
            print(verdict)
        print(report, flush=True)
        reports.append(report)
        total.verdicts += report.verdicts
    print(total)
    return reports


if __name__ == "__main__":
    main()
