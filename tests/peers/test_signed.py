"""Signed histories: what other verifiers say of them, and what is asked at a terminal before the first push."""

import json
import os
import pty
import select
import signal
import time

from base import DIGITS, PeerTest
from kept import BINARY, ROOT, VENV_PYTHON, run

DEADLINE = 60  # seconds until a terminal must have said what is waited for


class Signed(PeerTest):
    def setUp(self):
        super().setUp()
        self.key, self.public = self.dir / "key.pem", self.dir / "key.pem.pub"
        self.store.run("keys", "new", self.key, "--no-passphrase")
        self.signing = {"MODELKEEP_SIGNING_KEY": str(self.key)}

    def reference(self, model, signature, expect=0):
        """Asks the reference implementation of OpenSSF Model Signing."""
        command = [VENV_PYTHON, "-m", "model_signing", "verify", "key", model, "--signature", signature, "--public_key", self.public]
        run(command, expect=expect, timeout=60)

    def sigstore(self, *bundles, expect=0):
        """Asks the verifier of Sigstore; what the statements are about."""
        script = ROOT / "tests" / "sigstore" / "verify.cjs"
        environment = {"PATH": os.environ["PATH"], "NODE_PATH": str(ROOT / "target" / "sigstore" / "node_modules")}
        return run(["node", script, self.public, *bundles], expect=expect, env=environment, timeout=60).stdout.splitlines()

    def entries(self):
        return sorted(self.store.home.glob("v1/repos/digits/_history/0*"))

    def test_others_take_the_signature_of_a_pulled_model(self):
        model = self.small_model("digits", sizes=(9 << 20,))
        # The reference leaves out what belongs to git, and models from hubs have it.
        (model / ".gitattributes").write_text("*.safetensors filter=lfs\n")
        self.store.run("push", model, "digits:1.0", env=self.signing)
        self.store.run("push", model, "digits:1.1", "--index", env=self.signing)
        self.store.run("push", model, "digits:1.2", "--base", "digits:1.0", env=self.signing)
        for version in ("1.0", "1.1", "1.2"):
            pulled, signature = self.dir / version, self.dir / f"{version}.sig"
            self.store.run("pull", f"digits:{version}", "-o", pulled, "--with-signature", signature)
            self.reference(pulled, signature)
            self.assertEqual(self.sigstore(signature), ["https://model_signing/signature/v1.0 digits"])
            self.store.run("verify-signature", pulled, "--signature", signature, "--key", self.public)
        (pulled / "config.json").write_text("changed")
        self.reference(pulled, signature, expect=1)

    def test_others_take_the_entries_of_a_history(self):
        (self.dir / "modelkeep.toml").write_text('[repository]\nname = "digits"\naliases = ["production"]\n')
        for words in (
            ("push", DIGITS / "model-1.0", "1.0"),
            ("promote", "1.0", "production"),
            ("keys", "add", self.other_key(), "--name", "Ben"),
            ("checkpoint",),
            ("yank", "digits:1.0", "--reason", "test"),
        ):
            self.store.run(*words, env=self.signing, expect=7 if words[0] == "yank" else 0)
        said = self.sigstore(*self.entries())
        self.assertEqual(said, [f"https://modelkeep.dev/history/v1 {name}" for name in ("1.0", "production", "ledger", "ledger")])
        first = self.entries()[0]
        changed = self.dir / "changed.json"
        changed.write_bytes(first.read_bytes().replace(b'"sig":"ME', b'"sig":"MF'))
        self.assertNotEqual(changed.read_bytes(), first.read_bytes())
        self.sigstore(changed, expect=1)

    def other_key(self):
        self.store.run("keys", "new", self.dir / "ben.pem", "--no-passphrase")
        return self.dir / "ben.pem.pub"

    def test_the_signature_is_a_referrer_of_the_image_that_goes_where_it_goes(self):
        self.store.run("push", DIGITS / "model-1.0", "digits:1.0", env=self.signing)
        layout = self.dir / "layout"
        self.store.run("copy", "digits:1.0", f"oci:{layout}:1.0")
        found = []
        for path in layout.glob("blobs/sha256/*"):
            if b'"subject"' in path.read_bytes() and b"vnd.dev.sigstore.bundle.v0.3+json" in path.read_bytes():
                found.append(path)
        self.assertEqual(len(found), 1)
        manifest = json.loads(found[0].read_text())
        self.assertEqual(manifest["artifactType"], "application/vnd.dev.sigstore.bundle.v0.3+json")
        self.assertEqual(manifest["config"]["mediaType"], "application/vnd.oci.empty.v1+json")
        self.assertEqual(manifest["subject"]["digest"], self.store.json("show", "digits:1.0")["digest"])
        self.assertEqual(manifest["annotations"]["dev.sigstore.bundle.predicateType"], "https://model_signing/signature/v1.0")
        bundle = layout / "blobs" / manifest["layers"][0]["digest"].replace(":", "/")
        self.sigstore(bundle)
        self.reference(DIGITS / "model-1.0", bundle)


