#!/usr/bin/env python3
"""32 pushers race for one tag: through two server processes on one store, and the command line.

Each has content of its own. In every second round half of the HTTP pushers add an entry to the history instead of pushing
a tag. Exactly one must win, every other be refused (409, exit status 4), and the tag
be the winner's: in the raw files, and as both servers tell it. After `--rounds` of them come `--kills` rounds
in which one of the servers is killed with SIGKILL while they push, and restarted; whoever lost its reply
then reads the tag, and sends its manifest again: the winner's is taken, any other refused.

The HTTP pushers send all of a request but its last byte, and then all their last bytes at once. The program
needs longer from its start to its tag than they do, so the last bytes come later from round to round.
"""

import json
import random
import socket
import subprocess
import time
from fcntl import LOCK_EX, LOCK_UN, flock
from http.client import HTTPResponse
from statistics import median

from common import Tally, arguments, binary, check
from kept import BINARY, EXIT_EXISTS, Store, remove, scratch, write_model
from servers import LOST, MANIFEST, TIMEOUT, Answer, Server, descriptor, digest_of, image
from store_check import check_store, sha256

REPOSITORY = "race"
HTTP_PUSHERS = 14  # at each of the two servers
PROGRAMS = 4
STEPS = 6  # rounds in which the HTTP pushers' last bytes go from first of all to behind the programs
LAYER = b"a layer that all of them have " * 40


class HttpPusher:
    """A pusher with a socket of its own, whose manifest waits at the server for its last byte."""

    def __init__(self, server, number, name):
        self.server, self.name = server, name
        self.config = json.dumps({"round": number, "pusher": name}).encode()
        self.manifest = image(self.config, [LAYER])
        self.digest = digest_of(self.manifest)
        self.outcome = None
        self.open()

    def open(self):
        self.socket = socket.create_connection((self.server.hostname, self.server.port), TIMEOUT)
        self.socket.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)

    def request(self, method, path, body, media_type):
        head = (
            f"{method} {path} HTTP/1.1\r\nHost: {self.server.host}\r\n"
            f"Content-Type: {media_type}\r\nContent-Length: {len(body)}\r\n\r\n"
        )
        return head.encode() + body

    def answer(self):
        response = HTTPResponse(self.socket)
        response.begin()
        return Answer(response.status, response.headers, response.read())

    def send_blob(self, data):
        path = f"/v2/{REPOSITORY}/blobs/uploads/?digest={digest_of(data)}"
        self.socket.sendall(self.request("POST", path, data, "application/octet-stream"))

    def aim(self, version):
        self.put = self.request("PUT", f"/v2/{REPOSITORY}/manifests/{version}", self.manifest, MANIFEST)
        self.socket.sendall(self.put[:-1])

    def fire(self):
        try:
            self.socket.sendall(self.put[-1:])
        except LOST:
            pass  # then there is no answer either

    def hear(self):
        """What became of it: `won`, `refused`, or `lost` when no answer came."""
        try:
            answer = self.answer()
        except LOST:
            self.outcome = "lost"
            return
        if answer.status == 201:
            self.outcome = "won"
        else:
            refused = answer.status == 409 and answer.code() in ("DENIED", "HISTORY_OVERTAKEN")
            check(refused, f"{self.name} was told {answer}")
            self.outcome = "refused"

    def again(self, client, version):
        """What a client sends that did not hear what became of it."""
        return client.put_manifest(REPOSITORY, version, self.manifest)


class EntryPusher(HttpPusher):
    """A pusher that adds the next entry of the history itself, as `modelkeep push` does."""

    def __init__(self, server, number, name, before):
        super().__init__(server, number, name)
        self.before = before

    def aim(self, version):
        path = f"/v2/{REPOSITORY}/manifests/{self.digest}"
        self.socket.sendall(self.request("PUT", path, self.manifest, MANIFEST))
        answer = self.answer()
        check(answer.status == 201, f"the manifest of {self.name}: {answer}")
        self.entry = entry_after(self.before, version, self.digest, len(self.manifest))
        self.put = self.request("POST", f"/v2/{REPOSITORY}/_modelkeep/history", self.entry, "application/json")
        self.socket.sendall(self.put[:-1])

    def again(self, client, version):
        return client.ask("POST", f"/v2/{REPOSITORY}/_modelkeep/history", self.entry)


