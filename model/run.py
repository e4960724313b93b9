#!/usr/bin/env python3
# SPDX-License-Identifier: MIT
"""Builds the models from the library's own sources, runs them, then their mutants.

A model must hold. A mutant, the same source with one step left out or one order weakened
(mutants/), must fail; what it changes must be there exactly once, so that it can't rot. Prints a
table; the status is 1 if anything differs. docs/verification.md says more."""
import argparse
import concurrent.futures
import os
import re
import shutil
import subprocess
import sys
import time

HERE = os.path.dirname(os.path.abspath(__file__))
TOP = os.path.dirname(HERE)
sys.path.insert(0, HERE)

from programs import PROGRAMS  # noqa: E402
import mutants as mutant_files  # noqa: E402

CC = os.environ.get("MODEL_CC", "gcc")
CACHE = [shutil.which("ccache")] if shutil.which("ccache") else []
COMMON = ["-std=c17", "-gdwarf-4", "-fno-pie", "-w", "-D_GNU_SOURCE="]
CHECKED = ["-O1", "-fsanitize=thread", "-U__SANITIZE_THREAD__", "-D_Thread_local=",
           "-Dtls_model(x)=unused", "--param", "tsan-instrument-func-entry-exit=0",
           "-Dmemcpy=model_memcpy", "-Dmemmove=model_memmove", "-Dmemset=model_memset"]
PLAIN = ["-O3"]
MUTANT_SECONDS = 60
MODEL_SECONDS = 200


def run(command):
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    if done.returncode:
        raise RuntimeError(f"{' '.join(command)}\n{done.stderr}")


class Build:
    """Objects of one program with one set of patches."""

    def __init__(self, folder, program, patches):
        self.folder = folder
        self.program = program
        self.overlay = os.path.join(folder, "overlay")
        self.patched = set()
        shutil.rmtree(folder, ignore_errors=True)
        os.makedirs(self.overlay)
        for hunk in list(program.patches) + list(patches):
            self.patch(hunk)

    def patch(self, hunk):
        target = os.path.join(self.overlay, hunk.path)
        source = target if hunk.path in self.patched else os.path.join(TOP, hunk.path)
        with open(source, encoding="utf-8") as file:
            text = mutant_files.apply(hunk, file.read())
        os.makedirs(os.path.dirname(target), exist_ok=True)
        with open(target, "w", encoding="utf-8") as file:
            file.write(text)
        self.patched.add(hunk.path)

    def includes(self):
        folders = [os.path.join(self.overlay, "src"), os.path.join(self.overlay, "include")]
        if not self.program.real_lock:
            folders.append(os.path.join(HERE, "include"))
        folders += [HERE, os.path.join(TOP, "src"), os.path.join(TOP, "include")]
        return [flag for folder in folders for flag in ("-I", folder)]

    def compile(self, path, flags):
        source = os.path.join(self.overlay if path in self.patched else TOP, path)
        target = os.path.join(self.folder, path.replace("/", "_") + ".o")
        run(CACHE + [CC] + COMMON + flags + self.includes() + ["-c", source, "-o", target])
        return target

    def make(self, checker):
        objects = [self.compile(path, CHECKED)
                   for path in [f"model/{self.program.source}"] + list(self.program.real)]
        objects += [self.compile(f"model/support/{name}", PLAIN)
                    for name in self.program.support]
        target = os.path.join(self.folder, "program")
        flags = ["-Wl,--unresolved-symbols=ignore-all"] if self.program.partial else []
        run([CC, "-no-pie", *flags, "-o", target] + objects + checker)
        return target


def checker_objects(folder):
    os.makedirs(folder, exist_ok=True)
    arch = os.uname().machine
    sources = [os.path.join(HERE, "checker", name)
               for name in sorted(os.listdir(os.path.join(HERE, "checker")))
               if name.endswith(".c")]
    sources.append(os.path.join(TOP, "src", "rt", f"switch_{arch}.S"))
    objects = []
    for source in sources:
        target = os.path.join(folder, os.path.basename(source) + ".o")
        run(CACHE + [CC] + COMMON + PLAIN +
            ["-I", HERE, "-I", os.path.join(TOP, "src"), "-c", source, "-o", target])
        objects.append(target)
    return objects


