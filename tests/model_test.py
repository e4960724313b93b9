#!/usr/bin/env python3
# SPDX-License-Identifier: MIT
# weft-test: timeout=120 not=tsan,aarch64,coverage,release heavy
"""The quick ones of `make model`. They are built in a way of their own, the same whatever
flavour the build is of."""
import os
import subprocess
import sys

HERE = os.path.dirname(os.path.abspath(__file__))
sys.exit(subprocess.run(
    [os.path.join(HERE, "..", "model", "run.py"), "--quick",
     "--build", os.path.join(os.environ["WEFT_BUILD"], "model")], check=False).returncode)
