#!/usr/bin/env python3
"""Eight processes push different content under one version into one store, at the same instant.

Exactly one must win with status 0 and seven be refused with status 4; the winner's content, and
nothing of the others', is what the version holds. `store_check.py` then reads the raw files.
"""

import random
import shutil
import subprocess
from fcntl import LOCK_EX, LOCK_UN, flock

from common import Tally, arguments, binary, check
from kept import BINARY, EXIT_EXISTS, MIB, Store, assert_same_tree, remove, scratch, write_model, write_safetensors
from store_check import check_store

PUSHERS = 8


class Races:
    def __init__(self, tally, seed):
        self.tally, self.random = tally, random.Random(seed)
        self.dir = scratch()
        self.store = Store(self.dir / "home")
        self.gate = self.dir / "gate"
        self.gate.touch()
        # A large file that all share, so that the pushers also meet in one layer.
        shared = write_model(self.dir / "shared", [9 * MIB], seed)
        self.models = []
        for number in range(PUSHERS):
            model = self.dir / f"model-{number}"
            shutil.copytree(shared, model)
            self.models.append(model)

    def start(self, model, reference):
        """Starts a pusher that waits at the gate: a shared lock, granted to all at once."""
        return subprocess.Popen(
            ["flock", "--shared", self.gate, BINARY, "push", model, reference, "--message", model.name],
            stdin=subprocess.DEVNULL, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True,
            env=self.store.environment(), cwd=self.dir,
        )  # fmt: skip

    def race(self, number):
        version = f"0.{number}.0"
        for index, model in enumerate(self.models):
            write_safetensors(model / "head.safetensors", 64 * 1024, f"{number}/{index}")
        with open(self.gate) as gate:
            flock(gate, LOCK_EX)
            pushers = [self.start(model, f"race:{version}") for model in self.models]
            flock(gate, LOCK_UN)
        said = [pusher.communicate() for pusher in pushers]
        statuses = [pusher.returncode for pusher in pushers]
        told = "\n".join(err for _, err in said)
        check(sorted(statuses) == [0] + [EXIT_EXISTS] * (PUSHERS - 1), f"exit statuses {statuses}\n{told}")
        self.tally.add("pushes that won", statuses.count(0))
        self.tally.add("pushes that were refused", statuses.count(EXIT_EXISTS))

        winner = self.models[statuses.index(0)]
        listed = self.store.json("versions", "race")["versions"]
        check(len(listed) == number + 1, f"{len(listed)} versions are listed after {number + 1} races")
        newest = [entry for entry in listed if entry["version"] == version]
        check(len(newest) == 1 and newest[0]["message"] == winner.name, f"{winner.name} won, listed is {newest}")
        check(newest[0]["digest"] in self.digests_of(winner, version), "the version does not hold the winner's manifest")
        out = self.dir / "out"
        try:
            self.store.run("pull", f"race:{version}", "-o", out)
            assert_same_tree(winner, out)
        finally:
            remove(out)

    def digests_of(self, model, version):
        """The digest that a push of the winner's content reports: it must adopt what stands."""
        again = self.store.json("push", model, f"race:{version}")
        check(again["outcome"] == "unchanged", f"the winner's content again was {again['outcome']}")
        return {again["digest"]}

    def check_all(self, races):
        self.store.run("verify", "--all")
        listed = {entry["version"]: entry["digest"] for entry in self.store.json("versions", "race")["versions"]}
        found = check_store(self.store.home, "race")
        check(found == listed, f"the raw files say {found}, versions says {listed}")
        check(len(listed) == races, f"{len(listed)} versions after {races} races")


def main():
    asked = arguments(__doc__, races=15)
    binary()
    tally = Tally("Races of eight pushers", asked.write)
    races = Races(tally, asked.seed)
    try:
        for number in range(asked.races):
            tally.trial(f"race {number}", races.race, number)
        tally.trial("the raw files agree with what is listed", races.check_all, asked.races)
    finally:
        remove(races.dir)
    tally.end()


if __name__ == "__main__":
    main()
