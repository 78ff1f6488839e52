#!/usr/bin/env python3
"""Cuts the power under a store while several processes push into it.

The store lies on an ext4 image that is loop-mounted. The image is a file on XFS, where a reflink
copy clones it in one instant, while it is written to, neither unmounted nor synced: what the clone
holds is what a disk would hold after the plug was pulled. Its journal is replayed by mounting it;
then everything that a push had reported as stored before the cut must be there and verify.

A control file, written without a sync just before each cut, shows that a cut does lose what was not
synced: if it never went missing, the test would prove nothing.
"""

import os
import queue
import random
import sys
import threading
from contextlib import ExitStack

from common import Tally, arguments, binary, check
from kept import MIB, Store, assert_same_tree, remove, run, scratch, write_model, write_safetensors

PUSHERS = 3
IMAGE_MIB = 1536
CONTROL_BYTES = MIB


def mounted(stack, image, at, *options):
    at.mkdir(exist_ok=True)
    run(["mount", "-o", ",".join(("loop", *options)), image, at])
    stack.callback(run, ["umount", at])
    return at


class Pusher(threading.Thread):
    """Pushes one new version after another and says which were reported as stored."""

    def __init__(self, store, model, number, reported, stop):
        super().__init__()
        self.store, self.model, self.number = store, model, number
        self.reported, self.stop = reported, stop
        self.trouble = None

    def run(self):
        try:
            version = 0
            while not self.stop.is_set():
                name = f"cut-{self.number}:1.{version}"
                write_safetensors(self.model / "head.safetensors", 3 * MIB, name)
                pushed = self.store.json("push", self.model, name)
                self.reported.put((name, pushed["digest"], pushed["content_root"]))
                version += 1
        except Exception as trouble:  # shown by whoever joins this thread
            self.trouble = trouble


class Cuts:
    def __init__(self, tally, seed):
        self.tally, self.random, self.seed = tally, random.Random(seed), seed
        self.dir = scratch()
        self.stack = ExitStack()
        self.stack.callback(remove, self.dir)
        disk = self.dir / "xfs.img"
        with open(disk, "wb") as file:
            file.truncate(8 * 1024 * MIB)
        run(["mkfs.xfs", "-q", "-m", "reflink=1", disk])
        self.xfs = mounted(self.stack, disk, self.dir / "xfs")
        self.bases = [write_model(self.dir / f"base-{n}", [(9 + 7 * n) * MIB], seed + n) for n in range(PUSHERS)]

    def cut(self, number):
        image, clone = self.xfs / "disk.img", self.xfs / "after.img"
        try:
            with ExitStack() as stack:
                reported = self.run_until_cut(stack, image, clone)
            self.tally.add("versions reported before a cut", len(reported))
            self.check_clone(clone, reported)
        finally:
            image.unlink(missing_ok=True)
            clone.unlink(missing_ok=True)

    def run_until_cut(self, stack, image, clone):
        with open(image, "wb") as file:
            file.truncate(IMAGE_MIB * MIB)
        run(["mkfs.ext4", "-q", "-F", image])
        disk = mounted(stack, image, self.dir / "disk")
        store = Store(disk / "home")
        arrived, stop = queue.Queue(), threading.Event()
        pushers = [Pusher(store, base, n, arrived, stop) for n, base in enumerate(self.bases)]
        wanted = self.random.randint(PUSHERS, 6 * PUSHERS)
        reported = []
        try:
            for pusher in pushers:
                pusher.start()
            while len(reported) < wanted:
                reported.append(arrived.get(timeout=120))
            # Somewhere within the next pushes, not right behind a report.
            stop.wait(self.random.uniform(0, 0.25))
            while not arrived.empty():
                reported.append(arrived.get())
            (disk / "control").write_bytes(b"\xff" * CONTROL_BYTES)
            run(["cp", "--reflink=always", image, clone])
        finally:
            stop.set()
            for pusher in pushers:
                pusher.join()
        for pusher in pushers:
            if pusher.trouble:
                raise pusher.trouble
        return reported

    def check_clone(self, clone, reported):
        with ExitStack() as stack:
            disk = mounted(stack, clone, self.dir / "after")
            control = disk / "control"
            data = control.read_bytes() if control.exists() else b""
            if data != b"\xff" * CONTROL_BYTES:
                self.tally.add("cuts that lost the unsynced control file")
            store = Store(disk / "home")
            store.run("verify", "--all")
            for number in range(PUSHERS):
                self.check_repository(store, number, [entry for entry in reported if entry[0].startswith(f"cut-{number}:")])
            # And it is a store that one can go on with.
            store.run("push", self.bases[0], "afterwards:1.0")
            store.run("verify", "--all")

    def check_repository(self, store, number, reported):
        listed = {}
        if reported:
            listed = {f"cut-{number}:{e['version']}": e["digest"] for e in store.json("versions", f"cut-{number}")["versions"]}
        for name, digest, _ in reported:
            check(listed.get(name) == digest, f"{name} was reported as {digest}; after the cut it is {listed.get(name)}")
        unreported = len(listed) - len(reported)
        self.tally.add("versions that were whole but not yet reported", unreported)
        for name in listed:
            out, model = self.dir / "out", self.dir / "expected"
            try:
                run(["cp", "-r", self.bases[number], model])
                write_safetensors(model / "head.safetensors", 3 * MIB, name)
                store.run("pull", name, "-o", out)
                assert_same_tree(model, out)
                self.tally.add("versions pulled back and identical after a cut")
            finally:
                remove(out)
                remove(model)


def main():
    asked = arguments(__doc__, cuts=2)
    binary()
    if os.geteuid() != 0:
        passed_on = [f"{name}={os.environ[name]}" for name in ("MODELKEEP", "TMPDIR") if name in os.environ]
        os.execvp("sudo", ["sudo", "--", "env", *passed_on, sys.executable, *sys.argv])
    tally = Tally("Power cuts", asked.write)
    cuts = Cuts(tally, asked.seed)
    with cuts.stack:
        for number in range(asked.cuts):
            tally.trial(f"cut {number}", cuts.cut, number)
        # A clone that keeps what was never synced is not what a disk holds after a power cut.
        tally.require("cuts that lost the unsynced control file")
    tally.end()


if __name__ == "__main__":
    main()
