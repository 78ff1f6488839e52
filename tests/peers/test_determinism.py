"""The same files give the same digests, wherever and whenever they are pushed."""

import os
import shutil

from base import PeerTest
from kept import MIB, write_safetensors


def touched_copy(model, to):
    """A copy whose files have other times, owners and modes, made in another order."""
    to.mkdir()
    for path in sorted((p for p in model.rglob("*")), reverse=True):
        target = to / path.relative_to(model)
        if path.is_dir():
            target.mkdir(parents=True, exist_ok=True)
        else:
            target.parent.mkdir(parents=True, exist_ok=True)
            shutil.copyfile(path, target)
            os.chmod(target, 0o600)
        os.chown(target, 1234, 4321)
        os.utime(target, (1, 1))
    return to


class Determinism(PeerTest):
    def layers(self, store, reference):
        return [layer["digest"] for layer in store.json("show", reference)["layers"]]

    def test_digests_depend_on_files_and_settings_alone(self):
        model = self.small_model()
        copy = touched_copy(model, self.dir / "elsewhere")
        one, two, dated, dated_too = (self.another_store(name) for name in ("one", "two", "dated", "dated-too"))
        pushed = {
            "one": one.json("push", model, "same:1.0"),
            "two": two.json("push", copy, "same:1.0", "--message", "another day"),
            "dated": dated.json("push", model, "same:1.0", env={"SOURCE_DATE_EPOCH": "1700000000"}),
            "dated too": dated_too.json("push", copy, "same:1.0", env={"SOURCE_DATE_EPOCH": "1700000000"}),
        }
        self.assertEqual(len({entry["content_root"] for entry in pushed.values()}), 1)
        self.assertEqual(self.layers(one, "same:1.0"), self.layers(two, "same:1.0"))
        self.assertEqual(self.layers(one, "same:1.0"), self.layers(dated, "same:1.0"))
        self.assertEqual(pushed["dated"]["digest"], pushed["dated too"]["digest"])
        self.assertNotEqual(pushed["one"]["digest"], pushed["dated"]["digest"], "the date is part of the config")
        created = dated.json("show", "same:1.0")["config"]["created"]
        self.assertTrue(created.startswith("2023-11-14T22:13:20"), created)
        self.assertNotIn("created", one.json("show", "same:1.0")["config"])

    def test_the_same_settings_give_the_same_manifest_without_a_date(self):
        model = self.small_model()
        copy = touched_copy(model, self.dir / "elsewhere")
        options = ("--message", "m", "--metric", "accuracy=0.5", "--param", "epochs=3")
        one = self.another_store("one").json("push", model, "same:1.0", *options)
        two = self.another_store("two").json("push", copy, "same:1.0", *options)
        self.assertEqual(one["digest"], two["digest"])

    def test_an_unchanged_file_keeps_its_layer_in_the_next_version(self):
        model = self.small_model()
        self.store.json("push", model, "next:1.0")
        write_safetensors(model / "model-00001-of-00002.safetensors", 9 * MIB, "changed")
        second = self.store.json("push", model, "next:1.1")
        self.assertGreaterEqual(second["layers_reused"], 1)
        self.assertLess(second["bytes_written"], 10 * MIB)

        def layer_of(version, path):
            return {file["path"]: file["layer"] for file in self.store.json("show", f"next:{version}")["files"]}[path]

        kept, changed = "model-00002-of-00002.safetensors", "model-00001-of-00002.safetensors"
        self.assertEqual(layer_of("1.0", kept), layer_of("1.1", kept))
        self.assertNotEqual(layer_of("1.0", changed), layer_of("1.1", changed))
