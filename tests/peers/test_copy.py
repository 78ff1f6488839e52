"""`modelkeep copy` between the store, registries, layouts, archives and engines, compared by digest with what others do."""

import hashlib
import json
import os
import subprocess

from base import PeerTest
from engines import Containers, Dockerd
from kept import BINARY, EXIT_EXISTS, MIB, ROOT, VENV_PYTHON, ended_within, run
from test_remote import Registry

MANIFEST = "application/vnd.oci.image.manifest.v1+json"


def sha256(data):
    return "sha256:" + hashlib.sha256(data).hexdigest()


PEAK = """
import resource, subprocess, sys
subprocess.run(sys.argv[1:], check=True)
print(resource.getrusage(resource.RUSAGE_CHILDREN).ru_maxrss)
"""


class Copies(PeerTest):
    def registry(self):
        registry = Registry(self.dir / f"registry-{os.urandom(4).hex()}")
        self.addCleanup(registry.stop)
        return registry

    def engine(self, host):
        return {"DOCKER_HOST": host}

    def copy(self, source, target, **more):
        return self.store.json("copy", source, target, **more)

    def peak(self, *words, env=None):
        """The most memory, in bytes, that a command took."""
        # From a small process: what its parent had in memory counts as a child's, too.
        said = run(["python3", "-c", PEAK, BINARY, *words], env=self.store.environment(env), cwd=self.dir).stdout
        return int(said.splitlines()[-1]) * 1024


