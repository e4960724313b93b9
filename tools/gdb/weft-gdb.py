# SPDX-License-Identifier: MIT
"""Fibers of a weft program, in gdb: live or from a core, x86-64 or aarch64.

    (gdb) source tools/gdb/weft-gdb.py
    (gdb) weft fibers          a line a fiber
    (gdb) weft fibers -bt      with the stack of each that does not run
    (gdb) weft bt ID           the stack of one

A fiber that runs is its thread's own backtrace. The stacks of the others are followed by
their frame pointers, which the library keeps; frames of code built without them are missed.
Needs the library's debug information. From a core as the kernel writes it: gdb's own
generate-core-file stops at the stacks' guard pages, and leaves the stacks out.
"""
import gdb

STATES = {0: "free", 1: "runnable", 2: "running", 3: "parked"}
FRAMES_MAX = 100


def runtimes():
    """The process's runtime, then those of threads in a simulated run."""
    found = []
    try:
        running = gdb.parse_and_eval("'runtime.c'::running")
    except gdb.error:
        running = gdb.parse_and_eval("running")
    address = int(running)
    kind = gdb.lookup_type("struct rt_runtime").pointer()
    if address:
        found.append(address)
    selected = gdb.selected_thread()
    for thread in gdb.selected_inferior().threads():
        try:
            thread.switch()
            worker = gdb.parse_and_eval("rt_tls")
            if int(worker) and int(worker["runtime"]) not in found:
                found.append(int(worker["runtime"]))
        except gdb.error:
            pass  # a thread that never touched the library's thread-local memory
    if selected is not None and selected.is_valid():
        selected.switch()
    return [gdb.Value(a).cast(kind).dereference() for a in found]


def fibers():
    """(worker index, fiber) of all."""
    fiber_type = gdb.lookup_type("struct rt_fiber")
    offset = [f.bitpos // 8 for f in fiber_type.fields() if f.name == "worker_link"][0]
    for runtime in runtimes():
        for i in range(int(runtime["workers_len"])):
            worker = runtime["workers"][i]
            head = worker["fibers"].address
            link = worker["fibers"]["next"]
            while int(link) != int(head):
                address = int(link) - offset
                yield i, gdb.Value(address).cast(fiber_type.pointer()).dereference()
                link = link.dereference()["next"]


def word(address):
    return int(gdb.Value(address).cast(gdb.lookup_type("unsigned long").pointer()).dereference())


def frames(fiber):
    """Program counters of a fiber that does not run, innermost first (rt/switch.h)."""
    sp = int(fiber["sp"])
    if "aarch64" in gdb.selected_inferior().architecture().name():
        fp, pc = word(sp + 144), word(sp + 152)
    else:
        fp, pc = word(sp + 40), word(sp + 48)
    low, high = int(fiber["base"]), int(fiber["base"]) + int(fiber["size"])
    while pc:
        yield pc
        if not low <= fp < high - 8:
            return
        fp, pc = word(fp), word(fp + 8)


def describe(pc):
    """A line a function: one that was inlined stands before the one it is in."""
    # less one: a return address may be that of the next line, or function
    names = []
    block = gdb.block_for_pc(pc - 1)
    while block is not None:
        if block.function is not None:
            names.append(block.function.name)
        block = block.superblock
    if not names:
        text = gdb.execute("info symbol %d" % (pc - 1), to_string=True)
        names.append(text.split(" ")[0] if " in section" in text else "??")
    where = gdb.find_pc_line(pc - 1)
    line = " at %s:%d" % (where.symtab.filename, where.line) if where.symtab else ""
    for name in names[:-1]:
        yield "%18s in %s ()%s" % ("(inlined)", name, line)
        line = ""
    yield "0x%016x in %s ()%s" % (pc, names[-1], line)


def print_stack(fiber):
    if int(fiber["state"]) == 2:
        print("    running: see its thread's backtrace")
        return
    number = 0
    for pc in frames(fiber):
        for text in describe(pc):
            print("    #%-2d %s" % (number, text))
            number += 1
        if number >= FRAMES_MAX:
            print("    ...")
            break


def print_line(worker, fiber):
    parked = int(fiber["state"]) == 3
    why = fiber["why"].string() if parked and int(fiber["why"]) else "-"
    name = fiber["name"].string() or "-"
    print("worker %d  fiber %d  %-8s  %-14s  %s" %
          (worker, int(fiber["id"]), STATES[int(fiber["state"])], why, name))


class Weft(gdb.Command):
    """weft fibers [-bt], weft bt ID: the fibers of a weft program."""

    def __init__(self):
        super().__init__("weft", gdb.COMMAND_STACK)

    def invoke(self, argument, from_tty):
        words = gdb.string_to_argv(argument)
        if words[:1] == ["fibers"] and words[1:] in ([], ["-bt"]):
            count = 0
            for worker, fiber in fibers():
                print_line(worker, fiber)
                if len(words) == 2:
                    print_stack(fiber)
                count += 1
            print("%d fibers" % count)
        elif words[:1] == ["bt"] and len(words) == 2 and words[1].isdigit():
            for worker, fiber in fibers():
                if int(fiber["id"]) == int(words[1]):
                    print_line(worker, fiber)
                    print_stack(fiber)
                    return
            raise gdb.GdbError("weft: no fiber %s" % words[1])
        else:
            raise gdb.GdbError("usage: weft fibers [-bt] | weft bt ID")


Weft()
