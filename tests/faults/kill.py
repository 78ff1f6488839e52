#!/usr/bin/env python3
"""Kills push and pull with SIGKILL at random points of their run.

After every kill the store must verify, the next run must converge to the same digest or the same
bytes, and what the killed run left behind must be reused or cleaned up.
"""

import random
import signal
import time

from common import Tally, arguments, binary, check
from kept import MIB, Store, assert_same_tree, disk_use, ended_within, remove, scratch, write_model

SIZES = (160 * MIB, 48 * MIB, 24 * MIB)
NAME = "killed:1.0"


def timed(action, *words):
    """The wall time of a run that nothing disturbs, and its result."""
    began = time.monotonic()
    result = action(*words)
    return time.monotonic() - began, result


class Window:
    """The time within which a run is killed: as long as a run takes, learnt anew from each that got away."""

    def __init__(self, random, seconds):
        self.random, self.seconds = random, seconds

    def kill(self, process):
        """Whether the process was still running when it was to be killed."""
        began = time.monotonic()
        running = not ended_within(process, self.random.uniform(0, self.seconds))
        if running:
            process.send_signal(signal.SIGKILL)
        else:
            self.seconds = time.monotonic() - began
        process.communicate()
        return running


class Trials:
    def __init__(self, tally, seed):
        self.tally, self.random = tally, random.Random(seed)
        self.dir = scratch()
        self.model = write_model(self.dir / "model", SIZES, seed)
        self.base = write_model(self.dir / "base", [9 * MIB], seed + 1)
        self.size = disk_use(self.model)
        # One store that is never hurt says what the others must converge to.
        self.whole = Store(self.dir / "whole")
        seconds, pushed = timed(self.whole.json, "push", self.model, NAME)
        self.push_window = Window(self.random, seconds)
        self.digest = pushed["digest"]
        seconds, _ = timed(self.whole.run, "pull", NAME, "-o", self.dir / "warm")
        self.pull_window = Window(self.random, seconds)
        remove(self.dir / "warm")

    def push(self):
        store = Store(self.dir / "store")
        out = self.dir / "out"
        try:
            store.run("push", self.base, "killed:0.9")
            before = disk_use(store.home)
            killed = self.push_window.kill(store.start("push", self.model, NAME))
            self.tally.add("pushes killed" if killed else "pushes that ended before their kill")
            arrived = disk_use(store.home) - before
            store.run("verify", "--all")
            listed = {entry["version"]: entry["digest"] for entry in store.json("versions", "killed")["versions"]}
            check(listed.pop("0.9", None), "a version from before the kill is gone")
            check(listed in ({}, {"1.0": self.digest}), f"half a version is listed: {listed}")

            again = store.json("push", self.model, NAME)
            check(again["digest"] == self.digest, f"converged to {again['digest']}, not to {self.digest}")
            store.run("verify", "--all")
            store.run("pull", NAME, "-o", out)
            assert_same_tree(self.model, out)
            if killed and again["bytes_written"] < again["bytes"]:
                self.tally.add("pushes that reused what had arrived")
            self.tally.add("MiB that killed pushes left", arrived // MIB)
            self.tally.add("MiB that the next pushes wrote", again["bytes_written"] // MIB)
            grown = disk_use(store.home) - before
            check(grown < self.size + 4 * MIB, f"the store grew by {grown} bytes for {self.size} bytes of model: leftovers stay")
        finally:
            remove(store.home)
            remove(out)

    def pull(self):
        out = self.dir / "out"
        try:
            killed = self.pull_window.kill(self.whole.start("pull", NAME, "-o", out))
            self.tally.add("pulls killed" if killed else "pulls that ended before their kill")
            again = self.whole.json("pull", NAME, "-o", out)
            check(again["digest"] == self.digest, "another version was pulled")
            assert_same_tree(self.model, out)
            self.tally.add("MiB that the next pulls wrote", again["bytes_written"] // MIB)
            self.whole.run("verify", "--all")
        finally:
            remove(out)


def main():
    asked = arguments(__doc__, points=12)
    binary()
    tally = Tally("Killed at random points", asked.write)
    trials = Trials(tally, asked.seed)
    try:
        tally.add("MiB of model", trials.size // MIB)
        # A run that ends before its kill is checked like the others and is no point.
        for kind, done in (("push", "pushes killed"), ("pull", "pulls killed")):
            wanted = (asked.points + (kind == "push")) // 2
            for attempt in range(4 * wanted):
                if tally.figures.get(done, 0) == wanted:
                    break
                tally.trial(f"{kind} {attempt}", getattr(trials, kind))
            tally.require(done, wanted)
    finally:
        remove(trials.dir)
    tally.end()


if __name__ == "__main__":
    main()