class Terminal:
    """The binary at a terminal of its own."""

    def __init__(self, store, *words, env=None):
        self.said = ""
        self.pid, self.terminal = pty.fork()
        if self.pid == 0:
            try:
                os.chdir(store.home.parent)
                os.execve(BINARY, [str(word) for word in (BINARY, *words)], store.environment(env))
            finally:
                os._exit(127)

    def read(self, until):
        """Waits until the terminal shows `until`, and gives what it showed."""
        end = time.monotonic() + DEADLINE
        while until is None or until not in self.said:
            ready, _, _ = select.select([self.terminal], [], [], max(0, end - time.monotonic()))
            if not ready:
                os.kill(self.pid, signal.SIGKILL)
                raise AssertionError(f"{until!r} does not come after:\n{self.said}")
            try:
                came = os.read(self.terminal, 4096)
            except OSError:  # the other side is closed
                came = b""
            if not came:
                if until is None:
                    break
                raise AssertionError(f"ended without {until!r}:\n{self.said}")
            self.said += came.decode()
        said, self.said = self.said, ""
        return said

    def answer(self, question, text):
        said = self.read(question)
        os.write(self.terminal, f"{text}\n".encode())
        return said

    def end(self):
        """What was said last, and the exit status."""
        said = self.read(None)
        _, status = os.waitpid(self.pid, 0)
        os.close(self.terminal)
        return said, os.waitstatus_to_exitcode(status)