class Docker(Copies):
    @classmethod
    def setUpClass(cls):
        cls.docker = Dockerd()
        cls.addClassCleanup(cls.docker.stop)

    def test_what_docker_built_becomes_a_version_and_runs_from_the_registry(self):
        env, registry = self.engine(self.docker.host), self.registry()
        image = self.docker.build("built:1", "from a version\n", ballast=MIB)
        identity = self.docker("image", "inspect", "--format", "{{.Id}}", image).strip()
        stored = self.copy(f"docker-daemon:{image}", "team/built:1", env=env)
        self.assertEqual((stored["outcome"], stored["image_id"], stored["content_root"]), ("published", identity, None))
        remote = f"{registry.host}/team/built:1"
        sent = self.copy(f"docker-daemon:{image}", remote, env=env)
        self.assertEqual(sent["digest"], stored["digest"])
        again = self.copy(f"docker-daemon:{image}", remote, env=env)
        self.assertEqual((again["outcome"], again["bytes_written"]), ("unchanged", 0))
        shown = self.store.json("show", "team/built:1")
        self.assertEqual(shown["history"]["from"], f"docker-daemon:{image}@{identity}")
        self.assertEqual(self.store.json("versions", remote.rpartition(":")[0])["versions"][0]["digest"], sent["digest"])
        self.assertEqual(self.store.json("show", remote)["kind"], "image")
        for words in (("verify", "--all"), ("verify", remote)):
            self.assertTrue(self.store.json(*words)["ok"])
        self.docker("rmi", image)
        self.docker("pull", remote)
        self.assertEqual(self.docker("image", "inspect", "--format", "{{.Id}}", remote).strip(), identity)
        self.assertEqual(self.docker("run", "--rm", "--network", "none", remote), "from a version\n")
        self.docker.build("other:1", "something else\n")
        self.store.run("copy", "docker-daemon:other:1", remote, env=env, expect=EXIT_EXISTS)
        self.store.run("copy", "docker-daemon:other:1", "team/built:1", env=env, expect=EXIT_EXISTS)

    def test_a_version_that_went_through_docker_is_the_same_version(self):
        env, model = self.engine(self.docker.host), self.small_model()
        pushed = self.store.json("push", model, "digits:1.0", "-m", "first", "--metric", "f1=0.5")
        loaded = self.copy("digits:1.0", "docker-daemon:digits:1.0", env=env)
        self.assertEqual(
            self.docker("image", "inspect", "--format", "{{.Id}}", "digits:1.0").strip(), loaded["image_id"]
        )
        run(["diff", "-r", model, self.docker.copy_out("digits:1.0", "/models", self.dir / "out")])
        back = self.copy("docker-daemon:digits:1.0", "back:1.0", env=env)
        self.assertEqual((back["digest"], back["content_root"]), (pushed["digest"], pushed["content_root"]))
        archive = self.dir / "saved.tar"
        self.docker("save", "-o", archive, "digits:1.0")
        saved = self.copy(f"docker-archive:{archive}:digits:1.0", "saved:1.0")
        self.assertEqual(saved["digest"], pushed["digest"])
        self.assertEqual(self.store.json("show", "saved:1.0")["metrics"], {"f1": 0.5})
        self.store.run("pull", "saved:1.0", "-o", self.dir / "pulled")
        run(["diff", "-r", model, self.dir / "pulled"])

    def test_an_image_of_several_layers_and_a_repeated_one_is_copied(self):
        context = self.dir / "context"
        context.mkdir()
        (context / "a").write_bytes(os.urandom(MIB))
        (context / "Dockerfile").write_text(
            "FROM scratch\nCOPY a /a\nCOPY a /b\nLABEL x=y\nCOPY a /a\nWORKDIR /w\nWORKDIR /w/x\n"
        )
        self.docker("build", "--network", "none", "-t", "layers:1", context)
        layers = self.docker("image", "inspect", "--format", "{{json .RootFS.Layers}}", "layers:1")
        copied = self.copy("docker-daemon:layers:1", "layers:1", env=self.engine(self.docker.host))
        shown = self.store.json("show", "layers:1")
        self.assertEqual([layer["digest"] for layer in shown["layers"]], json.loads(layers))
        self.assertEqual(shown["digest"], copied["digest"])
        archive = self.dir / "again.tar"
        self.copy("layers:1", f"docker-archive:{archive}:again:1")
        self.docker("load", "-i", archive)
        inspect = ("image", "inspect", "--format", "{{.Id}}")
        self.assertEqual(self.docker(*inspect, "again:1"), self.docker(*inspect, "layers:1"))

    def test_a_large_image_goes_through_little_memory_and_no_other_disk(self):
        self.docker.build("large:1", "large\n", ballast=160 * MIB)
        env = {**self.engine(self.docker.host), "TMPDIR": str(self.dir / "nowhere")}
        self.assertLess(self.peak("copy", "docker-daemon:large:1", "large:1", env=env), 32 * MIB)
        self.assertLess(self.peak("copy", "large:1", "docker-daemon:back:1", env=env), 32 * MIB)
        self.assertTrue(self.store.json("verify", "--all")["ok"])

    def test_documents_are_what_the_schema_says(self):
        env = self.engine(self.docker.host)
        self.docker.build("schema:1", "text\n")
        self.store.run("push", self.small_model(), "digits:1.0")
        documents = [
            self.copy("docker-daemon:schema:1", "schema:1", env=env),
            self.copy("digits:1.0", "docker-daemon:digits:1.0", env=env),
            self.copy("digits:1.0", f"oci:{self.dir / 'layout'}:1.0"),
            self.store.json("copy", "digits:1.0", "other:1.0", "--dry-run"),
        ]
        lines = [f"copy {json.dumps(document)}" for document in documents]
        lines.append("show " + json.dumps(self.store.json("show", "schema:1")))
        validate = [VENV_PYTHON, ROOT / "tests/peers/validate.py"]
        done = subprocess.run(validate, input="\n".join(lines), capture_output=True, text=True, timeout=60)
        self.assertEqual(done.stdout.split("\n")[:-1], ["valid copy"] * 4 + ["valid show"], done.stderr)


