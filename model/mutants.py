# SPDX-License-Identifier: MIT
"""Reads mutants/*.txt: one step of a source left out, or one order weakened.

    mutant NAME [quick]
    run PROGRAM MODEL...        each of these must fail
    file PATH                   then lines as in a diff: context, - old, + new
     context
    -old
    +new

Old and context must occur exactly once in the file. Comments, blank lines and indentation
are not compared. Whoever changes the source changes the mutant with it."""
import glob
import os
from dataclasses import dataclass, field


@dataclass
class Hunk:
    path: str
    old: list = field(default_factory=list)
    new: list = field(default_factory=list)


@dataclass
class Mutant:
    name: str
    quick: bool
    program: str = ""
    models: tuple = ()
    patches: list = field(default_factory=list)


def code_lines(lines):
    """(index, text) of the lines that are neither blank nor only comment."""
    found, inside = [], False
    for index, line in enumerate(lines):
        text = line.strip()
        if inside or text.startswith("/*"):
            inside = "*/" not in text
            continue
        if text:
            found.append((index, text))
    return found


def apply(hunk, text):
    """The text with the hunk's change; ValueError if it is not there exactly once."""
    lines = text.split("\n")
    code = code_lines(lines)
    old = [line for _, line in code_lines(hunk.old)]
    places = [i for i in range(len(code) - len(old) + 1)
              if [line for _, line in code[i:i + len(old)]] == old]
    if len(places) != 1 or not old:
        wanted = "\n".join(hunk.old)
        raise ValueError(f"{hunk.path}: this is there {len(places)} times, not once:\n{wanted}")
    first = code[places[0]][0]
    last = code[places[0] + len(old) - 1][0]
    return "\n".join(lines[:first] + hunk.new + lines[last + 1:])


def read(path):
    mutants = []
    with open(path, encoding="utf-8") as file:
        for line in file.read().split("\n"):
            words = line.split()
            if line.startswith("mutant "):
                mutants.append(Mutant(words[1], "quick" in words[2:]))
            elif line.startswith("run "):
                mutants[-1].program, mutants[-1].models = words[1], tuple(words[2:])
            elif line.startswith("file "):
                mutants[-1].patches.append(Hunk(words[1]))
            elif line[:1] in (" ", "-", "+"):
                hunk = mutants[-1].patches[-1]
                if line[0] != "+":
                    hunk.old.append(line[1:])
                if line[0] != "-":
                    hunk.new.append(line[1:])
            elif line.strip() and not line.startswith("#"):
                raise ValueError(f"{path}: {line}")
    return mutants


def read_all():
    here = os.path.dirname(os.path.abspath(__file__))
    return [mutant for path in sorted(glob.glob(os.path.join(here, "mutants", "*.txt")))
            for mutant in read(path)]
