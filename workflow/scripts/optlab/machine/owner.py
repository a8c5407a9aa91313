"""The Snakemake that a program works for. Its programs end when it is gone.

Snakemake that is killed (SIGKILL, out of memory) cannot end its jobs, and the kernel tells them
nothing: between them are a shell, the launcher and the warm interpreter. Its next call would start
them a second time. So each Snakemake states its identity in the environment of its jobs; within a
job on a cluster, that is the Snakemake that runs there.
"""

import json
import os
import signal
import sys
import threading
import time

from optlab.machine import alive

NAME = "OPTLAB_SNAKEMAKE"
PAUSE = 1.0  # seconds between two looks


def state() -> None:
    """State that this process, Snakemake, owns what it starts."""
    os.environ[NAME] = json.dumps(alive.identity())


def follow() -> None:
    """Have this program asked to end, by SIGTERM, when the Snakemake that started it is gone.

    A program that nobody started but the user, or whose Snakemake is on another machine, goes on.
    """
    try:
        owner = json.loads(os.environ[NAME])
        known = alive.lives(owner) is not None
    except (KeyError, ValueError, TypeError):
        return
    if known:
        threading.Thread(target=_watch, args=(owner,), daemon=True).start()


def _watch(owner: alive.Identity) -> None:
    while alive.lives(owner) is not False:
        time.sleep(PAUSE)
    print("its Snakemake is gone, so this process ends", file=sys.stderr, flush=True)
    main = threading.main_thread().ident
    if main is not None:
        signal.pthread_kill(main, signal.SIGTERM)  # to the thread that handles signals
