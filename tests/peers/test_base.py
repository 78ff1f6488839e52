"""Models on top of other images: run by docker and podman, looked at by skopeo."""

import gzip
import io
import json
import subprocess
import tarfile

from engines import Containers, Dockerd, write_rootfs
from kept import EXIT_EXISTS, MIB, ROOT, VENV_PYTHON, run
from test_copy import Copies, sha256
from test_remote import Wire

ENTRYPOINT = '[image]\nentrypoint = ["/bin/busybox", "cat", "/models/config.json"]\nenv = { MODEL = "/models" }\n'


class Base(Copies):
    def setUp(self):
        super().setUp()
        self.containers = Containers(self.dir / "containers")
        self.addCleanup(self.containers.close)
        self.model = self.small_model(sizes=(9 * MIB,))
        (self.model / "modelkeep.toml").write_text(ENTRYPOINT)
        self.config = (self.model / "config.json").read_text()

    def busybox(self, layout, architecture="amd64", ballast=0):
        """A layout with a busybox image whose layer skopeo has compressed."""
        rootfs = self.dir / f"rootfs-{architecture}.tar"
        write_rootfs(rootfs, "the base\n", ballast)
        layer = rootfs.read_bytes()
        config = json.dumps({
            "architecture": architecture, "os": "linux", "created": "2020-01-01T00:00:00Z",
            "config": {"Env": ["PATH=/bin", "MODEL=none"], "Cmd": ["/bin/busybox", "cat", "/text"],
                       "WorkingDir": "/bin", "Labels": {"maintainer": "base"}},
            "rootfs": {"type": "layers", "diff_ids": [sha256(layer)]},
            "history": [{"created": "2020-01-01T00:00:00Z", "created_by": "a rootfs"}],
        }).encode()  # fmt: skip
        archive = self.dir / f"base-{architecture}.tar"
        with tarfile.open(archive, "w") as tar:
            listing = [{"Config": "config.json", "RepoTags": [f"busybox-{architecture}:1"], "Layers": ["layer.tar"]}]
            for name, data in (("layer.tar", layer), ("config.json", config), ("manifest.json", json.dumps(listing).encode())):
                member = tarfile.TarInfo(name)
                member.size = len(data)
                tar.addfile(member, io.BytesIO(data))
        self.containers.skopeo("copy", f"docker-archive:{archive}", f"oci:{layout}:{architecture}")
        return f"oci:{layout}:{architecture}"

    def blob(self, layout, digest):
        return (layout / "blobs/sha256" / digest.removeprefix("sha256:")).read_bytes()


class Engines(Base):
    @classmethod
    def setUpClass(cls):
        cls.docker = Dockerd()
        cls.addClassCleanup(cls.docker.stop)

    def test_an_image_without_a_dockerfile_runs_in_docker_and_podman(self):
        registry = self.registry()
        base = self.busybox(self.dir / "base")
        remote = f"{registry.host}/team/server:1.0"
        pushed = self.store.json("push", self.model, remote, "--base", base)
        self.docker("pull", remote)
        self.assertEqual(self.docker("run", "--rm", "--network", "none", remote), self.config)
        words = ("run", "--rm", "--network", "none", "--entrypoint", "/bin/busybox", remote)
        self.assertEqual(self.docker(*words, "cat", "/text"), "the base\n")
        shell = self.docker(*words, "sh", "-c", "echo $MODEL; pwd")
        self.assertEqual(shell, "/models\n/bin\n")
        history = self.docker("history", "--format", "{{.CreatedBy}}", "--no-trunc", remote).splitlines()
        self.assertEqual(history, ["modelkeep push 1.0"] * 2 + ["a rootfs"])
        labels = json.loads(self.docker("image", "inspect", "--format", "{{json .Config.Labels}}", remote))
        self.assertEqual((labels["maintainer"], labels["org.opencontainers.image.version"]), ("base", "1.0"))
        self.assertEqual(labels["org.opencontainers.image.base.digest"], pushed["base"]["digest"])
        self.containers.podman("pull", "--tls-verify=false", remote)
        limits = ("--ulimit", "nofile=1024:1024", "--ulimit", "nproc=1024:1024")  # nobody here may have podman's own
        ran = self.containers.podman("run", "--rm", "--network", "none", *limits, remote)
        self.assertEqual(ran, self.config)
        self.store.run("pull", remote, "-o", self.dir / "out")
        (self.model / "modelkeep.toml").unlink()
        run(["diff", "-r", self.model, self.dir / "out"])

    def test_an_image_that_docker_built_is_a_base(self):
        self.docker.build("built:1", "built by docker\n")
        env = self.engine(self.docker.host)
        self.copy("docker-daemon:built:1", "base:1", env=env)
        pushed = self.store.json("push", self.model, "server:1.0", "--base", "base:1")
        self.assertEqual(pushed["base"]["name"], "base:1")
        self.copy("server:1.0", "docker-daemon:server:1.0", env=env)
        self.assertEqual(self.docker("run", "--rm", "--network", "none", "server:1.0"), self.config)
        archive = self.dir / "base.tar"
        self.docker("save", "-o", archive, "built:1")
        again = self.store.json("push", self.model, "other:1.0", "--base", f"docker-archive:{archive}")
        self.assertEqual(again["base"]["digest"], pushed["base"]["digest"])


