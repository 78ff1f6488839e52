#!/usr/bin/env python3
"""2 to 8 processes push under one version of a registry at the same instant, over a way that delays and reorders.

Three cases: `modelkeep serve`; Debian's docker-registry, which knows nothing that could decide a race; and
docker-registry where lists of tags are older than the settle time. In the first two exactly one content must win,
and everybody else be told so. In the third two may win, and then whoever reads must be told, with status 8.

What happened is read from the raw files of the registry, and not from what modelkeep says of it.
"""

import hashlib
import json
import random
import subprocess
from fcntl import LOCK_EX, LOCK_UN, flock

from common import Tally, arguments, binary, check
from kept import BINARY, EXIT_EXISTS, Store, remove, scratch, write_model
from rough import Rough, Written
from servers import Server

import sys
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parents[1] / "peers"))
from remote import Registry

EXIT_CONFLICT = 8
MOST = 8  # pushers
SETTLE = "40ms"
DELAY = 0.015  # seconds that each way of a request takes at most
STALE = 2.0  # seconds that a list may be old in the third case
LONGEST = 120  # seconds that a push may take


class OnServe:
    """`modelkeep serve`, and the files of its store."""

    def __init__(self, directory):
        self.store = Store(directory / "server")
        self.server = Server(self.store)
        self.port = self.server.port

    def tags(self, name):
        folder = self.store.home / "v1" / "repos" / name / "_tags"
        return {path.name: json.loads(path.read_bytes())["digest"] for path in folder.iterdir() if path.is_file()}

    def entries(self, name):
        """The entries that publish something, by the version: from the history of the store, or from tags."""
        folder = self.store.home / "v1" / "repos" / name / "_history"
        return [json.loads(path.read_bytes()) for path in sorted(folder.iterdir())]

    def end(self):
        self.server.stop()
        self.server.check_log()


class OnDockerRegistry:
    """docker-registry, and its files."""

    def __init__(self, directory):
        self.registry = Registry(directory / "registry")
        self.port = self.registry.port

    def tags(self, name):
        folder = self.registry.data / "docker/registry/v2/repositories" / name / "_manifests" / "tags"
        return {path.name: (path / "current" / "link").read_text().strip() for path in folder.iterdir()}

    def entries(self, name):
        return [entry for _, entry in places(self, name)]

    def blob(self, digest):
        return self.registry.blob(digest).read_bytes()

    def end(self):
        self.registry.stop()


def places(registry, name):
    """The entries that have a place in a history that lies in tags, checked against their names and each other."""
    found = []
    for tag, digest in registry.tags(name).items():
        if not tag.startswith("l."):
            continue
        _, height, identity = tag.split(".")
        index = json.loads(registry.blob(digest))
        text = index["annotations"]["dev.modelkeep.entry"]
        entry = json.loads(text)
        check(hashlib.sha256(text.encode()).hexdigest() == identity, f"{tag} carries another entry")
        check(entry["predicate"]["height"] == int(height), f"{tag} carries an entry of another height")
        found.append(((int(height), identity), entry))
    return sorted(found, key=lambda place: place[0])


def is_chain(found):
    """Whether there is one entry at each height, each after the one before."""
    before = []
    for at, ((height, identity), entry) in enumerate(found):
        if height != at + 1 or entry["predicate"].get("parents", []) != before:
            return False
        before = [f"sha256:{identity}"]
    return True


