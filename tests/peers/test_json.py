"""With --json, standard output holds one JSON document and nothing else."""

import json
import re
import subprocess
from pathlib import Path

from base import DIGITS, PeerTest
from kept import EXIT_EXISTS, VENV_PYTHON

DIGEST = re.compile(r"^sha256:[0-9a-f]{64}$")
INSTANT = re.compile(r"^\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d(\.\d+)?Z$")


class Json(PeerTest):
    def push(self, version="1.0", *options, **more):
        return self.store.json("push", DIGITS / f"model-{version}", f"digits:{version}", *options, **more)

    def test_push_says_what_it_published_and_what_stayed(self):
        fields = {"version", "digest", "content_root", "outcome", "files", "bytes", "bytes_read", "bytes_written", "layers_reused", "reference"}
        first = self.push()
        self.assertLessEqual(fields, set(first))
        self.assertRegex(first["digest"], DIGEST)
        self.assertEqual((first["version"], first["outcome"], first["files"]), ("1.0", "published", 4))
        size = sum(path.stat().st_size for path in (DIGITS / "model-1.0").iterdir())
        self.assertEqual((first["bytes"], first["bytes_read"]), (size, size))
        again = self.push()
        self.assertLessEqual(fields, set(again))
        self.assertEqual((again["outcome"], again["digest"]), ("unchanged", first["digest"]))

    def test_a_dry_run_prints_json_and_stores_nothing(self):
        self.push("1.0")
        self.assertIsInstance(self.push("1.1", "--dry-run"), dict)
        self.assertEqual([entry["version"] for entry in self.store.json("versions", "digits")["versions"]], ["1.0"])

    def test_a_refused_push_leaves_standard_output_parseable_or_empty(self):
        self.push()
        refused = self.store.run("push", DIGITS / "model-1.1", "digits:1.0", "--json", expect=EXIT_EXISTS)
        if refused.stdout:
            json.loads(refused.stdout)
        self.assertEqual(len(set(re.findall(r"sha256:[0-9a-f]{64}", refused.stderr))), 2, refused.stderr)

    def test_versions_lists_newest_first_with_all_fields(self):
        self.push("1.0", "--message", "first", "--metric", "accuracy=0.9028", "--param", "epochs=1")
        self.push("1.1")
        listed = self.store.json("versions", "digits")
        newest, oldest = listed["versions"]
        fields = {"version", "digest", "size", "new_bytes", "created", "author", "message", "aliases", "parent", "metrics", "params"}
        self.assertLessEqual(fields, set(newest))
        self.assertEqual((newest["version"], newest["parent"]), ("1.1", "1.0"))
        self.assertEqual((oldest["version"], oldest["parent"], oldest["message"]), ("1.0", None, "first"))
        self.assertRegex(oldest["created"], INSTANT)
        self.assertEqual(float(oldest["metrics"]["accuracy"]), 0.9028)
        self.assertEqual(str(oldest["params"]["epochs"]), "1")

    def test_show_lists_files_layers_and_config(self):
        pushed = self.push()
        shown = self.store.json("show", "digits:1.0")
        fields = {"version", "digest", "media_type", "content_root", "files", "layers", "config", "annotations", "metrics", "params", "origin"}
        self.assertLessEqual(fields, set(shown))
        self.assertEqual(shown["digest"], pushed["digest"])
        self.assertEqual([file["path"] for file in shown["files"]], ["README.md", "config.json", "metrics.json", "model.safetensors"])
        layers = {layer["digest"] for layer in shown["layers"]}
        for file in shown["files"]:
            self.assertLessEqual({"path", "size", "digest", "layer", "offset"}, set(file))
            self.assertIn(file["layer"], layers)
        self.assertEqual((shown["config"]["os"], shown["config"]["architecture"]), ("linux", "amd64"))

    def test_pull_says_what_it_wrote_and_what_was_there(self):
        pushed = self.push()
        first = self.store.json("pull", "digits:1.0", "-o", self.dir / "out")
        self.assertLessEqual({"version", "digest", "directory", "files", "bytes", "bytes_written", "files_reused"}, set(first))
        self.assertEqual((first["digest"], first["files"], first["bytes_written"]), (pushed["digest"], 4, pushed["bytes"]))
        again = self.store.json("pull", "digits:1.0", "-o", self.dir / "out")
        self.assertEqual((again["bytes_written"], again["files_reused"]), (0, 4))

    def test_verify_counts_what_it_checked(self):
        self.push()
        for words in (("verify", "digits:1.0"), ("verify", "--all")):
            found = self.store.json(*words)
            self.assertEqual((found["ok"], found["problems"]), (True, []))
            self.assertEqual(found["checked"]["versions"], 1)
            self.assertGreaterEqual(found["checked"]["blobs"], 3)
            self.assertGreater(found["checked"]["bytes"], 9968)

    def test_every_document_is_what_the_schema_says(self):
        self.push("1.0", "--message", "first", "--metric", "accuracy=0.9028", "--param", "epochs=1")
        documents = {
            "push": self.push("1.1"),
            "versions": self.store.json("versions", "digits"),
            "show": self.store.json("show", "digits:1.0"),
            "inspect": self.store.json("inspect", "digits:1.0"),
            "diff": self.store.json("diff", "digits:1.0", "digits:1.1"),
            "pull": self.store.json("pull", "digits:1.0", "-o", self.dir / "out"),
            "verify": self.store.json("verify", "--all"),
            "export": self.store.json("export", "digits:1.0", "--oci", self.dir / "layout"),
            "config": self.store.json("config"),
        }
        (self.dir / "modelkeep.toml").write_text('[repository]\nname = "declared"\naliases = ["latest"]\n')
        documents |= {"preview": self.store.json("preview"), "up": self.store.json("up", "--yes")}
        self.store.run("push", DIGITS / "model-1.0", "1.0")
        lines = "".join(f"{command} {json.dumps(document)}\n" for command, document in documents.items())
        for name in ((), ("1.0",)):
            documents["output", *name] = self.store.json("output", *name)
            lines += f"output {json.dumps(documents['output', *name])}\n"
        self.store.run("keys", "new", "key.pem", "--no-passphrase")
        signing = {"MODELKEEP_SIGNING_KEY": "key.pem"}
        repository = ("--repository", "digits")
        for command, words in (
            ("keys%20add", ("keys", "add", *repository)),
            ("keys%20list", ("keys", "list", "digits")),
            ("checkpoint", ("checkpoint", "digits")),
            ("keys%20rotate", ("keys", "rotate", "--new", "key.pem.pub", *repository)),
            ("push", ("push", DIGITS / "model-1.1", "digits:1.2")),
            ("pull", ("pull", "digits:1.2", "-o", self.dir / "signed", "--with-signature", "model.sig")),
            ("copy", ("copy", "digits:1.2", "other:1.2")),
            ("show", ("show", "digits:1.2")),
            ("versions", ("versions", "digits")),
            ("log", ("log", "digits")),
            ("doctor", ("doctor", "digits")),
            ("lock", ("lock", "digits:1.2")),
            ("pull%20--locked", ("pull", "--locked")),
            ("verify", ("verify", "digits:1.2", "--heal")),
        ):
            documents["signed", command] = self.store.json(*words, env=signing)
            lines += f"{command} {json.dumps(documents['signed', command])}\n"
        validate = Path(__file__).with_name("validate.py")
        done = subprocess.run([VENV_PYTHON, validate], input=lines, capture_output=True, text=True)
        self.assertEqual((done.returncode, done.stdout.count("valid ")), (0, len(documents)), done.stderr)
