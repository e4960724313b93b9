# SPDX-License-Identifier: MIT
"""The model programs: which of the library's sources each is made of."""
from dataclasses import dataclass

from mutants import Hunk


@dataclass
class Program:
    source: str  # in model/
    real: tuple = ()  # the library's, as they are but for patches
    support: tuple = ("base.c", "rt.c")  # stand-ins for the rest
    patches: tuple = ()  # bounds made small
    real_lock: bool = False
    partial: bool = False  # functions that are never called may be missing
    models: tuple = ()  # these only, by how their names begin
    models_not: tuple = ()
    flags: tuple = ()  # of the program


CHAN = ("src/sync/chan.c", "src/sync/wait.c", "src/sync/blocks.c", "src/sync/rendezvous.c",
        "src/sync/ring.c", "src/sync/chan_batch.c", "src/sync/chan_ends.c", "src/sync/chan_fd.c",
        "src/sync/chan_permit.c")
WATCH = ("src/sync/watch.c", "src/sync/crowd.c", "src/sync/wait.c")
RECLAIM = ("src/rt/reclaim.c", "src/rt/reclaim_bag.c", "src/rt/reclaim_shared.c",
           "src/sync/cell.c")
# A stand-in with thread-local variables, which the checker must see as such.
RETIRED = ("model/support/reclaim.c",)
MAP = ("src/sync/map.c", "src/sync/map_table.c") + RETIRED
HUB = ("src/sync/hub.c", "src/sync/hub_table.c", "src/sync/once.c", "src/sync/wait.c") + RETIRED

PROGRAMS = {
    "litmus": Program("litmus.c", support=()),
    "random": Program("random.c", support=(), flags=("-c", "60")),
    "lock": Program("lock.c", support=(), real_lock=True),
    "park": Program("park.c", support=("base.c",), partial=True),
    "chan": Program("chan.c", real=CHAN, models_not=("blocks-",)),
    # the same where one call serves one waiter, and wakes the next
    "chan-serve": Program("chan.c", real=CHAN, patches=(
        Hunk("src/sync/chan.c",
             ["#define SERVE_MAX 64 /* waiters that one call does the work of */"],
             ["#define SERVE_MAX 1"]),),
        models=("ring-1-1x1", "ring-1-2x1", "ring-cancel-recv", "ring-serve-on")),
    "permit": Program("permit.c", real=CHAN, models_not=("permit-blocks-",)),
    "permit-blocks": Program("permit.c", real=CHAN, models=("permit-blocks-",), patches=(
        Hunk("src/sync/blocks.c", ["BLOCK_LAP = 32,"], ["BLOCK_LAP = 3,"]),)),
    "broadcast": Program("broadcast.c", real=(
        "src/sync/broadcast.c", "src/sync/crowd.c", "src/sync/wait.c")),
    "watch": Program("watch.c", real=WATCH),
    # the same where a reader takes the lock after one try
    "watch-lock": Program("watch.c", real=WATCH, patches=(
        Hunk("src/sync/watch.c",
             ["#define COPIES_MAX 16 /* tries before a reader takes the lock */"],
             ["#define COPIES_MAX 1"]),),
        models=("watch-look", "watch-1x1")),
    # blocks of two slots
    "blocks": Program("chan.c", real=CHAN, models=("blocks-",),
                      models_not=("blocks-1-", "blocks-3-"), patches=(
        Hunk("src/sync/blocks.c", ["BLOCK_LAP = 32,"], ["BLOCK_LAP = 3,"]),)),
    # of one
    "blocks-1": Program("chan.c", real=CHAN, models=("blocks-1-",), patches=(
        Hunk("src/sync/blocks.c", ["BLOCK_LAP = 32,"], ["BLOCK_LAP = 2,"]),)),
    # and of three
    "blocks-3": Program("chan.c", real=CHAN, models=("blocks-3-",), patches=(
        Hunk("src/sync/blocks.c", ["BLOCK_LAP = 32,"], ["BLOCK_LAP = 4,"]),)),
    "select": Program("select.c", partial=True, real=CHAN + (
        "src/sync/select.c", "src/sync/select_kinds.c")),
    "once": Program("once.c", real=("src/sync/once.c", "src/sync/wait.c"), partial=True),
    "objects": Program("objects.c", partial=True, real=(
        "src/sync/oneshot.c", "src/sync/mutex.c", "src/sync/semaphore.c",
        "src/sync/waitgroup.c", "src/sync/wait.c")),
    "hub": Program("hub.c", partial=True, real=HUB),
    "feed": Program("feed.c"),
    # one try for a second group's lock; the empty table where atomics are seen
    "map": Program("map.c", partial=True, real=MAP, support=("base.c",), patches=(
        Hunk("src/sync/map_table.c",
             ["#define LOCK_TRIES 40 /* of a second group's lock, while a home's is held */"],
             ["#define LOCK_TRIES 1"]),
        Hunk("src/sync/map_table.c", [
            "const struct map_nothing map_nothing = { .table = { .len = 1, .shift = 63 } };"],
             ["struct map_nothing map_nothing = { .table = { .len = 1, .shift = 63 } };"]),
        Hunk("src/sync/map.h", ["extern const struct map_nothing {"],
             ["extern struct map_nothing {"]))),
    # batches of one; as many records as there are threads; no sums for statistics
    "reclaim": Program("reclaim.c", partial=True, real=RECLAIM, patches=(
        Hunk("src/rt/reclaim.h", ["#define RECLAIM_BATCH 128"], ["#define RECLAIM_BATCH 1"]),
        Hunk("src/rt/reclaim_shared.c",
             ["#define RECORDS_STATIC 16 /* more come from the system, as many at a time */"],
             ["#define RECORDS_STATIC 3"]),
        Hunk("src/rt/reclaim_bag.c", ["note_peak();", "reclaim_enter();"],
             ["reclaim_enter();"]))),
}
