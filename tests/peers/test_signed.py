"""Signed histories: what other verifiers say of them, and what is asked at a terminal before the first push."""

import json
import os
import pty
import re
import select
import signal
import time
import urllib.request

from base import DIGITS, PeerTest
from kept import BINARY, ROOT, VENV_PYTHON, Store, run
from registry import Served
from remote import Registry

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


class Elsewhere(Served):
    """Signed histories on registries, as one machine writes them and another one reads them."""

    def setUp(self):
        super().setUp()
        for name in ("ada", "eve"):
            self.store.run("keys", "new", f"{name}.pem", "--no-passphrase")
        self.ada = {"MODELKEEP_SIGNING_KEY": str(self.dir / "ada.pem"), "MODELKEEP_SETTLE": "50ms"}
        self.eve = {"MODELKEEP_SIGNING_KEY": str(self.dir / "eve.pem"), "MODELKEEP_SETTLE": "50ms"}
        self.reader = self.another_store("reader")

    def walk(self, host):
        """What holds on every registry; gives the name of the repository."""
        name = f"{host}/team/digits"
        pushed = self.store.json("push", DIGITS / "model-1.0", f"{name}:1.0", env=self.ada)
        self.assertTrue(pushed["signed"])
        self.store.run("push", DIGITS / "model-1.1", f"{name}:1.1", env=self.ada)
        for env in (self.eve, {"MODELKEEP_SETTLE": "50ms"}):
            refused = self.store.run("push", DIGITS / "model-1.1", f"{name}:1.2", env=env, expect=3)
            self.assertIn("hint:", refused.stderr)
            self.store.run("keys", "add", self.dir / "eve.pem.pub", "--repository", name, env=env, expect=3)
            self.store.run("yank", f"{name}:1.0", "--reason", "mine", env=env, expect=3)
        unchanged = self.store.json("push", DIGITS / "model-1.0", f"{name}:1.0", env=self.ada)
        self.assertEqual((unchanged["outcome"], unchanged["digest"], unchanged["signed"]), ("unchanged", pushed["digest"], True))
        pulled, signature = self.dir / "pulled", self.dir / "pulled.sig"
        self.reader.run("pull", f"{name}:1.0", "-o", pulled, "--with-signature", signature)
        self.reader.run("verify-signature", pulled, "--signature", signature, "--key", self.dir / "ada.pem.pub")
        self.reader.run("pull", f"{name}@{pushed['digest']}", "-o", self.dir / "again", "--with-signature", self.dir / "again.sig")
        self.assertEqual(signature.read_bytes(), (self.dir / "again.sig").read_bytes())
        self.reader.run("verify", f"{name}:1.0")
        listed = self.reader.json("keys", "list", name)["keys"]
        self.assertEqual([(key["role"], key["since"]) for key in listed], [("publisher", 1)])
        self.assertEqual({event["signed_by"] for event in self.reader.json("log", name)["events"]}, {listed[0]["key"]})
        self.store.run("keys", "rotate", "--new", self.dir / "eve.pem.pub", "--repository", name, env=self.ada)
        self.store.run("checkpoint", name, env=self.ada, expect=3)
        self.store.run("checkpoint", name, env=self.eve)
        self.assertEqual([event["op"] for event in self.reader.json("log", name)["events"]], ["checkpoint", "keys", "publish", "publish"])
        return name, pushed["digest"]

    def manifest(self, registry, name, kind):
        url = f"http://{registry.host}/v2/team/digits/manifests/{name}"
        asked = urllib.request.Request(url, headers={"Accept": f"application/vnd.oci.image.{kind}.v1+json"})
        with urllib.request.urlopen(asked) as answer:
            return json.load(answer)

    def test_on_our_server_where_a_push_makes_three_requests_after_its_uploads(self):
        server = self.serve(store=self.another_store("there"))
        name, digest = self.walk(server.host)
        self.store.run("push", self.small_model(sizes=(9 << 20,)), f"{name}:2.0", env=self.eve)
        server.stop()  # all is in the log then
        asked = re.findall(r'method=(\w+) target="?/v2/team/digits/([^\s"?]*)', server.log.read_text())
        begins = [at for at, request in enumerate(asked) if request == ("GET", "_modelkeep/history")]
        push = asked[begins[-1] + 1 :]
        ends = max(at for at, (_, target) in enumerate(push) if target.startswith("blobs/")) + 1
        self.assertGreater(ends, 3, push)
        self.assertEqual(
            [(method, target.split("/")[0]) for method, target in push[ends:]],
            [("PUT", "manifests"), ("PUT", "manifests"), ("POST", "_modelkeep")],
        )
        there = Store(server.log.parent / "there")
        there.run("verify", "--all")

    def test_on_a_plain_registry_where_the_fallback_tag_lists_the_signature(self):
        registry = Registry(self.dir / "registry")
        self.addCleanup(registry.stop)
        name, digest = self.walk(registry.host)
        index = self.manifest(registry, digest.replace(":", "-"), "index")
        self.assertEqual([one["artifactType"] for one in index["manifests"]], ["application/vnd.dev.sigstore.bundle.v0.3+json"])
        # The bundle that others find there is the one that the history names.
        bundle = self.manifest(registry, index["manifests"][0]["digest"], "manifest")["layers"][0]["digest"]
        path = registry.blob(bundle)
        self.assertEqual(path.read_bytes(), (self.dir / "pulled.sig").read_bytes())
        # Whoever keeps the registry changes it, or takes it away.
        path.write_bytes(path.read_bytes().replace(b'"sig":"ME', b'"sig":"MF'))
        self.reader.run("verify", f"{name}:1.0", expect=5)
        refused = self.reader.run("pull", f"{name}:1.0", "-o", self.dir / "other", "--with-signature", self.dir / "other.sig", expect=5)
        self.assertFalse((self.dir / "other").exists(), refused.stderr)
        path.unlink()
        self.reader.run("verify", f"{name}:1.0", expect=5)


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
