"""The shop's command: `python -m gnomon_shop VERB`; each verb is a module of its own, imported when it is asked for."""

import argparse
import importlib
import sys
from collections.abc import Sequence

# Verb: the module with `configure(parser)` and `run(options)`, and what it does.
VERBS = {
    "run": ("gnomon_shop.run", "start the shop and the load"),
    "faults": ("gnomon_shop.faults.command", "the catalogue of faults; `faults add` plants one in a running shop"),
    "history": ("gnomon_shop.history.command", "fill a server with days of plausible telemetry"),
    "truth": ("gnomon_shop.truth.command", "graph, critical paths, revenue, funnel, objectives: from the ledger alone"),
    "check": ("gnomon_shop.check", "compare the server's answers with the truth"),
}


def main(arguments: Sequence[str] | None = None) -> int:
    """Take the verb, leave the rest to its module."""
    given = list(sys.argv[1:] if arguments is None else arguments)
    asked = next((word for word in given if word in VERBS), "")
    parser = argparse.ArgumentParser(prog="gnomon_shop", description=__doc__)
    verbs = parser.add_subparsers(dest="verb", required=True, metavar="VERB")
    for verb, (module, told) in VERBS.items():
        one = verbs.add_parser(verb, help=told)
        if verb == asked:  # no other verb's module is imported for its arguments
            chosen = importlib.import_module(module)
            chosen.configure(one)
            one.set_defaults(run=chosen.run)
    options = parser.parse_args(given)
    return int(options.run(options))


if __name__ == "__main__":
    sys.exit(main())
