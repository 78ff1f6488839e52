"""A client that is killed in the middle of a large blob, and the next one, which goes on."""

import json
import os
import re
import subprocess
import threading
from urllib.parse import urlsplit

from base import PeerTest
from kept import BINARY, MIB, run, settle, write_safetensors
from remote import Registry, Wire
from servers import Client, Server
from trust import Authority, write_accounts

USER, PASSWORD = "ada", "correct-horse"
LARGE = 1024 * MIB
SLACK = 64 * MIB  # at most one chunk, and what sockets and wires had taken
SMALL = 9 * MIB


class Resumed(PeerTest):
    def setUp(self):
        super().setUp()
        self.options, self.has_login = [], False

    def wire(self, port):
        wire = Wire(port)
        self.addCleanup(wire.listener.close)
        return wire

    def model(self, *sizes):
        model = self.dir / "model"
        model.mkdir()
        (model / "config.json").write_text("{}\n")
        for number, size in enumerate(sizes):
            with open(model / f"part-{number}.bin", "wb") as file:
                block = os.urandom(4096)
                for place in range(size // MIB):
                    file.write(place.to_bytes(8, "big") * 512 + 255 * block)
        return settle(model)

    def login(self, host):
        words = [BINARY, "login", host, "-u", USER, "--password-stdin", *self.options]
        done = subprocess.run(
            [str(word) for word in words],
            input=PASSWORD + "\n", capture_output=True, text=True, env=self.store.environment(),
        )  # fmt: skip
        self.assertEqual(done.returncode, 0, done.stderr)

    def killed(self, wire, count, *words):
        """Runs a command and kills it when `count` bytes have gone over the wire."""
        process = self.store.start(*words, *self.options)
        dead = threading.Event()

        def kill():
            process.kill()
            process.wait()
            dead.set()

        wire.once(count, kill)
        self.assertTrue(dead.wait(300), "it ended before it could be killed")
        process.stderr.close()
        self.assertLess(process.returncode, 0)

    def pushed_and_pulled(self, port):
        """Both directions over a wire, each killed in the middle; the bytes that went each way."""
        wire = self.wire(port)
        if self.has_login:
            self.login(wire.host)
        model, reference = self.model(LARGE), f"{wire.host}/team/model:1.0"
        self.killed(wire, LARGE // 2, "push", model, reference)
        kept = list((self.store.home / "cache" / "uploads").iterdir())
        self.assertEqual([path.stat().st_mode & 0o777 for path in kept], [0o600])
        self.assertNotIn(PASSWORD, kept[0].read_text())
        self.store.run("push", model, reference, *self.options)
        sent = wire.sent
        out = self.dir / "out"
        begun = wire.received
        self.killed(wire, LARGE // 2, "pull", reference, "-o", out)
        self.assertFalse(out.exists(), "what is not whole is not there")
        pulled = json.loads(self.store.run("pull", reference, "-o", out, "--json", *self.options).stdout)
        received = wire.received - begun
        run(["diff", "-r", model, out])
        self.assertLess(pulled["bytes_written"], LARGE - LARGE // 4, "what was there was not written again")
        self.assertEqual([path.name for path in out.iterdir() if path.name.startswith(".")], [])
        return sent, received


class FromServe(Resumed):
    def serve(self, *words):
        server = Server(self.another_store("served"), "--create-repositories", "IMMUTABLE", *words)
        self.addCleanup(server.stop)
        return int(server.url.rsplit(":", 1)[1])

    def check(self, port):
        sent, received = self.pushed_and_pulled(port)
        self.assertTrue(LARGE < sent < LARGE + SLACK, f"sent {sent / MIB:.1f} MiB")
        self.assertTrue(LARGE < received < LARGE + SLACK, f"received {received / MIB:.1f} MiB")

    def test_a_killed_push_and_a_killed_pull_go_on(self):
        self.check(self.serve())

    def test_with_passwords_and_tls(self):
        authority = Authority(self.dir / "authority")
        certificate, key = authority.certify("127.0.0.1")
        accounts = write_accounts(self.dir / "htpasswd", ada=PASSWORD)
        access = self.dir / "serve.toml"
        access.write_text(
            f'[access]\nhtpasswd = "{accounts}"\n'
            '[[access.rule]]\nwho = "ada"\nactions = ["pull", "push", "delete", "catalog"]\n'
        )
        self.options = ["--ca", authority.certificate]
        self.has_login = True
        self.check(self.serve("--config", access, "--tls-cert", certificate, "--tls-key", key))


class FromDockerRegistry(Resumed):
    def registry(self, more=""):
        registry = Registry(self.dir / "registry", more)
        self.addCleanup(registry.stop)
        return registry

    def test_a_killed_pull_goes_on_with_passwords_and_tls(self):
        authority = Authority(self.dir / "authority")
        certificate, key = authority.certify("127.0.0.1")
        passwords = self.dir / "htpasswd"
        passwords.write_text(run(["htpasswd", "-Bbn", USER, PASSWORD]).stdout)
        peer = self.registry(
            f"  tls:\n    certificate: {certificate}\n    key: {key}\n"
            f"auth:\n  htpasswd:\n    realm: test\n    path: {passwords}\n"
        )
        self.options = ["--ca", authority.certificate]
        wire = self.wire(peer.port)
        self.login(wire.host)
        model, reference, out = self.model(LARGE), f"{wire.host}/team/model:1.0", self.dir / "out"
        self.store.run("push", model, reference, *self.options)
        begun = wire.received
        self.killed(wire, LARGE // 2, "pull", reference, "-o", out)
        self.store.run("pull", reference, "-o", out, *self.options)
        received = wire.received - begun
        self.assertTrue(LARGE < received < LARGE + SLACK, f"received {received / MIB:.1f} MiB")
        run(["diff", "-r", model, out])

    def test_a_killed_push_keeps_the_layers_that_were_whole(self):
        """This registry destroys an upload whose request broke off: all its addresses name an older state then."""
        peer = self.registry()
        wire = self.wire(peer.port)
        model, reference = self.model(SMALL), f"{wire.host}/team/model"
        self.store.run("push", model, f"{reference}:0.9")
        write_safetensors(model / "large.safetensors", 256 * MIB, "large")
        self.killed(wire, 128 * MIB, "push", model, f"{reference}:1.0")
        before = len(peer.log)
        self.store.run("push", model, f"{reference}:1.0")
        done = [line for line in peer.log[before:] if "http.request.method=PATCH" in line and "status=202" in line]
        patched = [re.search(r"/blobs/uploads/([0-9a-f-]+)", line).group(1) for line in done]
        self.assertEqual(len(set(patched)), 1, "one layer was sent")
        self.assertGreater(len(patched), 1, "in chunks, because this registry kept nothing that could be gone on with")
        self.store.run("pull", f"{reference}:1.0", "-o", self.dir / "out")
        run(["diff", "-r", model, self.dir / "out"])

    def test_a_push_that_died_after_a_chunk_goes_on_behind_it(self):
        """What this registry acknowledged is not sent again."""
        peer = self.registry()
        wire = self.wire(peer.port)
        model, reference = self.model(128 * MIB), f"{wire.host}/team/model:1.0"
        self.killed(wire, 64 * MIB, "push", model, reference)
        [kept] = [path for path in (self.store.home / "cache" / "uploads").iterdir() if b"134" in path.read_bytes()]
        # Such a client leaves the address that came with the acknowledgement.
        record = json.loads(kept.read_text())
        self.store.run("push", model, "local:1.0")
        self.store.run("export", "local:1.0", "--oci", self.dir / "layout")
        layer = max((self.dir / "layout").rglob("blobs/sha256/*"), key=lambda path: path.stat().st_size)
        client = Client("127.0.0.1", peer.port)
        place = urlsplit(client.insist(202, "POST", "/v2/team/model/blobs/uploads/", b"").fields["Location"])
        with open(layer, "rb") as file:
            chunk = file.read(64 * MIB)
        answer = client.insist(202, "PATCH", f"{place.path}?{place.query}", chunk)
        client.close()
        record["url"] = answer.fields["Location"].replace(f"127.0.0.1:{peer.port}", wire.host)
        record["at"] = 64 * MIB
        kept.write_text(json.dumps(record))
        before = wire.sent
        self.store.run("push", model, reference)
        again = wire.sent - before
        self.assertTrue(64 * MIB < again < 66 * MIB, f"sent {again / MIB:.1f} MiB")
        self.store.run("pull", reference, "-o", self.dir / "out")
        run(["diff", "-r", model, self.dir / "out"])
