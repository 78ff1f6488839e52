"""The history of a repository on Debian's docker-registry, which knows no histories."""

import shutil

from base import PeerTest
from kept import EXIT_DAMAGED, EXIT_EXISTS, Store, run, settle
from remote import Registry
from rough import Rough

EXIT_AUTHENTICATION, EXIT_POLICY, EXIT_CONFLICT = 3, 7, 8


class RemoteHistory(PeerTest):
    def setUp(self):
        super().setUp()
        self.peer = Registry(self.dir / "registry")
        self.addCleanup(self.peer.stop)
        self.reference = f"{self.peer.host}/team/model"
        self.model = settle(self.small_model(sizes=(1000,)))
        self.other = Store(self.dir / "other" / "home")

    def tags(self):
        """The directory in which docker-registry keeps the tags."""
        return self.peer.data / "docker/registry/v2/repositories/team/model/_manifests/tags"

    def places(self):
        return sorted(path.name for path in self.tags().iterdir() if path.name.startswith("l."))

    def change(self, text):
        (self.model / "config.json").write_text(text)
        settle(self.model)

    def settings(self):
        """A directory whose settings let production move."""
        directory = self.dir / "settings"
        directory.mkdir(exist_ok=True)
        (directory / "modelkeep.toml").write_text(
            f'[repository]\nname = "model"\nregistry = "{self.peer.host}/team"\naliases = ["production"]\n'
        )
        return directory

    def test_everybody_sees_the_same_and_adds_to_it(self):
        first = self.store.json("push", self.model, f"{self.reference}:1.0", env={"MODELKEEP_AUTHOR": "ada"})
        self.change("{}\n")
        self.other.run("push", self.model, f"{self.reference}:1.1", env={"MODELKEEP_AUTHOR": "bob"})
        place = self.settings()
        self.store.run("promote", "1.1", "production", "-m", "better", cwd=place)
        self.other.run("promote", "1.0", "production", cwd=place)
        self.store.run("rollback", "production", cwd=place)
        self.other.run("yank", "1.0", "--reason", "slow", cwd=place)
        pulled = self.store.run("pull", f"{self.reference}:1.0", "-o", self.dir / "no", expect=EXIT_POLICY)
        self.assertIn("slow", pulled.stderr)
        self.store.run("pull", f"{self.reference}@{first['digest']}", "-o", self.dir / "by-digest")
        self.store.run("restore", "1.0", cwd=place)
        logs = [store.json("log", self.reference)["events"] for store in (self.store, self.other)]
        self.assertEqual(*logs)
        said = [(event["op"], event["name"], event["version"]) for event in reversed(logs[0])]
        self.assertEqual(said, [
            ("publish", "1.0", None), ("publish", "1.1", None), ("alias", "production", "1.1"),
            ("alias", "production", "1.0"), ("alias", "production", "1.1"),
            ("yank", "1.0", None), ("restore", "1.0", None),
        ])  # fmt: skip
        self.assertEqual([event["author"] for event in logs[0][-2:]], ["bob", "ada"])
        aliases = self.other.json("aliases", self.reference)["aliases"]
        self.assertEqual([(alias["alias"], alias["version"]) for alias in aliases], [("production", "1.1")])
        run(["skopeo", "inspect", "--tls-verify=false", f"docker://{self.reference}:production"])
        self.assertEqual(len(self.places()), 7)

    def test_what_a_tag_says_counts_for_names_without_history_only(self):
        first = self.store.json("push", self.model, f"{self.reference}:1.0")
        self.change("{}\n")
        second = self.store.json("push", self.model, f"{self.reference}:1.1")
        skopeo = ["skopeo", "--insecure-policy", "copy", "--src-tls-verify=false", "--dest-tls-verify=false"]
        for target in ("1.0", "by-docker"):
            run([*skopeo, f"docker://{self.reference}:1.1", f"docker://{self.reference}:{target}"])
        listed = {entry["version"]: entry for entry in self.store.json("versions", self.reference)["versions"]}
        self.assertEqual({name: entry["digest"] for name, entry in listed.items()},
                         {"1.0": first["digest"], "1.1": second["digest"], "by-docker": second["digest"]})  # fmt: skip
        self.assertIsNone(listed["by-docker"]["author"])
        self.assertEqual(self.store.json("show", f"{self.reference}:1.0")["digest"], first["digest"])
        moved = self.store.json("verify", f"{self.reference}:1.0", expect=EXIT_DAMAGED)
        self.assertIn(second["digest"], moved["problems"][0])
        self.change("[]\n")
        self.store.run("push", self.model, f"{self.reference}:by-docker", expect=EXIT_EXISTS)

    def test_a_version_whose_tag_is_gone_is_there(self):
        self.store.run("push", self.model, f"{self.reference}:1.0")
        shutil.rmtree(self.tags() / "1.0")
        self.store.run("pull", f"{self.reference}:1.0", "-o", self.dir / "out")
        run(["diff", "-r", self.model, self.dir / "out"])
        # The next push finishes what looks as if its publisher had died.
        self.store.run("push", self.model, f"{self.reference}:1.1")
        self.assertTrue((self.tags() / "1.0").exists())

    def test_what_was_taken_away_below_others_is_said(self):
        for version in ("1.0", "1.1", "1.2"):
            self.store.run("push", self.model, f"{self.reference}:{version}")
        shutil.rmtree(self.tags() / self.places()[1])
        said = self.other.run("versions", self.reference, expect=EXIT_DAMAGED)
        self.assertIn("entry 2", said.stderr)
        self.other.run("push", self.model, f"{self.reference}:1.3", expect=EXIT_DAMAGED)
        # Who has seen it knows that it was there.
        self.assertIn("entry 2", self.store.run("versions", self.reference, expect=EXIT_CONFLICT).stderr)

    def test_two_entries_at_one_place_are_a_conflict_for_everybody(self):
        # The same place, won in two repositories: then both are put into one.
        self.store.run("push", self.model, f"{self.reference}:1.0")
        mine = self.places()[0]
        kept = self.dir / "kept"
        shutil.move(self.tags(), kept)
        self.change("{}\n")
        self.other.run("push", self.model, f"{self.reference}:1.0")
        shutil.copytree(kept / mine, self.tags() / mine)
        for words in (("versions", self.reference), ("pull", f"{self.reference}:1.0", "-o", self.dir / "out"),
                      ("push", self.model, f"{self.reference}:1.1")):  # fmt: skip
            said = self.store.run(*words, expect=EXIT_CONFLICT)
            self.assertIn("place 1", said.stderr)

    def test_a_push_asks_for_little(self):
        way = Rough(self.peer.port, 0, 0)
        self.addCleanup(way.close)
        name = f"{way.host}/team/model"
        self.store.run("push", self.model, f"{name}:1.0")
        self.change("{}\n")
        way.asked.clear()
        self.store.run("push", self.model, f"{name}:1.1", env={"MODELKEEP_SETTLE": "0s"})
        tags = [path for method, path in way.asked if "/tags/list" in path]
        manifests = [(method, path) for method, path in way.asked if "/manifests/" in path]
        writes = [path for method, path in manifests if method == "PUT"]
        # Itself by digest, three tags of the entry, and its version.
        self.assertEqual(len(writes), 5, writes)
        self.assertEqual(len(tags), 4, tags)
        self.assertLessEqual(len(manifests) - len(writes), 8, manifests)

    def test_a_registry_that_lists_no_tags_is_read_by_digest(self):
        pushed = self.store.json("push", self.model, f"{self.reference}:1.0")
        way = Rough(self.peer.port, 0, 0, lists=False)
        self.addCleanup(way.close)
        name = f"{way.host}/team/model"
        for words in (("pull", f"{name}:1.0", "-o", self.dir / "no"), ("push", self.model, f"{name}:1.1")):
            said = self.store.run(*words, expect=EXIT_AUTHENTICATION)
            self.assertIn("list the tags of team/model", said.stderr)
            self.assertIn("@sha256:", said.stderr)
        self.store.run("pull", f"{name}@{pushed['digest']}", "-o", self.dir / "out")
