"""Run a module as this process's program, on a leash: it ends when the runner is gone, however that ended.

python -m gnomon_shop.parts.leash MODULE
"""

import os
import runpy
import signal
import sys
import threading
import time

LOOK_EVERY_S = 1.0
GRACE_S = 10.0


def watch(runner: int) -> None:
    """Ask this process to end when its parent is another one, and insist after a while."""
    while os.getppid() == runner:
        time.sleep(LOOK_EVERY_S)
    os.kill(os.getpid(), signal.SIGTERM)
    time.sleep(GRACE_S)
    os.kill(os.getpid(), signal.SIGKILL)


if __name__ == "__main__":
    threading.Thread(target=watch, args=(os.getppid(),), name="leash", daemon=True).start()
    runpy.run_module(sys.argv.pop(1), run_name="__main__", alter_sys=True)
