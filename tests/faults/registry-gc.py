#!/usr/bin/env python3
"""Pushes and pulls, over HTTP to two servers and on the command line, while collections follow each other.

The pushers share layers, ask whether a blob is there before they send it, mount, and upload in pieces; tags of
one repository move and are deleted, so that there is something to collect. The collections' period of grace is far
shorter than it ever should be, and some pushers dawdle: a push may then be told that a blob is not there, or that
its upload is no more, and must go through when it is done again. Nothing that was answered with success may be lost: every tag that
cannot move is complete whenever it is pulled, and all tags are at the end.
"""

import json
import random
import threading
import time

from common import Tally, arguments, binary, check
from kept import EXIT_FAILED, MIB, Store, assert_same_tree, remove, scratch, write_model, write_safetensors
from servers import Server, digest_of, image, with_digest
from store_check import check_store

GRACE = "1s"
KEPT, MOVING, PROGRAM = "kept", "moving", "program"  # repositories: the tags of one of them move
SHARED_LAYERS = 8
TAGS = 6  # of the repository whose tags move, for each of its pushers
TRIES = 30  # of one push, before it counts as lost
MODELS_PULLED = 20  # in the end
DAWDLE = 2  # seconds, at most, that a pusher waits before it goes on
# What a push may be told when a collection was faster.
MAY_BE_TOLD = {(404, "MANIFEST_BLOB_UNKNOWN"), (404, "BLOB_UPLOAD_UNKNOWN")}


class Collected(Exception):
    """Something that a push relied on was collected under it."""


