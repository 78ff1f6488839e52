"""What somebody can do who may write where a registry keeps its data, and what modelkeep makes of it: docker-registry."""

import json
import shutil
import time

from base import PeerTest
from engines import Dockerd
from kept import EXIT_DAMAGED, EXIT_FAILED, run, settle, write_model
from remote import Registry
from servers import Client

EXIT_POLICY, EXIT_CONFLICT = 7, 8
NAME = "team/model"


class Tamper(PeerTest):
    def setUp(self):
        super().setUp()
        self.registry = Registry(self.dir / "registry")
        self.addCleanup(self.registry.stop)
        self.reference = f"{self.registry.host}/{NAME}"
        key = self.dir / "key.pem"
        self.store.run("keys", "new", key, "--no-passphrase")
        self.signing = {"MODELKEEP_SIGNING_KEY": str(key), "MODELKEEP_SETTLE": "20ms"}
        self.project = self.dir / "project"
        self.project.mkdir()
        (self.project / "modelkeep.toml").write_text('[repository]\nname = "model"\naliases = ["production"]\n')
        self.models = {}
        self.consumer = self.another_store("consumer/home")

    @property
    def raw(self):
        return self.registry.data / "docker/registry/v2/repositories" / NAME

    @property
    def tags(self):
        return self.raw / "_manifests/tags"

    def publish(self, version, store=None):
        model = write_model(self.dir / f"model-{version}", (4096,), seed=version)
        pushed = self.write("push", settle(model), f"{self.reference}:{version}", store=store)
        self.models[version] = (model, pushed["digest"])
        return pushed["digest"]

    def write(self, *words, store=None):
        return (store or self.store).json(*words, env=self.signing, cwd=self.project)

    def published(self):
        """Three versions, and an alias that was moved twice."""
        for version in ("1.0", "1.1", "1.2"):
            self.publish(version)
        self.write("promote", f"{self.reference}:1.0", "production")
        self.write("promote", f"{self.reference}:1.1", "production")

    def ask(self, *words, expect=0, store=None, env=None, cwd=None):
        env = {"MODELKEEP_SETTLE": "20ms", **(env or {})}
        return (store or self.consumer).run(*words, expect=expect, env=env, cwd=cwd)

    def verify(self, *words, expect=0, store=None, env=None):
        return json.loads(self.ask("verify", self.reference, *words, "--json", expect=expect, store=store, env=env).stdout)

    def pulls(self, name, version, store=None, **options):
        out = self.dir / "out"
        self.ask("pull", f"{self.reference}:{name}", "-o", out, store=store, **options)
        run(["diff", "-r", self.models[version][0], out])
        shutil.rmtree(out)

    # The raw storage.

    def link(self, tag):
        return self.tags / tag / "current/link"

    def points_at(self, tag):
        return self.link(tag).read_text()

    def point(self, tag, digest):
        algorithm, hexadecimal = digest.split(":")
        for link in (self.link(tag), self.tags / tag / "index" / algorithm / hexadecimal / "link"):
            link.parent.mkdir(parents=True, exist_ok=True)
            link.write_text(digest)

    def remove(self, tag):
        shutil.rmtree(self.tags / tag)

    def names(self, prefix):
        return sorted(path.name for path in self.tags.iterdir() if path.name.startswith(prefix))

    def stranger(self):
        """The digest of an image that nobody published who may."""
        client = Client("127.0.0.1", self.registry.port)
        self.addCleanup(client.close)
        manifest = json.loads(client.manifest(NAME, self.models["1.0"][1]).body)
        manifest["annotations"]["evil"] = "yes"
        answer = client.put_manifest(NAME, "evil", json.dumps(manifest).encode())
        self.assertEqual(answer.status, 201, answer)
        digest = self.points_at("evil")
        self.remove("evil")
        return digest

    # What can be done to tags.

    def test_version_tags_that_were_moved_deleted_or_swapped_change_nothing_and_are_put_back(self):
        self.published()
        right = {tag: self.points_at(tag) for tag in ("1.0", "1.1", "1.2", "production")}
        evil = self.stranger()
        tamperings = {
            "moved": {tag: evil for tag in right},
            "deleted": {tag: None for tag in right},
            "swapped": {"1.0": right["1.1"], "1.1": right["1.0"]},
            "rolled back": {"1.2": right["1.1"], "production": right["1.0"]},
        }
        for fresh in (False, True):
            for what, changes in tamperings.items():
                with self.subTest(what, fresh=fresh):
                    store = self.another_store(f"new {what}/home") if fresh else self.consumer
                    for tag, digest in changes.items():
                        self.point(tag, digest) if digest else self.remove(tag)
                    for name, version in (("1.0", "1.0"), ("1.1", "1.1"), ("1.2", "1.2"), ("production", "1.1")):
                        self.pulls(name, version, store=store)
                    found = self.verify(expect=EXIT_DAMAGED, store=store)
                    self.assertEqual(len(found["problems"]), len(changes), found)
                    for tag in changes:
                        self.assertTrue(any(f":{tag}: the tag" in text and right[tag] in text for text in found["problems"]))
                    healed = self.verify("--heal", store=store)
                    self.assertEqual((len(healed["healed"]), healed["problems"]), (len(changes), []))
                    self.assertEqual({tag: self.points_at(tag) for tag in right}, right)
                    self.assertEqual(self.verify(store=store)["healed"], [])

    def test_a_tag_that_the_signed_history_does_not_have_is_no_version(self):
        self.published()
        evil = self.stranger()
        self.point("2.0", evil)
        for words in (("pull", f"{self.reference}:2.0", "-o", self.dir / "out"), ("show", f"{self.reference}:2.0"),
                      ("copy", f"{self.reference}:2.0", "copied:2.0"), ("diff", f"{self.reference}:1.0", f"{self.reference}:2.0")):  # fmt: skip
            self.assertIn("no version", self.ask(*words, expect=EXIT_DAMAGED).stderr)
        self.assertIn(f"{self.reference}:2.0 {evil}", self.verify()["unlisted"])
        # A fresh client that does not see the entry of a version does not see the version, whatever its tag says.
        self.remove("2.0")
        self.publish("1.3")
        (newest,) = [tag for tag in self.names("l.") if tag.startswith("l.00000006")]
        self.remove(newest)
        refused = self.ask("pull", f"{self.reference}:1.3", "-o", self.dir / "out", expect=EXIT_DAMAGED)
        self.assertIn("no version", refused.stderr)

    def test_docker_pulls_the_right_bytes_by_tag_after_healing(self):
        docker = Dockerd()
        self.addCleanup(docker.stop)
        self.published()
        image = f"{self.reference}:1.2"
        self.point("1.2", self.stranger())
        docker("pull", image)
        docker("image", "rm", "--force", image)
        self.verify("--heal")
        docker("pull", image)
        run(["diff", "-r", self.models["1.2"][0], docker.copy_out(image, "/models", self.dir / "docker")])
        docker("image", "rm", "--force", image)

    def test_tags_of_the_history_that_were_deleted_or_moved_are_noticed_and_put_back(self):
        self.published()
        self.verify()
        right = {tag: self.points_at(tag) for tag in self.names("l.")}
        self.assertEqual(len(right), 5)
        for tag, digest in right.items():
            with self.subTest("deleted", tag=tag):
                self.remove(tag)
                refused = self.ask("pull", f"{self.reference}:1.0", "-o", self.dir / "out", expect=EXIT_CONFLICT)
                self.assertIn("--heal", refused.stderr)
                self.assertEqual(len(self.verify(expect=EXIT_DAMAGED)["problems"]), 1)
                self.assertEqual(len(self.verify("--heal")["healed"]), 1)
                self.assertEqual(self.points_at(tag), digest)
                self.pulls("1.0", "1.0")
        for tag, digest in right.items():
            for other in [self.points_at("1.0"), *right.values()]:
                if other == digest:
                    continue
                with self.subTest("moved", tag=tag, other=other):
                    self.point(tag, other)
                    self.pulls("production", "1.1")  # nothing is read again that was seen
                    self.assertEqual(len(self.verify(expect=EXIT_DAMAGED)["problems"]), 1)
                    self.assertEqual(len(self.verify("--heal")["healed"]), 1)
                    self.assertEqual(self.points_at(tag), digest)

    def test_claims_that_were_deleted_or_moved_change_nothing(self):
        self.published()
        for claim in self.names("c."):
            self.point(claim, self.points_at("1.0"))
        self.pulls("1.2", "1.2")
        self.verify()
        for claim in self.names("c."):
            self.remove(claim)
        fresh = self.another_store("fresh/home")
        self.pulls("1.2", "1.2", store=fresh)
        self.verify(store=fresh)

    def test_an_older_state_is_refused_and_what_was_seen_is_put_back(self):
        self.publish("1.0")
        published = time.monotonic()
        before = self.dir / "before"
        shutil.copytree(self.tags, before)
        self.publish("1.1")
        self.ask("lock", f"{self.reference}:1.1", cwd=self.consumer.home)
        self.pulls("1.1", "1.1")
        shutil.rmtree(self.tags)
        shutil.copytree(before, self.tags)
        refused = self.ask("pull", f"{self.reference}:1.0", "-o", self.dir / "out", expect=EXIT_CONFLICT)
        evidence = self.consumer.home / "known/evidence"
        self.assertIn(str(evidence), refused.stderr)
        self.assertTrue(any(path.is_file() for path in evidence.rglob("*")))
        # Nobody who has not seen it can know; whoever has a lock file can.
        fresh = self.another_store("fresh/home")
        self.pulls("1.0", "1.0", store=fresh)
        shutil.copy(self.consumer.home / "modelkeep.lock", fresh.home / "modelkeep.lock")
        self.ask("lock", expect=EXIT_CONFLICT, store=fresh, cwd=fresh.home)
        self.ask("pull", "--locked", "-o", self.dir / "locked", store=fresh, cwd=fresh.home)
        run(["diff", "-r", self.models["1.1"][0], self.dir / "locked"])
        # Or whoever wants to be shown no old history.
        stale = {"MODELKEEP_MAX_AGE": "1s"}
        # Times of entries are whole seconds.
        time.sleep(max(0, published + 2.5 - time.monotonic()))
        self.assertIn("max_age", self.ask("lock", f"{self.reference}:1.0", expect=EXIT_POLICY, store=fresh, env=stale).stderr)
        healed = self.verify("--heal")
        self.assertEqual(len(healed["healed"]), 2, healed)
        self.pulls("1.1", "1.1")
        self.ask("lock", store=fresh, cwd=fresh.home)

    def test_what_was_deleted_altogether_is_said_and_not_healed(self):
        self.publish("1.0")
        before = self.dir / "before"
        shutil.copytree(self.raw, before)
        self.publish("1.1")
        self.pulls("1.1", "1.1")
        shutil.rmtree(self.raw)
        shutil.copytree(before, self.raw)
        self.ask("pull", f"{self.reference}:1.1", "-o", self.dir / "out", expect=EXIT_CONFLICT)
        found = self.verify("--heal", expect=EXIT_DAMAGED)
        self.assertTrue(any("cannot be put back" in text for text in found["problems"]), found)

    def test_a_split_view_is_found_out_when_lock_files_meet(self):
        self.publish("1.0")
        fork = self.dir / "fork"
        shutil.copytree(self.registry.data, fork)
        self.publish("1.1")
        ada, ben = self.another_store("ada/home"), self.another_store("ben/home")
        self.ask("lock", f"{self.reference}:1.1", store=ada, cwd=ada.home)
        # Ben is shown what the same key has signed elsewhere.
        shown_to_ada = self.dir / "ada's"
        shutil.move(self.registry.data, shown_to_ada)
        shutil.move(fork, self.registry.data)
        self.publish("1.2", store=self.another_store("publisher/home"))
        self.ask("lock", f"{self.reference}:1.0", store=ben, cwd=ben.home)
        shutil.copy(ada.home / "modelkeep.lock", ben.home / "modelkeep.lock")
        refused = self.ask("lock", store=ben, cwd=ben.home, expect=EXIT_CONFLICT)
        self.assertIn("there are two histories", refused.stderr)
        self.ask("verify", self.reference, store=ben, cwd=ben.home, expect=EXIT_CONFLICT)
        # So is Ada, when she is shown what Ben was.
        refused = self.ask("pull", f"{self.reference}:1.0", "-o", self.dir / "out", store=ada, expect=EXIT_CONFLICT)
        kept = list((ada.home / "known/evidence").rglob("*.json"))
        self.assertTrue(kept, refused.stderr)

    def test_two_entries_for_one_place_are_a_conflict_for_everybody(self):
        self.publish("1.0")
        fork = self.dir / "fork"
        shutil.copytree(self.raw, fork)
        self.publish("1.1")
        one = self.dir / "one"
        shutil.move(self.raw, one)
        shutil.move(fork, self.raw)
        self.publish("1.2", store=self.another_store("publisher/home"))
        # Both lie in one repository.
        shutil.copytree(one, self.raw, dirs_exist_ok=True)
        for store in (self.another_store("fresh/home"), self.consumer):
            self.ask("pull", f"{self.reference}:1.0", "-o", self.dir / "out", store=store, expect=EXIT_CONFLICT)
            kept = list((store.home / "known/evidence").rglob("*.json"))
            self.assertEqual(len(kept), 2, kept)

    # What can be done to bytes.

    def changed(self, path, every):
        """Changes one byte of a file after the other, and puts it back."""
        original = path.read_bytes()
        for at in range(0, len(original), every):
            path.write_bytes(original[:at] + bytes([original[at] ^ 1]) + original[at + 1 :])
            yield at
        path.write_bytes(original)

    def test_changed_bytes_of_entries_signatures_and_lock_files_are_refused(self):
        self.publish("1.0")
        where = self.consumer.home
        self.ask("lock", f"{self.reference}:1.0", cwd=where)
        for at in self.changed(where / "modelkeep.lock", 29):
            with self.subTest("lock", at=at):
                self.ask("pull", "--locked", "-o", self.dir / "out", cwd=where, expect=EXIT_DAMAGED)
                self.ask("lock", cwd=where, expect=EXIT_DAMAGED)
        (entry,) = self.names("l.")
        for number, at in enumerate(self.changed(self.registry.blob(self.points_at(entry)), 211)):
            with self.subTest("entry", at=at):
                fresh = self.another_store(f"fresh {number}/home")
                # The registry itself fails where the bytes are no JSON any more.
                asked = self.ask("pull", f"{self.reference}:1.0", "-o", self.dir / "out", store=fresh, expect=None)
                self.assertIn(asked.returncode, (EXIT_FAILED, EXIT_DAMAGED), asked.stderr)
                self.assertFalse((self.dir / "out").exists())
        signature = json.loads((where / "modelkeep.lock").read_text().split("signature = ")[1].split("\n")[0])
        for at in self.changed(self.registry.blob(signature), 97):
            with self.subTest("signature", at=at):
                self.ask("pull", f"{self.reference}:1.0", "-o", self.dir / "out", "--with-signature", self.dir / "model.sig",
                         expect=EXIT_DAMAGED)  # fmt: skip
                shutil.rmtree(self.dir / "out", ignore_errors=True)
        self.pulls("1.0", "1.0")

    def test_a_lock_file_finds_its_bytes_in_a_mirror_and_holds_that_against_the_history(self):
        self.published()
        where = self.consumer.home
        self.ask("lock", f"{self.reference}:production", cwd=where)
        shutil.copytree(self.raw, self.raw.parent / "mirror")
        mirror = f"{self.registry.host}/team/mirror"
        moved = json.loads(self.ask("lock", f"{mirror}:production", "--json", cwd=where).stdout)
        self.assertEqual([model["repository"] for model in moved["models"]], [mirror])
        shutil.rmtree(self.raw)
        self.ask("pull", "--locked", "-o", self.dir / "out", cwd=where)
        run(["diff", "-r", self.models["1.1"][0], self.dir / "out"])
        # The place where nothing is any more is not the history that was there.
        self.ask("pull", f"{self.reference}:1.1", "-o", self.dir / "again", expect=EXIT_CONFLICT)
        self.ask("pull", f"{mirror}:2.0", "-o", self.dir / "again", expect=EXIT_FAILED)