def entry_after(before, version, digest, size):
    """The entry that follows `before`, as docs/reference/history.md has it."""
    ids = [digest_of(entry) for entry in before]
    predicate = {
        "height": len(before) + 1, "time": "2026-11-23T10:00:00Z", "author": "a pusher", "op": "publish",
        "manifest": {"mediaType": MANIFEST, "digest": digest, "size": size},
    }  # fmt: skip
    if ids:
        predicate |= {"history": ids[0], "parents": ids[-1:]}
    statement = {
        "_type": "https://in-toto.io/Statement/v1",
        "subject": [{"name": version, "digest": {"sha256": digest.removeprefix("sha256:")}}],
        "predicateType": "https://modelkeep.dev/history/v1",
        "predicate": predicate,
    }
    return json.dumps(statement).encode()


class Races:
    def __init__(self, tally, seed):
        self.tally, self.random = tally, random.Random(seed)
        self.dir = scratch()
        self.store = Store(self.dir / "home")
        self.gate = self.dir / "gate"
        self.gate.touch()
        self.models = [self.dir / f"model-{n}" for n in range(PROGRAMS)]
        self.others = set()  # manifests that a killed server may have taken without a tag
        self.seconds = []  # of programs, from the open gate to their end
        self.http_seconds = []
        self.servers = [Server(self.store), Server(self.store)]

    def programs(self, version):
        """Starts the programs, which wait at the gate: a shared lock, granted to all at once."""
        return [
            subprocess.Popen(
                ["flock", "--shared", self.gate, BINARY, "push", model, f"{REPOSITORY}:{version}", "--json"],
                stdin=subprocess.DEVNULL, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True,
                env=self.store.environment(), cwd=self.dir,
            )
            for model in self.models
        ]  # fmt: skip

    def pushers(self, number, version):
        """HTTP pushers whose blobs are stored and whose manifests are sent but for a byte."""
        pushers = []
        folder = self.store.home / "v1" / "repos" / REPOSITORY / "_history"
        before = [path.read_bytes() for path in sorted(folder.iterdir())] if folder.exists() else []
        for index, server in enumerate(self.servers):
            # An entry has less to write than a tag: where both race, entries win.
            entries = HTTP_PUSHERS // 2 if number % 2 else 0
            pushers += [HttpPusher(server, number, f"{index}/{n}") for n in range(HTTP_PUSHERS - entries)]
            pushers += [EntryPusher(server, number, f"{index}/entry/{n}", before) for n in range(entries)]
        for data in (lambda pusher: pusher.config, lambda pusher: LAYER):
            for pusher in pushers:
                pusher.send_blob(data(pusher))
            for pusher in pushers:
                answer = pusher.answer()
                check(answer.status == 201, f"a blob of {pusher.name}: {answer}")
        for pusher in pushers:
            pusher.aim(version)
        self.random.shuffle(pushers)
        return pushers

    def race(self, number, kill):
        version = f"0.{number}.0"
        for index, model in enumerate(self.models):
            remove(model)
            write_model(model, [64 * 1024], f"{number}/{index}")
        pushers = self.pushers(number, version)
        killed = None
        with open(self.gate) as gate:
            flock(gate, LOCK_EX)
            programs = self.programs(version)
            flock(gate, LOCK_UN)
        try:
            began = time.monotonic()
            # Programs that have ended by then end the wait.
            late = 0 if kill else (number % STEPS) / (STEPS - 1) * 1.2 * median(self.seconds or [0.1])
            wait_until(began + late)
            fired = time.monotonic()
            for pusher in pushers:
                pusher.fire()
            if kill:
                killed = self.random.choice(self.servers)
                wait_until(fired + self.random.uniform(0, median(self.http_seconds or [0.05])))
                killed.kill()
            for pusher in pushers:
                pusher.hear()
            heard = time.monotonic() - fired
            said = [program.communicate(timeout=TIMEOUT) for program in programs]
        finally:
            if killed:
                killed.restart()
            for program in programs:
                program.kill()
                program.wait()
        if not kill:
            self.http_seconds.append(heard)
        self.seconds.append(time.monotonic() - began)
        try:
            self.judge(number, version, pushers, programs, said, killed)
        finally:
            for pusher in pushers:
                pusher.socket.close()

    def judge(self, number, version, pushers, programs, said, killed):
        for pusher in pushers:
            if pusher.outcome == "lost":
                check(pusher.server is killed, f"{pusher.name} lost its reply, and nobody killed its server")
                self.tally.add("replies that a kill took")
                self.others.add(pusher.digest)
                self.resolve(pusher, version)
        self.others.update(pusher.digest for pusher in pushers if isinstance(pusher, EntryPusher))
        winners = [(pusher.digest, pusher.config) for pusher in pushers if pusher.outcome == "won"]
        by_http = len(winners)
        by_entry = any(pusher.outcome == "won" and isinstance(pusher, EntryPusher) for pusher in pushers)
        statuses = [program.returncode for program in programs]
        told = "\n".join(err for _, err in said)
        check(set(statuses) <= {0, EXIT_EXISTS}, f"exit statuses {statuses}\n{told}")
        winners += [(json.loads(out)["digest"], None) for (out, _), status in zip(said, statuses) if status == 0]
        refused = sum(pusher.outcome == "refused" for pusher in pushers) + statuses.count(EXIT_EXISTS)
        check(len(winners) == 1, f"{len(winners)} winners: {winners}")
        check(refused == len(pushers) + len(programs) - 1, f"{refused} were refused")
        self.tally.add("rounds that a pusher over HTTP won" if by_http else "rounds that the command line won")
        if by_entry:
            self.tally.add("rounds that an entry won")
        self.tally.add("pushers that were refused", refused)
        digest, config = winners[0]
        self.check_files(number, version, digest, config)
        for server in self.servers:
            told = server.client().insist(200, "HEAD", f"/v2/{REPOSITORY}/manifests/{version}", Accept=MANIFEST)
            check(told.fields["Docker-Content-Digest"] == digest, f"a server says {told.fields['Docker-Content-Digest']}")

    def resolve(self, pusher, version):
        """What a client does that does not know: it reads, and sends again."""
        client = pusher.server.client()
        read = client.manifest(REPOSITORY, version)
        check(read.status == 200, f"28 pushers and the others are done, and the tag is {read}")
        mine = digest_of(read.body) == pusher.digest
        again = pusher.again(client, version)
        check(again.status == (201 if mine else 409), f"the tag is {'its own' if mine else 'another'}, and sent again: {again}")
        pusher.outcome = "won" if mine else "refused"
        if mine:
            self.tally.add("winners whose reply a kill took")
        client.close()

    def check_files(self, number, version, digest, config):
        """The winner's manifest is what the tag and the newest entry say, and nobody else's content is in it."""
        folder = self.store.home / "v1" / "repos" / REPOSITORY
        tag = json.loads((folder / "_tags" / version).read_bytes())
        check(tag["digest"] == digest, f"{digest} won, the tag is {tag['digest']}")
        entries = sorted((folder / "_history").iterdir())
        check(len(entries) == number + 1, f"{len(entries)} entries after {number + 1} rounds")
        entry = json.loads(entries[-1].read_bytes())
        check(entry["subject"][0]["name"] == version, f"the newest entry is about {entry['subject'][0]['name']}")
        check(entry["predicate"]["manifest"]["digest"] == digest, "the newest entry names another manifest")
        hexadecimal = digest.removeprefix("sha256:")
        manifest = (self.store.home / "v1" / "blobs" / "sha256" / hexadecimal[:2] / hexadecimal).read_bytes()
        check(sha256(manifest) == digest, "the manifest is not what its name says")
        if config is not None:
            check(json.loads(manifest)["config"]["digest"] == descriptor("", config)["digest"], "it has another's content")

    def check_all(self, rounds):
        self.store.run("verify", "--all")
        listed = {entry["version"]: entry["digest"] for entry in self.store.json("versions", REPOSITORY)["versions"]}
        found = check_store(self.store.home, REPOSITORY, self.others)
        check(found == listed, f"the raw files say {found}, versions says {listed}")
        check(len(listed) == rounds, f"{len(listed)} versions after {rounds} rounds")

    def end(self):
        for server in self.servers:
            server.stop()
            server.check_log()


def wait_until(moment):
    """The start of a race is a matter of time, and of nothing that could be waited for."""
    left = moment - time.monotonic()
    if left > 0:
        time.sleep(left)


def main():
    asked = arguments(__doc__, rounds=6, kills=3)
    binary()
    tally = Tally("Races of 32 pushers, over HTTP to two servers and on the command line", asked.write)
    races = Races(tally, asked.seed)
    try:
        rounds = asked.rounds + asked.kills
        for number in range(rounds):
            kill = number >= asked.rounds
            tally.add("rounds with a server killed" if kill else "rounds without a kill")
            tally.trial(f"round {number}", races.race, number, kill)
        tally.trial("the raw files agree with what is listed", races.check_all, rounds)
        tally.trial("the servers end as they are asked to", races.end)
        tally.require("replies that a kill took")
        tally.require("rounds that a pusher over HTTP won")
        tally.require("rounds that an entry won")
        tally.require("rounds that the command line won")
    finally:
        for server in races.servers:
            server.kill()
        remove(races.dir)
    tally.end()


if __name__ == "__main__":
    main()