class Skopeo(Copies):
    def setUp(self):
        super().setUp()
        self.containers = Containers(self.dir / "containers")
        self.addCleanup(self.containers.close)

    def raw(self, reference):
        return self.containers.skopeo("inspect", "--tls-verify=false", "--raw", reference).encode()

    def test_digests_are_those_of_skopeo_both_ways(self):
        registry = self.registry()
        index = self.store.json("push", self.small_model(), "digits:1.0", "--index")["digest"]
        layout, remote = self.dir / "layout", f"{registry.host}/team/digits:1.0"
        for source, target in (("digits:1.0", f"oci:{layout}:1.0"), (f"oci:{layout}:1.0", remote)):
            self.assertEqual(self.copy(source, target)["digest"], index)
        self.assertEqual(sha256(self.raw(f"docker://{remote}")), index)
        self.assertEqual(sha256(self.raw(f"oci:{layout}:1.0")), index)
        words = ("copy", "--all", "--preserve-digests")
        other = self.dir / "by-skopeo"
        self.containers.skopeo(
            *words, "--src-tls-verify=false", "--dest-oci-accept-uncompressed-layers", f"docker://{remote}", f"oci:{other}:x"
        )
        self.assertEqual(self.copy(f"oci:{other}:x", "again:1.0")["digest"], index)
        by_skopeo = f"docker://{registry.host}/team/copied:1.0"
        self.containers.skopeo(*words, "--dest-tls-verify=false", f"oci:{layout}:1.0", by_skopeo)
        self.assertEqual(self.copy(by_skopeo, "third:1.0")["digest"], index)
        self.store.run("pull", "third:1.0", "-o", self.dir / "out")
        run(["diff", "-r", self.dir / "model", self.dir / "out"])
        self.assertTrue(self.store.json("verify", "--all")["ok"])

    def test_what_skopeo_compressed_is_copied_as_it_is(self):
        registry, layout = self.registry(), self.dir / "layout"
        archive = self.dir / "image.tar"
        self.store.run("push", self.small_model(), "digits:1.0")
        self.copy("digits:1.0", f"docker-archive:{archive}")
        self.containers.skopeo("copy", f"docker-archive:{archive}", f"oci:{layout}:gz")
        for format in ("oci", "v2s2"):
            by_skopeo = f"{registry.host}/team/{format}:1.0"
            words = ("copy", "--dest-tls-verify=false", "--format", format)
            self.containers.skopeo(*words, f"oci:{layout}:gz", f"docker://{by_skopeo}")
            copied = self.copy(by_skopeo, f"{format}:1.0")
            self.assertEqual(copied["digest"], sha256(self.raw(f"docker://{by_skopeo}")))
            back = f"{registry.host}/team/back-{format}:1.0"
            self.assertEqual(self.copy(f"{format}:1.0", back)["digest"], copied["digest"])
        self.assertTrue(self.store.json("verify", "--all")["ok"])
        # The layers were packed again: docker unpacks them when it loads them.
        self.copy("oci:1.0", f"docker-archive:{self.dir / 'gz.tar'}:digits:gz")
        self.assertIn("digits:gz", self.containers.podman("load", "-i", self.dir / "gz.tar"))

    def test_referrers_go_with_an_image_to_a_registry_that_keeps_no_lists(self):
        registry, layout = self.registry(), self.dir / "layout"
        pushed = self.store.json("push", self.small_model(), "digits:1.0")
        self.copy("digits:1.0", f"oci:{layout}:1.0")
        signature = self.sign(layout, pushed["digest"])
        remote = f"{registry.host}/team/digits:1.0"
        self.assertEqual(self.copy(f"oci:{layout}:1.0", remote)["referrers"], 1)
        fallback = f"docker://{registry.host}/team/digits:{pushed['digest'].replace(':', '-')}"
        listed = json.loads(self.raw(fallback))["manifests"]
        self.assertEqual([(entry["digest"], entry["artifactType"]) for entry in listed], [(signature, "application/x-sig")])
        self.assertEqual(self.copy(remote, f"oci:{self.dir / 'back'}:1.0")["referrers"], 1)
        entries = json.loads((self.dir / "back" / "index.json").read_text())["manifests"]
        self.assertIn(signature, [entry["digest"] for entry in entries])
        self.assertEqual(self.copy(remote, "back:1.0")["referrers"], 1)
        self.assertEqual([entry["version"] for entry in self.store.json("versions", "back")["versions"]], ["1.0"])
        listed = self.store.json("versions", f"{registry.host}/team/digits")["versions"]
        self.assertEqual([entry["version"] for entry in listed], ["1.0"])

    def sign(self, layout, subject):
        """Adds a manifest that says something about another to a layout."""

        def put(media_type, data):
            digest = sha256(data)
            (layout / "blobs/sha256" / digest.removeprefix("sha256:")).write_bytes(data)
            return {"mediaType": media_type, "digest": digest, "size": len(data)}

        index = json.loads((layout / "index.json").read_text())
        (about,) = [entry for entry in index["manifests"] if entry["digest"] == subject]
        entry = put(MANIFEST, json.dumps({
            "schemaVersion": 2, "mediaType": MANIFEST, "artifactType": "application/x-sig",
            "config": put("application/vnd.oci.empty.v1+json", b"{}"), "layers": [put("text/plain", b"signed")],
            "subject": {key: about[key] for key in ("mediaType", "digest", "size")},
        }).encode())  # fmt: skip
        index["manifests"].append(entry)
        (layout / "index.json").write_text(json.dumps(index))
        return entry["digest"]