class Races:
    def __init__(self, tally, seed, case, directory):
        self.tally, self.case = tally, case
        self.random = random.Random(f"{seed}/{case}")
        self.dir = directory
        self.dir.mkdir()
        self.registry = OnServe(self.dir) if case == "serve" else OnDockerRegistry(self.dir)
        written = Written()
        stale = STALE if case == "stale" else 0
        # Each pusher has a way of its own: it sees what it has written, and the rest as old as it comes.
        self.ways = [Rough(self.registry.port, f"{seed}/{case}/{n}", DELAY, stale, written) for n in range(MOST)]
        self.stores = [Store(self.dir / f"home-{number}" / "store") for number in range(MOST)]
        self.models = [self.dir / f"model-{number}" for number in range(MOST)]
        self.gate = self.dir / "gate"
        self.gate.touch()

    def start(self, number, name):
        """Starts a pusher that waits at the gate: a shared lock, granted to all at once."""
        environment = self.stores[number].environment(
            {"MODELKEEP_SETTLE": SETTLE, "MODELKEEP_AUTHOR": f"pusher {number}"}
        )
        return subprocess.Popen(
            ["flock", "--shared", self.gate, BINARY, "push", self.models[number], f"{self.ways[number].host}/{name}", "--json"],
            stdin=subprocess.DEVNULL, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True,
            env=environment, cwd=self.dir,
        )  # fmt: skip

    def race(self, number):
        # A history that conflicts takes nothing more; others grow for a while.
        name = f"race/{self.case}-{number if self.case == 'stale' else number // 10}"
        version = f"0.{number}.0"
        pushers = 2 + number % (MOST - 1)
        # Now and then two have the same content: a push that somebody has begun twice.
        same = number % 4 == 3
        contents = [0 if same and index == 1 else index for index in range(pushers)]
        for model, content in zip(self.models, contents):
            remove(model)
            write_model(model, [1024], f"{number}/{content}")
        with open(self.gate) as gate:
            flock(gate, LOCK_EX)
            started = [self.start(index, f"{name}:{version}") for index in range(pushers)]
            flock(gate, LOCK_UN)
        try:
            said = [pusher.communicate(timeout=LONGEST) for pusher in started]
        finally:
            for pusher in started:
                pusher.kill()
                pusher.wait()
        statuses = [pusher.returncode for pusher in started]
        told = "\n".join(err for _, err in said)
        digests = {json.loads(out)["digest"] for (out, _), status in zip(said, statuses) if status == 0}
        winners = {contents[index] for index, status in enumerate(statuses) if status == 0}
        self.tally.add(f"{self.case}: pushes", pushers)
        self.tally.add(f"{self.case}: pushes that were refused", statuses.count(EXIT_EXISTS))
        if self.case == "stale":
            self.judge_stale(name, version, statuses, winners, digests, told)
            return
        check(set(statuses) <= {0, EXIT_EXISTS}, f"exit statuses {statuses}\n{told}")
        check(len(winners) == 1, f"{len(winners)} contents won: {statuses}\n{told}")
        check(statuses.count(0) == contents.count(*winners), f"not all who pushed the winner's content won: {statuses}")
        self.check_files(name, version, digests)

    def check_files(self, name, version, digests):
        """The raw files have one entry about the version, and it is the winner's."""
        tags = self.registry.tags(name)
        check({tags[version]} == digests, f"{digests} won, and the tag is {tags[version]}")
        about = [entry for entry in self.registry.entries(name) if entry["subject"][0]["name"] == version]
        check(len(about) == 1, f"{len(about)} entries publish {version}")
        check({about[0]["predicate"]["manifest"]["digest"]} == digests, "the entry names another manifest")
        if self.case != "serve":
            check(is_chain(places(self.registry, name)), f"the entries of {name} are no chain")
        place = f"c.{about[0]['predicate']['height']:08}."
        rounds = {tag.split(".")[2] for tag in tags if tag.startswith(place)}
        self.tally.add(f"{self.case}: races that took more than one round of claims", len(rounds) > 1)

    def judge_stale(self, name, version, statuses, winners, digests, told):
        check(set(statuses) <= {0, 1, EXIT_EXISTS, EXIT_CONFLICT}, f"exit statuses {statuses}\n{told}")
        self.tally.add("stale: pushes that came to no end, and said so", statuses.count(1) + statuses.count(EXIT_CONFLICT))
        reader = Store(self.dir / "reader" / "store")
        try:
            reference = f"127.0.0.1:{self.registry.port}/{name}"
            read = subprocess.run(
                [BINARY, "versions", reference, "--json"],
                stdin=subprocess.DEVNULL, capture_output=True, text=True,
                env=reader.environment({"MODELKEEP_SETTLE": SETTLE}), cwd=self.dir, timeout=LONGEST,
            )  # fmt: skip
        finally:
            remove(self.dir / "reader")
        found = places(self.registry, name)
        if read.returncode == EXIT_CONFLICT:
            check(not is_chain(found), f"it is a chain, and was called a conflict:\n{read.stderr}")
            self.tally.add("stale: conflicts that the reader was told of")
            return
        check(read.returncode == 0, f"the reader ended with {read.returncode}:\n{read.stderr}\n{told}")
        check(is_chain(found), "it is no chain, and the reader was told nothing")
        check(len(winners) <= 1, f"{len(winners)} contents won, and nobody was told")
        if winners:
            listed = {entry["digest"] for entry in json.loads(read.stdout)["versions"] if entry["version"] == version}
            check(listed == digests, f"{digests} won, and {listed} is listed")
        self.tally.add("stale: races without a conflict", 1)

    def end(self):
        for way in self.ways:
            self.tally.add(f"{self.case}: lists that came old", way.old_lists)
            way.close()
        self.registry.end()


def main():
    asked = arguments(__doc__, rounds=100)
    binary()
    tally = Tally("Races of 2 to 8 pushers for one version of a registry", asked.write)
    directory = scratch()
    try:
        for case in ("serve", "docker", "stale"):
            races = Races(tally, asked.seed, case, directory / case)
            try:
                for number in range(asked.rounds):
                    tally.trial(f"{case}, round {number}", races.race, number)
            finally:
                tally.trial(f"{case}: the end", races.end)
        tally.require("docker: races that took more than one round of claims")
        tally.require("stale: lists that came old")
        tally.require("stale: conflicts that the reader was told of")
    finally:
        remove(directory)
    tally.end()


if __name__ == "__main__":
    main()