class Job:
    """One model or mutant: its row in the table."""

    def __init__(self, title, models, wanted, seconds, flags=()):
        self.title = title
        self.models = models
        self.wanted = wanted
        self.seconds = seconds
        self.flags = flags
        self.ok = False
        self.text = ""

    def run(self, program):
        start = time.time()
        found, rows = [], []
        for model in self.models:
            done = subprocess.run([program, *self.flags, "-s", str(self.seconds), model],
                                  capture_output=True, text=True, check=False)
            rows.append(done.stdout.rstrip())
            match = re.search(rf"^{re.escape(model)} +(\w+)", done.stdout, re.M)
            found.append(match.group(1) if match else f"crashed ({done.returncode})")
        self.ok = all(verdict == self.wanted for verdict in found)
        self.text = "\n".join(rows)
        self.took = time.time() - start
        return self


def litmus_wants(name):
    return "fails" if name.startswith(("weak-", "bad-")) else "holds"


def run_models(args, name, checker, pool):
    target = Build(os.path.join(args.build, name), PROGRAMS[name], []).make(checker)
    flags = ["-l", "-q"] if args.quick else ["-l"]
    names = subprocess.run([target] + flags, capture_output=True, text=True,
                           check=True).stdout.split()
    jobs = []
    for model in names:
        program = PROGRAMS[name]
        if (program.models and not model.startswith(program.models)) or \
                (program.models_not and model.startswith(program.models_not)):
            continue
        wanted = litmus_wants(model) if name == "litmus" else "holds"
        job = Job(name, [model], wanted, MODEL_SECONDS, PROGRAMS[name].flags)
        jobs.append(pool.submit(job.run, target))
    return jobs


def run_mutant(args, mutant, checker):
    job = Job(f"mutant {mutant.name}", mutant.models, "fails", MUTANT_SECONDS)
    try:
        target = Build(os.path.join(args.build, "mutants", mutant.name),
                       PROGRAMS[mutant.program], mutant.patches).make(checker)
    except (RuntimeError, ValueError, KeyError) as error:
        job.text = str(error)
        return job
    job.run(target)
    return job


def options():
    parser = argparse.ArgumentParser(description=__doc__.split("\n", maxsplit=1)[0])
    parser.add_argument("--build", default=os.path.join(TOP, "build-model"))
    parser.add_argument("--quick", action="store_true", help="those that run with the tests")
    parser.add_argument("--jobs", type=int, default=os.cpu_count())
    parser.add_argument("--no-mutants", action="store_true")
    parser.add_argument("-v", action="store_true", help="say how each mutant fails")
    parser.add_argument("only", nargs="*", help="programs, mutants")
    return parser.parse_args()


def report(job, verbose):
    verdict = "ok" if job.ok else "WRONG"
    lines = job.text.split("\n")
    print(f"{verdict:6}{job.title:34} {lines[0]}")
    for line in lines[1:] if verbose or not job.ok else []:
        print("      " + line)
    sys.stdout.flush()
    return job.ok


def main():
    args = options()
    start = time.time()
    checker = checker_objects(os.path.join(args.build, "checker"))
    ok, count = True, 0
    with concurrent.futures.ThreadPoolExecutor(args.jobs) as pool:
        models = [job for name in PROGRAMS
                  if not args.only or name in args.only
                  for job in run_models(args, name, checker, pool)]
        mutants = [pool.submit(run_mutant, args, mutant, checker) for mutant in mutant_files.read_all()
                   if not args.no_mutants and (mutant.quick or not args.quick) and
                   (not args.only or mutant.name in args.only or mutant.program in args.only)]
        for future in models + mutants:
            ok = report(future.result(), args.v) and ok
            count += 1
    print(f"model: {len(models)} models, {len(mutants)} mutants, "
          f"{'all as they should be' if ok else 'SOME ARE NOT AS THEY SHOULD BE'}, "
          f"{time.time() - start:.0f} s")
    return 0 if ok and count else 1


sys.exit(main())