class Load:
    def __init__(self, tally, seed):
        self.tally, self.seed = tally, seed
        self.dir = scratch()
        self.store = Store(self.dir / "home")
        self.servers = [
            Server(self.store, "--create-repositories", "IMMUTABLE"),
            Server(self.store, "--create-repositories", "MUTABLE"),
        ]
        source = random.Random(seed)
        self.shared = [source.randbytes(source.randrange(1, 512 * 1024)) for _ in range(SHARED_LAYERS)]
        self.stop = threading.Event()
        self.lock = threading.Lock()
        self.tags = {KEPT: {}, MOVING: {}}  # what every tag was last told to be, once that was answered
        self.models = {}  # what the program pushed: the seed of its weights, by version
        self.troubles = []

    def add(self, figure, count=1):
        with self.lock:
            self.tally.add(figure, count)

    # Pushing over HTTP.

    def judge(self, answer, *good):
        """Success, or the documented way in which a push fails beside a collection."""
        if answer.status in good:
            return answer
        if (answer.status, answer.code()) in MAY_BE_TOLD:
            self.add(f"times a push was told {answer.status} {answer.code()}")
            raise Collected
        raise AssertionError(f"a push was told {answer}")

    def offer(self, client, source, repository, data):
        """Sends a blob in one of the ways in which clients do, if it is not there."""
        digest = digest_of(data)
        if client.has_blob(repository, digest):
            self.add("blobs that were there already")
            return
        uploads = f"/v2/{repository}/blobs/uploads/"
        if source.random() < 0.3:
            other = KEPT if repository == MOVING else MOVING
            begun = self.judge(client.ask("POST", f"{uploads}?mount={digest}&from={other}", b""), 201, 202)
            if begun.status == 201:
                self.add("blobs that were mounted")
                return
        elif source.random() < 0.5:
            self.judge(client.ask("POST", f"{uploads}?digest={digest}", data), 201)
            self.add("blobs that were sent")
            return
        else:
            begun = self.judge(client.ask("POST", uploads, b""), 202)
        location = begun.fields["Location"]
        cut = source.randrange(len(data) + 1)
        if cut:
            pushed = client.ask("PATCH", location, data[:cut], Content_Range=f"0-{cut - 1}")
            location = self.judge(pushed, 202).fields["Location"]
        self.judge(client.ask("PUT", with_digest(location, digest), data[cut:]), 201)
        self.add("blobs that were sent")

    def push(self, client, source, repository, tag, document, layers):
        """Pushes until it is told that the tag is set; the manifest's digest."""
        manifest = image(document, layers)
        for attempt in range(TRIES):
            try:
                for data in [document, *layers]:
                    self.offer(client, source, repository, data)
                if attempt == 0 and source.random() < 0.2:
                    self.stop.wait(source.uniform(0, DAWDLE))
                    self.add("pushes that dawdled before their manifest")
                self.judge(client.put_manifest(repository, tag, manifest), 201)
                self.add("pushes over HTTP")
                return digest_of(manifest)
            except Collected:
                self.add("pushes over HTTP that were done again")
        raise AssertionError(f"{repository}:{tag} did not go through in {TRIES} tries")

    def pusher(self, number, server, repository):
        client, source = server.client(), random.Random(f"{self.seed}/{number}")
        count, left = 0, []
        while not self.stop.is_set():
            layers = source.sample(self.shared, 2) + [source.randbytes(source.randrange(0, 64 * 1024))]
            if left and source.random() < 0.5:
                layers.append(left.pop())  # which may be there still, or just go
            document = json.dumps({"pusher": number, "count": count}).encode()
            tag = f"{number}.{count}" if repository == KEPT else f"t{number}-{source.randrange(TAGS)}"
            digest = self.push(client, source, repository, tag, document, layers)
            with self.lock:
                before = self.tags[repository].get(tag)
                self.tags[repository][tag] = digest
            if repository == MOVING:
                self.delete(client, source, tag, before)
            if source.random() < 0.3:
                left.append(self.abandon(client, source, repository))
            count += 1

    def delete(self, client, source, tag, before):
        """Takes away the manifest that the tag named before, or the tag, or neither."""
        chance = source.random()
        if before and chance < 0.6:
            answer = client.ask("DELETE", f"/v2/{MOVING}/manifests/{before}")
            check(answer.status == 202, f"the deletion of a manifest was told {answer}")
            self.add("manifests that were deleted")
        elif chance > 0.8:
            answer = client.ask("DELETE", f"/v2/{MOVING}/manifests/{tag}")
            check(answer.status == 202, f"the deletion of a tag was told {answer}")
            self.add("tags that were deleted")
            with self.lock:
                del self.tags[MOVING][tag]

    def abandon(self, client, source, repository):
        """Leaves a blob that no manifest names yet, and an upload that nobody will finish; the blob."""
        data = source.randbytes(source.randrange(1, 256 * 1024))
        try:
            self.offer(client, source, repository, data)
        except Collected:
            self.add("blobs that were not worth another try")
        begun = client.insist(202, "POST", f"/v2/{repository}/blobs/uploads/", b"")
        client.ask("PATCH", begun.fields["Location"], data)
        self.add("uploads that were abandoned")
        return data

    # Pulling over HTTP.

    def pull(self, client, repository, reference):
        """Fetches a manifest and all of its blobs, and hashes them; what is missing, and the manifest's digest."""
        answer = client.manifest(repository, reference)
        if answer.status != 200:
            return [reference], None
        missing = []
        manifest = json.loads(answer.body)
        for blob in [manifest["config"], *manifest["layers"]]:
            got = client.fetch(repository, blob)
            if got.status != 200:
                missing.append(f"{blob['digest']}: {got}")
        return missing, digest_of(answer.body)

    def puller(self, number, server):
        client, source = server.client(), random.Random(f"{self.seed}/{number}")
        while not self.stop.is_set():
            repository = source.choice([KEPT, KEPT, MOVING])
            with self.lock:
                known = list(self.tags[repository].items())
            if not known:
                self.stop.wait(0.05)
                continue
            tag, digest = source.choice(known)
            missing, found = self.pull(client, repository, tag)
            if repository == KEPT:
                check(not missing and found == digest, f"{tag} is incomplete, or not {digest}: {found}, {missing}")
            elif missing:
                # Then the tag has moved or gone since: what it is now cannot be what was pulled.
                now = client.manifest(repository, tag)
                check(now.status == 404 or digest_of(now.body) != found, f"{tag} stands and lacks {missing}")
                self.add("pulls of a tag that moved away under them")
                continue
            self.add("pulls over HTTP, every blob hashed")

    # The command line.

    def model(self, version):
        model = self.dir / f"model-{version}"
        write_model(model, [9 * MIB], self.seed)
        write_safetensors(model / "head.safetensors", 64 * 1024, version)
        return model

    def programs(self):
        """Pushes a version and pulls one, over and over."""
        source, count = random.Random(self.seed), 0
        while not self.stop.is_set():
            version = f"1.{count}.0"
            model = self.model(version)
            try:
                for attempt in range(TRIES):
                    done = self.store.run("push", model, f"{PROGRAM}:{version}", expect=None)
                    if done.returncode == 0:
                        break
                    check(done.returncode == EXIT_FAILED and "is not in the repository" in done.stderr, f"a push ended so:\n{done.stderr}")
                    self.add("pushes on the command line that were done again")
                check(done.returncode == 0, f"{version} did not go through in {TRIES} tries:\n{done.stderr}")
            finally:
                remove(model)
            self.add("pushes on the command line")
            with self.lock:
                self.models[version] = version
            self.pull_model(source.choice(list(self.models)), "out")
            count += 1

    def pull_model(self, version, name):
        out, model = self.dir / name, self.model(version)
        try:
            self.store.run("pull", f"{PROGRAM}:{version}", "-o", out)
            assert_same_tree(model, out)
            self.add("pulls on the command line")
        finally:
            remove(out)
            remove(model)

    def collector(self):
        while not self.stop.is_set():
            self.collect()

    def collect(self):
        before = self.blobs()
        self.store.run("gc", "--grace", GRACE)
        self.add("collections")
        self.add("blobs that went", len(before - self.blobs()))

    def blobs(self):
        return {path.name for path in (self.store.home / "v1" / "blobs").glob("*/*/*")}

    # All of it.

    def guarded(self, action, *words):
        try:
            action(*words)
        except Exception as trouble:  # shown at the end, and ends the load
            self.troubles.append(trouble)
            self.stop.set()

    def run(self, seconds):
        one, two = self.servers
        tasks = [
            (self.pusher, 0, one, KEPT), (self.pusher, 1, two, KEPT), (self.pusher, 2, two, MOVING),
            (self.pusher, 3, two, MOVING), (self.puller, 10, one), (self.puller, 11, two),
            (self.programs,), (self.collector,),
        ]  # fmt: skip
        # The second server makes repositories whose tags move, the first those whose tags stay.
        first = random.Random(self.seed)
        for server, repository in ((one, KEPT), (two, MOVING)):
            self.tags[repository]["0.0.0"] = self.push(server.client(), first, repository, "0.0.0", b"{}", self.shared[:1])
        threads = [threading.Thread(target=self.guarded, args=task) for task in tasks]
        for thread in threads:
            thread.start()
        self.stop.wait(seconds)
        self.stop.set()
        for thread in threads:
            thread.join()
        for trouble in self.troubles:
            raise trouble

    def check_tags(self):
        """Every tag that was set is there, and complete, at both servers."""
        for server in self.servers:
            client = server.client()
            for repository, tags in self.tags.items():
                for tag, digest in tags.items():
                    missing, found = self.pull(client, repository, tag)
                    check(found == digest, f"{repository}:{tag} is {found}, and was set to {digest}")
                    check(not missing, f"{repository}:{tag} lacks {missing}")
        self.add("tags pulled in the end from both servers", sum(map(len, self.tags.values())))

    def check_models(self):
        """Some of what the program pushed; `verify` reads all of it."""
        versions = list(self.models)
        for version in versions[:: max(1, len(versions) // MODELS_PULLED)]:
            self.pull_model(version, "out")

    def check_files(self):
        self.store.run("verify", "--all")
        self.store.run("scrub")
        for repository, tags in self.tags.items():
            found = check_store(self.store.home, repository)
            check(found == tags, f"the raw files of {repository} say {found}, and the answers {tags}")
        check(set(check_store(self.store.home, PROGRAM)) == set(self.models), "the program's versions are others")

    def check_rest(self):
        """A collection leaves no less, and in the end no more, than the tags and manifests need."""
        time.sleep(2)  # the period of grace of the last pushes
        self.store.run("gc", "--grace", GRACE)
        needed = set()
        for folder in (self.store.home / "v1" / "repos").iterdir():
            for link in (folder / "_manifests").iterdir():
                digest = link.name.removeprefix("sha256.")
                needed.add(digest)
                manifest = json.loads((self.store.home / "v1" / "blobs" / "sha256" / digest[:2] / digest).read_bytes())
                for child in [manifest.get("config"), *manifest.get("layers", []), *manifest.get("manifests", [])]:
                    if child:
                        needed.add(child["digest"].removeprefix("sha256:"))
        left = self.blobs()
        check(needed <= left, f"collected, though manifests need them: {sorted(needed - left)}")
        self.add("blobs that nothing needs, after the last collection", len(left - needed))

    def end(self):
        for server in self.servers:
            server.stop()
            server.check_log()


def main():
    asked = arguments(__doc__, seconds=20)
    binary()
    tally = Tally("Pushes and pulls beside collections", asked.write)
    load = Load(tally, asked.seed)
    try:
        tally.trial("the load", load.run, asked.seconds)
        tally.trial("every tag is complete", load.check_tags)
        tally.trial("every model is complete", load.check_models)
        tally.trial("the raw files agree", load.check_files)
        tally.trial("the last collection", load.check_rest)
        tally.trial("every tag is complete after the last collection", load.check_tags)
        tally.trial("the servers end as they are asked to", load.end)
        tally.require("blobs that went")
        tally.require("pushes over HTTP that were done again")
    finally:
        for server in load.servers:
            server.kill()
        remove(load.dir)
    tally.end()


if __name__ == "__main__":
    main()
