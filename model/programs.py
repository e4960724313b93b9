# SPDX-License-Identifier: MIT
"""The model programs: which of the library's sources each is made of."""
from dataclasses import dataclass

from mutants import Hunk


@dataclass
class Program:
    source: str  # in model/
    real: tuple = ()  # the library's, as they are but for patches
    support: tuple = ("rt.c",)  # stand-ins for the rest
    patches: tuple = ()  # bounds made small
    real_lock: bool = False
    models: tuple = ()  # these only


CHAN = ("src/sync/chan.c", "src/sync/wait.c", "src/sync/blocks.c", "src/sync/rendezvous.c",
        "src/sync/ring.c", "src/sync/chan_batch.c", "src/sync/chan_ends.c", "src/sync/chan_fd.c",
        "src/sync/chan_permit.c")
WATCH = ("src/sync/watch.c", "src/sync/crowd.c", "src/sync/wait.c")

PROGRAMS = {
    "litmus": Program("litmus.c", support=()),
    "chan": Program("chan.c", real=CHAN),
    # the same where one call serves one waiter, and wakes the next
    "chan-serve": Program("chan.c", real=CHAN, patches=(
        Hunk("src/sync/chan.c",
             ["#define SERVE_MAX 64 /* waiters that one call does the work of */"],
             ["#define SERVE_MAX 1"]),),
        models=("ring-1-1x1", "ring-1-2x1", "ring-cancel-recv", "ring-serve-on")),
    "broadcast": Program("broadcast.c", real=(
        "src/sync/broadcast.c", "src/sync/crowd.c", "src/sync/wait.c")),
    "watch": Program("watch.c", real=WATCH),
    # the same where a reader takes the lock after one try
    "watch-lock": Program("watch.c", real=WATCH, patches=(
        Hunk("src/sync/watch.c",
             ["#define COPIES_MAX 16 /* tries before a reader takes the lock */"],
             ["#define COPIES_MAX 1"]),),
        models=("watch-look", "watch-1x1")),
}
