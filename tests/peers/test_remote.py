"""Push to and pull from Debian's docker-registry, and what skopeo makes of it."""

import base64
import hashlib
import json
import subprocess
from pathlib import Path

from base import PeerTest
from engines import Dockerd
from kept import BINARY, EXIT_DAMAGED, EXIT_EXISTS, EXIT_FAILED, MIB, VENV_PYTHON, run, settle, write_safetensors
from remote import Registry, Wire

EXIT_AUTHENTICATION = 3
USER, PASSWORD = "ada", "correct-horse"


class Remote(PeerTest):
    def registry(self, more=""):
        registry = Registry(self.dir / "registry", more)
        self.addCleanup(registry.stop)
        return registry


class Plain(Remote):
    def setUp(self):
        super().setUp()
        self.peer = self.registry()
        self.reference = f"{self.peer.host}/team/model"
        self.model = settle(self.small_model())

    def test_what_was_pushed_is_pulled_and_listed(self):
        pushed = self.store.json("push", self.model, f"{self.reference}:1.0", "-m", "first", "--metric", "f1=0.5")
        self.assertEqual((pushed["outcome"], pushed["enforcement"]), ("published", "client"))
        pulled = self.store.json("pull", f"{self.reference}:1.0", "-o", self.dir / "out")
        self.assertEqual(pulled["digest"], pushed["digest"])
        run(["diff", "-r", self.model, self.dir / "out"])
        for version in ("1.10", "1.9", "latest"):
            self.store.run("push", self.model, f"{self.reference}:{version}")
        listed = self.store.json("versions", self.reference)["versions"]
        self.assertEqual([entry["version"] for entry in listed], ["latest", "1.9", "1.10", "1.0"])
        oldest = listed[3]
        self.assertEqual((oldest["digest"], oldest["message"]), (pushed["digest"], "first"))
        self.assertEqual((oldest["content_root"], oldest["metrics"]), (pushed["content_root"], {"f1": 0.5}))
        self.assertEqual(self.store.json("show", f"{self.reference}:1.0")["digest"], pushed["digest"])
        self.assertTrue(self.store.json("verify", f"{self.reference}:1.0")["ok"])
        next_one = self.store.json("push", self.model, "--next", "minor", cwd=self.settings(f"{self.peer.host}/team"))
        self.assertEqual(next_one["version"], "1.11")

    def settings(self, registry):
        directory = self.dir / "settings"
        directory.mkdir()
        (directory / "modelkeep.toml").write_text(f'[repository]\nname = "model"\nregistry = "{registry}"\n')
        return directory

    def test_the_settings_name_the_registry(self):
        place = self.settings(f"{self.peer.host}/team")
        pushed = self.store.json("push", self.model, "1.0", cwd=place)
        self.assertEqual(self.store.json("show", f"{self.reference}:1.0")["digest"], pushed["digest"])
        self.assertTrue(self.store.json("verify", cwd=place)["ok"])

    def test_a_second_push_sends_little_and_a_changed_file_itself(self):
        wire = Wire(self.peer.port)
        self.addCleanup(wire.listener.close)
        push = lambda version: self.store.run("push", self.model, f"{wire.host}/team/model:{version}")
        size = sum(path.stat().st_size for path in self.model.rglob("*") if path.is_file())
        self.assertGreater(wire.counted(lambda: push("1.0")), size)
        self.assertLess(wire.counted(lambda: push("1.0")), 20_000)
        write_safetensors(self.model / "model-00001-of-00002.safetensors", 9 * MIB, "other")
        sent = wire.counted(lambda: push("1.1"))
        self.assertTrue(9 * MIB < sent < 9 * MIB + 100_000, sent)

    def test_other_content_under_a_version_is_refused(self):
        first = self.store.json("push", self.model, f"{self.reference}:1.0")
        (self.model / "config.json").write_text("{}\n")
        refused = self.store.run("push", self.model, f"{self.reference}:1.0", expect=EXIT_EXISTS)
        self.assertIn("next free version is 1.1", refused.stderr)
        self.assertEqual(self.store.json("show", f"{self.reference}:1.0")["digest"], first["digest"])

    def test_a_connection_that_breaks_costs_no_version(self):
        broken = Wire(self.peer.port, breaks_after=5 * MIB)
        self.addCleanup(broken.listener.close)
        self.store.run("push", self.model, f"{broken.host}/team/model:1.0")
        self.assertIsNone(broken.breaks_after, "it broke")
        size = sum(path.stat().st_size for path in self.model.rglob("*") if path.is_file())
        self.assertGreater(broken.bytes, size)
        again = Wire(self.peer.port, breaks_after=15 * MIB)
        self.addCleanup(again.listener.close)
        self.store.run("pull", f"{again.host}/team/model:1.0", "-o", self.dir / "out")
        self.assertIsNone(again.breaks_after, "it broke")
        self.assertLess(again.bytes, size + MIB, "what had come was not fetched again")
        run(["diff", "-r", self.model, self.dir / "out"])

    def test_a_tag_that_another_tool_overwrites_in_the_same_moment_stays_our_version(self):
        other = self.store.json("push", self.small_model("other", sizes=(), seed=2), f"{self.reference}:other")
        skopeo = ["skopeo", "--insecure-policy", "copy", "--src-tls-verify=false", "--dest-tls-verify=false"]
        overwrite = [*skopeo, f"docker://{self.reference}:other", f"docker://{self.reference}:1.0"]
        wire = Wire(self.peer.port, before_answer_to=(b"PUT /v2/team/model/manifests/1.0 ", lambda: run(overwrite)))
        self.addCleanup(wire.listener.close)
        pushed = self.store.json("push", self.model, f"{wire.host}/team/model:1.0")
        self.assertEqual(pushed["outcome"], "published")
        raw = run(["skopeo", "inspect", "--raw", "--tls-verify=false", f"docker://{self.reference}:1.0"]).stdout
        self.assertEqual("sha256:" + hashlib.sha256(raw.encode()).hexdigest(), other["digest"], "the tag was moved")
        pulled = self.store.json("pull", f"{self.reference}:1.0", "-o", self.dir / "out")
        self.assertEqual(pulled["digest"], pushed["digest"])
        run(["diff", "-r", self.model, self.dir / "out"])
        verified = self.store.json("verify", f"{self.reference}:1.0", expect=EXIT_DAMAGED)
        self.assertIn(other["digest"], verified["problems"][0])

    def test_an_index_and_an_export_keep_their_digests(self):
        pushed = self.store.json("push", self.model, f"{self.reference}:1.0", "--index")
        self.store.run("export", f"{self.reference}:1.0", "--oci", self.dir / "layout")
        index = json.loads((self.dir / "layout" / "index.json").read_text())
        self.assertEqual(index["manifests"][0]["digest"], pushed["digest"])
        self.store.run("pull", f"{self.reference}:1.0", "-o", self.dir / "out")
        run(["diff", "-r", self.model, self.dir / "out"])

    def test_what_was_tampered_with_is_found(self):
        self.store.run("push", self.model, f"{self.reference}:1.0")
        layer = max(self.store.json("show", f"{self.reference}:1.0")["layers"], key=lambda layer: layer["size"])
        with open(self.peer.blob(layer["digest"]), "r+b") as file:
            file.seek(layer["size"] // 2)
            byte = file.read(1)
            file.seek(layer["size"] // 2)
            file.write(bytes([byte[0] ^ 1]))
        pulled = self.store.run("pull", f"{self.reference}:1.0", "-o", self.dir / "out", expect=EXIT_DAMAGED)
        self.assertIn("sha256:", pulled.stderr)
        self.assertFalse((self.dir / "out" / "model-00002-of-00002.safetensors").exists())
        self.assertFalse(self.store.json("verify", f"{self.reference}:1.0", expect=EXIT_DAMAGED)["ok"])

    def test_skopeo_copies_what_we_pushed_and_we_pull_what_skopeo_pushed(self):
        pushed = self.store.json("push", self.model, f"{self.reference}:1.0")
        skopeo = ["skopeo", "--insecure-policy", "copy", "--src-tls-verify=false", "--dest-tls-verify=false"]
        run([*skopeo, f"docker://{self.reference}:1.0", f"dir:{self.dir / 'copy'}"])
        manifest = (self.dir / "copy" / "manifest.json").read_bytes()
        self.assertEqual("sha256:" + hashlib.sha256(manifest).hexdigest(), pushed["digest"])
        run([*skopeo, f"dir:{self.dir / 'copy'}", f"docker://{self.peer.host}/other/model:2.0"])
        self.store.run("pull", f"{self.peer.host}/other/model:2.0", "-o", self.dir / "out")
        run(["diff", "-r", self.model, self.dir / "out"])

    def test_docker_pulls_what_we_pushed_and_we_pull_what_docker_pushed(self):
        docker = Dockerd()
        self.addCleanup(docker.stop)
        image, copy = f"{self.reference}:1.0", f"{self.peer.host}/other/model:1.0"
        pushed = self.store.json("push", self.model, image)
        self.assertIn(pushed["digest"], docker("pull", image))
        run(["diff", "-r", self.model, docker.copy_out(image, "/models", self.dir / "copied")])
        docker("tag", image, copy)
        docker("push", copy)
        # docker has had the layers taken over from the repository that it pulled from, and so they are as they were.
        # What it compresses, for another registry, is in test_registry_docker.
        digests = lambda image: [layer["digest"] for layer in self.store.json("show", image)["layers"]]
        self.assertEqual(digests(copy), digests(image))
        self.store.run("pull", copy, "-o", self.dir / "out")
        run(["diff", "-r", self.model, self.dir / "out"])

    def test_a_layer_that_another_repository_has_is_taken_over_and_not_sent(self):
        wire = Wire(self.peer.port)
        self.addCleanup(wire.listener.close)
        first = self.store.json("push", self.model, f"{wire.host}/team/model:1.0")
        sent = wire.counted(lambda: self.store.run("push", self.model, f"{wire.host}/team/fork:1.0"))
        self.assertLess(sent, 30_000)
        self.store.run("pull", f"{wire.host}/team/fork:1.0", "-o", self.dir / "out")
        run(["diff", "-r", self.model, self.dir / "out"])
        self.assertEqual(self.store.json("show", f"{wire.host}/team/fork:1.0")["digest"], first["digest"])

    def test_an_image_whose_labels_are_gone_is_read_as_any_image(self):
        self.store.run("push", self.model, f"{self.reference}:1.0")
        copy = self.dir / "copy"
        skopeo = ["skopeo", "--insecure-policy", "copy", "--src-tls-verify=false", "--dest-tls-verify=false"]
        run([*skopeo, f"docker://{self.reference}:1.0", f"dir:{copy}"])
        manifest = json.loads((copy / "manifest.json").read_text())
        config = json.loads((copy / manifest["config"]["digest"].removeprefix("sha256:")).read_text())
        config["config"]["Labels"] = {}
        text = json.dumps(config).encode()
        hexadecimal = hashlib.sha256(text).hexdigest()
        (copy / hexadecimal).write_bytes(text)
        manifest["config"].update(digest=f"sha256:{hexadecimal}", size=len(text))
        (copy / "manifest.json").write_text(json.dumps(manifest))
        run([*skopeo, f"dir:{copy}", f"docker://{self.reference}:image"])
        shown = self.store.json("show", f"{self.reference}:image")
        self.assertEqual((shown["kind"], shown["content_root"], shown["files"][0]["digest"]), ("image", None, None))
        self.store.run("pull", f"{self.reference}:image", "-o", self.dir / "image")
        run(["diff", "-r", self.model, self.dir / "image"])

    def test_documents_are_what_the_schema_says(self):
        documents = {
            "push": self.store.json("push", self.model, f"{self.reference}:1.0"),
            "versions": self.store.json("versions", self.reference),
            "show": self.store.json("show", f"{self.reference}:1.0"),
            "verify": self.store.json("verify", f"{self.reference}:1.0"),
        }
        lines = "".join(f"{command} {json.dumps(document)}\n" for command, document in documents.items())
        validate = Path(__file__).with_name("validate.py")
        done = subprocess.run([VENV_PYTHON, validate], input=lines, capture_output=True, text=True)
        self.assertEqual((done.returncode, done.stdout.count("valid ")), (0, len(documents)), done.stderr)

    def test_what_is_not_there_is_said(self):
        for words in (("pull", f"{self.reference}:9"), ("versions", self.reference), ("show", f"{self.reference}:9")):
            refused = self.store.run(*words, expect=EXIT_FAILED)
            self.assertIn("team/model", refused.stderr)


class WithPasswords(Remote):
    def setUp(self):
        super().setUp()
        passwords = self.dir / "htpasswd"
        passwords.write_text(run(["htpasswd", "-Bbn", USER, PASSWORD]).stdout)
        self.peer = self.registry(f"auth:\n  htpasswd:\n    realm: test\n    path: {passwords}\n")
        self.reference = f"{self.peer.host}/team/model"
        self.model = settle(self.small_model(sizes=(9 * MIB,)))

    def login(self, password, expect=0, env=None):
        words = [BINARY, "login", self.peer.host, "-u", USER, "--password-stdin"]
        done = subprocess.run(
            [str(word) for word in words],
            input=password + "\n", capture_output=True, text=True, env=self.store.environment(env),
        )  # fmt: skip
        self.assertEqual(done.returncode, expect, done.stderr)
        self.assertNotIn(password, done.stdout + done.stderr)

    def test_passwords_are_neither_said_nor_kept_nor_among_the_words_of_a_process(self):
        self.login(PASSWORD)
        wire = Wire(self.peer.port)
        self.addCleanup(wire.listener.close)
        secrets = [PASSWORD, base64.b64encode(f"{USER}:{PASSWORD}".encode()).decode()]
        words = []
        wire.once(MIB, lambda: words.append(Path(f"/proc/{process.pid}/cmdline").read_bytes()))
        (self.dir / ".docker" / "config.json").write_text(json.dumps({"auths": {wire.host: {"auth": secrets[1]}}}))
        process = self.store.start("push", self.model, f"{wire.host}/team/model:1.0", "--json")
        said = process.communicate(timeout=120)[1].decode()
        self.assertEqual(process.returncode, 0, said)
        pushed = self.store.run("push", self.model, f"{wire.host}/team/model:1.0", "--json")
        (self.dir / ".docker" / "config.json").write_text(json.dumps({"auths": {wire.host: {"username": USER, "password": PASSWORD + "x"}}}))
        refused = self.store.run("push", self.model, f"{wire.host}/team/model:1.1", expect=EXIT_AUTHENTICATION)
        kept = [path.read_text(errors="replace") for path in self.store.home.rglob("cache/**/*") if path.is_file()]
        everything = "".join([said, pushed.stdout, pushed.stderr, refused.stderr, *map(bytes.decode, words), *kept])
        self.assertTrue(words, "the process was looked at")
        for secret in secrets:
            self.assertNotIn(secret, everything)

    def test_a_login_is_needed_checked_kept_and_forgotten(self):
        refused = self.store.run("push", self.model, f"{self.reference}:1.0", expect=EXIT_AUTHENTICATION)
        self.assertIn(f"modelkeep login {self.peer.host}", refused.stderr)
        self.login("wrong", expect=EXIT_AUTHENTICATION)
        config = self.dir / ".docker" / "config.json"
        self.assertFalse(config.exists())
        self.login(PASSWORD)
        self.assertEqual(config.stat().st_mode & 0o777, 0o600)
        self.store.run("push", self.model, f"{self.reference}:1.0")
        # skopeo reads what we wrote.
        run(["skopeo", "inspect", "--tls-verify=false", f"docker://{self.reference}:1.0"], env=self.store.environment())
        self.store.run("pull", f"{self.reference}:1.0", "-o", self.dir / "out")
        run(["diff", "-r", self.model, self.dir / "out"])
        self.store.run("logout", self.peer.host)
        self.store.run("versions", self.reference, expect=EXIT_AUTHENTICATION)

    def test_a_credential_helper_is_asked(self):
        programs = self.dir / "programs"
        programs.mkdir()
        helper = programs / "docker-credential-kept"
        kept = self.dir / "kept.json"
        helper.write_text(
            "#!/bin/sh\ncase $1 in\n"
            f"store) cat > {kept};;\n"
            f"get) cat > /dev/null; [ -f {kept} ] && cat {kept} || {{ echo credentials not found; exit 1; }};;\n"
            f"erase) cat > /dev/null; rm {kept};;\nesac\n"
        )
        helper.chmod(0o755)
        config = self.dir / ".docker" / "config.json"
        config.parent.mkdir()
        config.write_text('{"credsStore": "kept", "psFormat": "x"}')
        environment = {"PATH": f"{programs}:/usr/bin:/bin"}
        push = ("push", self.model, f"{self.reference}:1.0")
        self.store.run(*push, env=environment, expect=EXIT_AUTHENTICATION)
        self.login(PASSWORD, env=environment)
        self.assertEqual(json.loads(kept.read_text())["ServerURL"], self.peer.host)
        self.assertEqual(json.loads(config.read_text()), {"credsStore": "kept", "psFormat": "x", "auths": {self.peer.host: {}}})
        self.store.run(*push, env=environment)
        self.store.run("logout", self.peer.host, env=environment)
        self.assertFalse(kept.exists())
        self.store.run("versions", self.reference, env=environment, expect=EXIT_AUTHENTICATION)

    def test_a_login_of_skopeo_serves(self):
        file = self.dir / "auth.json"
        words = ["skopeo", "login", "--tls-verify=false", "--authfile", file, "-u", USER, "-p", PASSWORD, self.peer.host]
        run(words)
        self.store.run("push", self.model, f"{self.reference}:1.0", env={"REGISTRY_AUTH_FILE": str(file)})


class WithTls(Remote):
    def setUp(self):
        super().setUp()
        self.certificate, key = self.dir / "cert.pem", self.dir / "key.pem"
        run([
            "openssl", "req", "-x509", "-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:prime256v1", "-nodes", "-days", "2",
            "-subj", "/CN=test", "-addext", "subjectAltName=IP:127.0.0.1", "-addext", "basicConstraints=critical,CA:FALSE",
            "-keyout", key, "-out", self.certificate,
        ])  # fmt: skip
        self.peer = self.registry(f"  tls:\n    certificate: {self.certificate}\n    key: {key}\n")
        self.model = settle(self.small_model())

    def test_a_private_authority_is_trusted_when_it_is_named(self):
        reference = f"{self.peer.host}/team/model:1.0"
        self.store.run("push", self.model, reference, "--ca", self.certificate)
        self.store.run("pull", reference, "-o", self.dir / "out", "--ca", self.certificate)
        run(["diff", "-r", self.model, self.dir / "out"])

    def test_another_authority_is_not(self):
        other = self.dir / "other.pem"
        run([
            "openssl", "req", "-x509", "-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:prime256v1", "-nodes", "-days", "2",
            "-subj", "/CN=other", "-keyout", self.dir / "other.key", "-out", other,
        ])  # fmt: skip
        refused = self.store.run(
            "push", self.model, f"{self.peer.host}/team/model:1.0", "--ca", other, expect=EXIT_FAILED
        )
        self.assertIn("certificate", refused.stderr)
        self.assertNotIn("gave up after", refused.stderr)