class FirstPush(PeerTest):
    def setUp(self):
        super().setUp()
        self.keys = self.dir / ".config" / "modelkeep" / "keys"
        self.stick = self.dir / "stick"
        self.stick.mkdir()

    def push(self, version="1.0", *options, name="digits"):
        return Terminal(self.store, "push", DIGITS / f"model-{version}", f"{name}:{version}", *options)

    def make_key(self, terminal, passphrase="correct horse"):
        terminal.answer("Make a key pair now? [Y/n]", "y")
        terminal.answer("Passphrase of the new key: ", passphrase)
        terminal.answer("Once more: ", passphrase)

    def test_a_key_pair_is_made_and_the_recovery_key_goes_elsewhere(self):
        terminal = self.push()
        self.make_key(terminal)
        place = "File of the recovery key: "
        terminal.answer(place, self.keys / "recovery.pem")
        self.assertIn("the first key lies there", terminal.answer(place, self.stick / "none" / "recovery.pem"))
        self.assertIn("there is no such directory", terminal.answer(place, self.stick / "recovery.pem"))
        said, code = terminal.end()
        self.assertEqual(code, 0, said)
        self.assertNotIn("PRIVATE KEY", said)
        self.assertIn("ENCRYPTED PRIVATE KEY", (self.keys / "default.pem").read_text())
        self.assertEqual((self.keys / "default.pem").stat().st_mode & 0o777, 0o600)
        self.assertEqual(self.keys.stat().st_mode & 0o777, 0o700)
        self.assertEqual({path.name for path in self.keys.iterdir()}, {"default.pem", "default.pem.pub", "recovery.pub"})
        listed = self.store.json("keys", "list", "digits")["keys"]
        self.assertEqual([(key["role"], key["at_hand"]) for key in listed], [("publisher", True), ("recovery", False)])
        # The recovery key works, and the first one is asked for where it signs, and only there.
        recovery = {"MODELKEEP_SIGNING_KEY": str(self.stick / "recovery.pem")}
        self.store.run("keys", "add", self.spare(), "--repository", "digits", env=recovery)
        again = self.push("1.1")
        again.answer("Passphrase of", "correct horse")
        self.assertEqual(again.end()[1], 0)
        said, code = self.push("1.1").end()
        self.assertEqual(code, 0, said)
        self.assertNotIn("Passphrase", said)
        # Another repository begins with the same keys, and nobody is asked for new ones.
        other = self.push("1.0", name="other")
        said = other.answer("Passphrase of", "correct horse")
        self.assertNotIn("Make a key pair", said)
        self.assertEqual(other.end()[1], 0)
        self.assertEqual(len(self.store.json("keys", "list", "other")["keys"]), 2)

    def spare(self):
        self.store.run("keys", "new", self.dir / "spare.pem", "--no-passphrase")
        return self.dir / "spare.pem.pub"

    def test_the_recovery_key_is_shown_where_it_has_no_place(self):
        terminal = self.push()
        self.make_key(terminal)
        terminal.answer("File of the recovery key: ", "")
        shown = terminal.answer("Press Enter when it is in a safe place.", "")
        self.assertEqual(terminal.end()[1], 0)
        begin, end = shown.index("-----BEGIN PRIVATE KEY"), shown.index("END PRIVATE KEY-----") + len("END PRIVATE KEY-----")
        recovery = {"MODELKEEP_SIGNING_KEY": shown[begin:end].replace("\r", "") + "\n"}
        for path in self.keys.rglob("*"):
            self.assertNotIn("BEGIN PRIVATE KEY", path.read_text())
        self.store.run("keys", "add", self.spare(), "--repository", "digits", env=recovery)

    def test_who_wants_no_key_is_asked_once_for_each_repository(self):
        terminal = self.push()
        terminal.answer("Make a key pair now? [Y/n]", "n")
        said, code = terminal.end()
        self.assertEqual(code, 0, said)
        self.assertIn("digits:1.0 is not signed", said)
        self.assertFalse(self.keys.exists())
        said, code = self.push("1.1").end()
        self.assertEqual(code, 0, said)
        self.assertNotIn("Make a key pair", said)
        other = self.push("1.0", name="other")
        other.answer("Make a key pair now? [Y/n]", "n")
        self.assertEqual(other.end()[1], 0)

    def test_what_breaks_off_leaves_no_key_and_no_version(self):
        for until, text in (
            ("Make a key pair now? [Y/n]", "\x04"),
            ("Passphrase of the new key: ", "\x03"),
            ("File of the recovery key: ", "\x03"),
        ):
            terminal = self.push()
            for question in ("Make a key pair now? [Y/n]", "Passphrase of the new key: ", "Once more: "):
                if question == until:
                    break
                terminal.answer(question, "y")
            terminal.read(until)
            os.write(terminal.terminal, text.encode())
            said, code = terminal.end()
            self.assertNotEqual(code, 0, said)
            self.assertFalse(self.keys.exists(), until)
            self.store.run("versions", "digits", expect=1)
        terminal = self.push()
        terminal.answer("Make a key pair now? [Y/n]", "y")
        terminal.answer("Passphrase of the new key: ", "one")
        terminal.answer("Once more: ", "two")
        said, code = terminal.end()
        self.assertEqual(code, 2, said)
        self.assertFalse(self.keys.exists())

    def test_nobody_is_asked_who_asked_for_quiet_or_json_or_a_dry_run(self):
        for options in (("--quiet",), ("--json",), ("--dry-run",)):
            said, code = self.push("1.0", *options, name=f"of{options[0]}").end()
            self.assertEqual(code, 0, said)
            self.assertNotIn("key pair", said)
