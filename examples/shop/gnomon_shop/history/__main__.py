"""`python -m gnomon_shop.history`: the verb `history` by itself."""

import argparse
import sys

from gnomon_shop.history import command

parser = argparse.ArgumentParser(prog="gnomon_shop.history", description=command.__doc__)
command.configure(parser)
sys.exit(command.run(parser.parse_args()))