class Layouts(Base):
    def test_every_platform_of_an_index_gets_the_model(self):
        single = self.dir / "single"
        for architecture in ("amd64", "arm64"):
            self.busybox(single, architecture)
        layout, name = self.dir / "index", "localhost/base:1"
        self.containers.buildah("manifest", "create", name)
        for architecture in ("amd64", "arm64"):
            self.containers.buildah("manifest", "add", name, f"oci:{single}:{architecture}")
        self.containers.buildah("manifest", "push", "--all", name, f"oci:{layout}:1")
        top = json.loads((layout / "index.json").read_text())["manifests"][0]["digest"]
        base = json.loads(self.blob(layout, top))
        pushed = self.store.json("push", self.model, "server:1.0", "--base", f"oci:{layout}")
        self.assertEqual(pushed["base"]["digest"], top)
        out = self.dir / "out"
        self.copy("server:1.0", f"oci:{out}:1.0")
        index = json.loads(self.blob(out, pushed["digest"]))
        self.assertEqual(index["annotations"]["org.opencontainers.image.base.digest"], top)
        above = []
        for entry, below in zip(index["manifests"], base["manifests"], strict=True):
            architecture = entry["platform"]["architecture"]
            self.assertEqual(architecture, below["platform"]["architecture"])
            manifest, under = (json.loads(self.blob(place, digest)) for place, digest in (
                (out, entry["digest"]), (layout, below["digest"])
            ))  # fmt: skip
            self.assertEqual(manifest["layers"][0]["digest"], under["layers"][0]["digest"])
            self.assertIn("gzip", manifest["layers"][0]["mediaType"])
            self.assertEqual(self.blob(out, under["layers"][0]["digest"]), self.blob(layout, under["layers"][0]["digest"]))
            above.append(manifest["layers"][1:])
            words = ("inspect", "--override-os", "linux", "--override-arch", architecture, f"oci:{out}:1.0")
            inspected = json.loads(self.containers.skopeo(*words))
            self.assertEqual(inspected["Architecture"], architecture)
            self.assertEqual(inspected["Labels"]["maintainer"], "base")
            self.assertEqual(inspected["Env"], ["PATH=/bin", "MODEL=/models"])
        self.assertEqual(*above)
        self.containers.skopeo("copy", "--all", "--preserve-digests", f"oci:{out}:1.0", f"dir:{self.dir / 'whole'}")
        again = self.another_store("again").json("push", self.model, "server:1.0", "--base", f"oci:{layout}:1")
        self.assertEqual(again["digest"], pushed["digest"])
        self.store.run("push", self.model, "server:1.0", expect=EXIT_EXISTS)

    def test_a_base_in_the_same_registry_is_taken_over_and_not_sent(self):
        registry = self.registry()
        base = self.busybox(self.dir / "base", ballast=20 * MIB)
        self.copy(base, f"{registry.host}/team/base:1")
        wire = Wire(registry.port)
        self.addCleanup(wire.listener.close)
        small = self.dir / "small"
        small.mkdir()
        (small / "config.json").write_text("{}")
        push = lambda: self.store.run("push", small, f"{wire.host}/team/server:1", "--base", f"{wire.host}/team/base:1")
        self.assertLess(wire.counted(push), 100_000)
        self.assertTrue(self.store.json("verify", f"{registry.host}/team/server:1")["ok"])

    def test_a_layer_that_unpacks_to_gigabytes_hurts_nobody(self):
        layout = self.dir / "bomb"
        self.busybox(layout)
        index = json.loads((layout / "index.json").read_text())
        entry = index["manifests"][0]
        manifest = json.loads(self.blob(layout, entry["digest"]))
        bomb = gzip.compress(bytes(MIB), mtime=0) * 8192  # members of one stream, as gzip has it

        def put(data):
            digest = sha256(data)
            (layout / "blobs/sha256" / digest.removeprefix("sha256:")).write_bytes(data)
            return {"digest": digest, "size": len(data)}

        manifest["layers"][0].update(put(bomb))
        entry.update(put(json.dumps(manifest).encode()))
        (layout / "index.json").write_text(json.dumps(index))
        peak = self.peak("push", self.model, "server:1.0", "--base", f"oci:{layout}")
        self.assertLess(peak, 48 * MIB)
        self.store.run("pull", "server:1.0", "-o", self.dir / "out")
        self.assertTrue(self.store.json("verify", "--all")["ok"])

    def test_documents_are_what_the_schema_says(self):
        base = self.busybox(self.dir / "base")
        lines = [
            "push " + json.dumps(self.store.json("push", self.model, "server:1.0", "--base", base)),
            "push " + json.dumps(self.store.json("push", self.model, "plain:1.0")),
            "show " + json.dumps(self.store.json("show", "server:1.0")),
        ]
        validate = [VENV_PYTHON, ROOT / "tests/peers/validate.py"]
        done = subprocess.run(validate, input="\n".join(lines), capture_output=True, text=True, timeout=60)
        self.assertEqual(done.stdout.split("\n")[:-1], ["valid push"] * 2 + ["valid show"], done.stderr)
