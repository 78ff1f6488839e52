"""The scanner beside picklescan, and on pickles that real libraries wrote. No payload is ever loaded."""

import json
import subprocess
from pathlib import Path

from base import DIGITS, PeerTest, minilm
from kept import ROOT, VENV_PYTHON, run

EXIT_POLICY = 7
HERE = Path(__file__).resolve().parent


def payload(module, name, protocol):
    """A pickle that would call `module.name("echo")`."""
    if protocol == 0:
        return f"c{module}\n{name}\n(S'echo'\ntR.".encode()
    if protocol == 2:
        return f"\x80\x02c{module}\n{name}\nU\x04echo\x85R.".encode("latin-1")
    short = b"".join(b"\x8c" + bytes([len(text)]) + text.encode() for text in (module, name))
    return b"\x80\x04" + short + b"\x93\x8c\x04echo\x85R."


class Scan(PeerTest):
    def scan(self, directory, expect=0):
        done = self.store.run("scan", directory, "--json", expect=expect)
        return json.loads(done.stdout)

    def picklescan(self, *arguments, files=()):
        text = "".join(f"{file}\n" for file in files)
        words = [VENV_PYTHON, HERE / "picklescan_verdicts.py", *arguments]
        done = subprocess.run(words, input=text, capture_output=True, text=True, check=True)
        return [line.rsplit(" ", 1) for line in done.stdout.splitlines()]

    def test_what_real_libraries_write_is_silent(self):
        directory = self.dir / "written"
        run([VENV_PYTHON, HERE / "pickles.py", directory], cwd=ROOT)
        found = self.scan(directory)
        self.assertGreaterEqual(found["files"], 1000)
        self.assertEqual(found["findings"], [])
        pickles = [file for file in directory.iterdir() if file.name.endswith((".2.pkl", ".4.pkl"))]
        refused = [file for file, verdict in self.picklescan(files=pickles) if verdict == "True"]
        self.assertEqual(refused, [], "picklescan agrees")

    def test_models_that_people_use_are_silent(self):
        for model in (minilm(), DIGITS / "model-1.0", DIGITS / "model-1.1"):
            self.assertEqual(self.scan(model)["findings"], [], model)

    def test_whatever_picklescan_calls_dangerous_is_dangerous_in_each_protocol(self):
        directory = self.dir / "payloads"
        directory.mkdir()
        listed = self.picklescan("globals")
        self.assertGreaterEqual(len(listed), 90)
        for number, (module, name) in enumerate(listed):
            for protocol in (0, 2, 4):
                # No name that says what it is.
                (directory / f"{number}-{protocol}.bin").write_bytes(payload(module, name, protocol))
        files = sorted(directory.iterdir())
        found = self.scan(directory, expect=EXIT_POLICY)
        ours = {finding["file"] for finding in found["findings"] if finding["severity"] == "dangerous"}
        self.assertEqual({file.name for file in files} - ours, set())
        verdicts = self.picklescan(files=files)
        self.assertEqual(len(verdicts), len(files))
        self.assertGreaterEqual(sum(verdict == "True" for _, verdict in verdicts), len(files) * 9 // 10)

    def test_an_identifier_is_no_payload_although_picklescan_says_so(self):
        file = self.dir / "model" / "id.pkl"
        file.parent.mkdir()
        file.write_bytes(b"\x80\x02cuuid\nUUID\n)\x81}X\x03\x00\x00\x00intK\x01sb.")
        self.assertEqual(self.picklescan(files=[file]), [[str(file), "True"]])
        self.assertEqual(self.scan(file.parent)["findings"], [])

    def test_a_dangerous_file_is_refused_until_it_is_named(self):
        model = self.dir / "model"
        (model / "sub").mkdir(parents=True)
        (model / "config.json").write_text("{}")
        (model / "sub" / "weights.bin").write_bytes(payload("os", "system", 4))
        refused = self.store.run("push", model, "unsafe:1.0", expect=EXIT_POLICY)
        self.assertIn("sub/weights.bin", refused.stderr)
        self.store.run("push", model, "unsafe:1.0", "--allow-unsafe", "config.json", expect=EXIT_POLICY)
        self.store.run("push", model, "unsafe:1.0", "--allow-unsafe", "sub/weights.bin")
        pulled = self.store.run("pull", "unsafe:1.0", "-o", self.dir / "out")
        self.assertIn("os.system", pulled.stderr)
        kept = self.store.json("pull", "unsafe:1.0", "-o", self.dir / "again")["findings"]
        self.assertEqual([(finding["file"], finding["severity"]) for finding in kept], [("sub/weights.bin", "dangerous")])
        only = self.store.json("pull", "unsafe:1.0", "-o", self.dir / "part", "--include", "config.json")
        self.assertEqual(only["findings"], [], "what is not written is not spoken of")
        self.assertEqual(self.scan("unsafe:1.0", expect=EXIT_POLICY)["dangerous"], 1)