class Podman(Copies):
    def setUp(self):
        super().setUp()
        self.containers = Containers(self.dir / "containers")
        self.addCleanup(self.containers.close)

    def test_what_podman_saves_becomes_a_version(self):
        model, archive = self.small_model(), self.dir / "image.tar"
        pushed = self.store.json("push", model, "digits:1.0")
        self.copy("digits:1.0", f"docker-archive:{archive}")
        self.containers.podman("load", "-i", archive)
        for format in ("docker-archive", "oci-dir"):
            saved = self.dir / format
            self.containers.podman("save", "--format", format, "-o", saved, "localhost/digits:1.0")
            source = f"docker-archive:{saved}" if format == "docker-archive" else f"oci:{saved}"
            copied = self.copy(source, f"saved/{format}:1.0")
            self.assertEqual(copied["outcome"], "published")
            if format == "docker-archive":
                self.assertEqual(copied["digest"], pushed["digest"])
        self.assertTrue(self.store.json("verify", "--all")["ok"])

    def test_the_socket_of_podman_serves_as_that_of_docker(self):
        socket = self.dir / "podman.sock"
        place = [*self.containers.place, "--tmpdir", self.dir / "containers" / "tmp"]
        words = ["podman", *place, "system", "service", "--time", "0", f"unix://{socket}"]
        service = subprocess.Popen(
            [str(word) for word in words], env=self.containers.environment,
            stdin=subprocess.DEVNULL, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL,
        )  # fmt: skip
        self.addCleanup(self.end, service)
        self.until_it_listens(service, socket)
        env = self.engine(f"unix://{socket}")
        pushed = self.store.json("push", self.small_model(), "digits:1.0")
        self.copy("digits:1.0", "docker-daemon:localhost/digits:1.0", env=env)
        self.assertIn("digits", self.containers.podman("images"))
        back = self.copy("docker-daemon:localhost/digits:1.0", "back:1.0", env=env)
        self.assertEqual(back["digest"], pushed["digest"])

    def until_it_listens(self, service, socket):
        """Waits for the directory in which the socket appears, and not for time to pass."""
        watch = subprocess.run(
            ["python3", "-c", WAIT, str(socket), str(service.pid)], timeout=60, capture_output=True, text=True
        )
        self.assertEqual(watch.returncode, 0, watch.stderr)

    def end(self, service):
        service.terminate()
        if not ended_within(service, 30):
            service.kill()
        service.wait()


# `podman system service` says nothing when it is ready: whoever connects waits for the socket by inotify.
WAIT = """
import ctypes, os, select, socket, sys
path, pid = sys.argv[1], int(sys.argv[2])
libc = ctypes.CDLL(None, use_errno=True)
watch = libc.inotify_init1(os.O_CLOEXEC)
assert libc.inotify_add_watch(watch, os.path.dirname(path).encode(), 0x100 | 0x80 | 0x4) >= 0
process = os.pidfd_open(pid)
poll = select.poll()
poll.register(watch, select.POLLIN)
poll.register(process, select.POLLIN)
while True:
    try:
        socket.socket(socket.AF_UNIX).connect(path)
        break
    except (FileNotFoundError, ConnectionRefusedError):
        for descriptor, _ in poll.poll(1000):
            assert descriptor != process, "it ended"
            os.read(watch, 65536)
"""
