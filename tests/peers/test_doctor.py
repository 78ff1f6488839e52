"""What `modelkeep doctor` finds out where the answer is known."""

import json

from base import PeerTest
from kept import settle, write_model
from remote import Registry
from servers import Server

SETTLE = {"MODELKEEP_SETTLE": "20ms"}
DELETE = """  delete:
    enabled: true
"""


class DoctorTest(PeerTest):
    def publish(self, name, versions=("1.0", "1.1")):
        for version in versions:
            model = write_model(self.dir / f"model-{version}", (4096,), seed=version)
            self.store.run("push", settle(model), f"{name}:{version}", env=SETTLE)

    def doctor(self, name, *words):
        report = json.loads(self.store.run("doctor", name, *words, "--json", env=SETTLE).stdout)
        return report, {check["name"]: check["result"] for check in report["checks"]}

    def test_docker_registry_is_known_for_what_it_does(self):
        registry = Registry(self.dir / "registry")
        self.addCleanup(registry.stop)
        name = f"{registry.host}/team/model"
        report, found = self.doctor(name)
        self.assertEqual((report["enforcement"], found["history"]), ("client", "none"))
        self.publish(name)
        report, found = self.doctor(name)
        self.assertEqual(
            {check: found[check] for check in ("history", "compare_and_set", "immutable_tags", "referrers", "ranges", "mount")},
            {"history": "claims", "compare_and_set": "no", "immutable_tags": "unknown", "referrers": "no", "ranges": "yes", "mount": "unknown"},
        )
        kinds = {tags["kind"]: tags["count"] for tags in report["protocol_tags"]}
        self.assertEqual(kinds["entries"], 2)
        self.assertGreaterEqual(kinds["claims"], 4)
        before = sorted(path for path in registry.data.rglob("*"))
        self.doctor(name)
        self.assertEqual(sorted(path for path in registry.data.rglob("*")), before, "nothing was written")

        report, found = self.doctor(name, "--probe")
        self.assertEqual((found["immutable_tags"], found["mount"]), ("no", "yes"))
        self.assertEqual((found["delete_tags"], found["delete_manifests"]), ("no", "no"))
        self.assertTrue(found["list_delay"].endswith(" ms"), found)
        self.assertEqual(len(report["left_behind"]), 3, report["left_behind"])
        self.assertIn("doctor", {tags["kind"] for tags in report["protocol_tags"]})
        # What was left harms nobody.
        self.publish(name, ("1.2",))
        self.store.run("verify", name, env=SETTLE)

    def test_a_registry_that_deletes_is_left_as_it_was(self):
        registry = Registry(self.dir / "registry", storage=DELETE)
        self.addCleanup(registry.stop)
        name = f"{registry.host}/team/model"
        self.publish(name)
        report, found = self.doctor(name, "--probe")
        self.assertEqual(found["delete_manifests"], "yes")
        self.assertEqual(report["left_behind"], [])
        self.assertNotIn("doctor", {tags["kind"] for tags in report["protocol_tags"]})

    def test_a_server_that_keeps_histories_is_left_as_it_was(self):
        store = self.another_store("there/home")
        server = Server(store)
        self.addCleanup(server.stop)
        name = f"{server.host}/team/model"
        self.publish(name)
        report, found = self.doctor(name, "--probe")
        self.assertEqual((report["enforcement"], found["history"]), ("registry", "registry"))
        self.assertEqual((found["immutable_tags"], found["delete_manifests"]), ("IMMUTABLE", "yes"))
        self.assertEqual((report["left_behind"], report["protocol_tags"]), ([], []))
