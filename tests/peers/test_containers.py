"""Exported archives, as docker and podman load them."""

import os
import re
import shutil
import subprocess
import threading

from base import PeerTest, minilm
from kept import ended_within, run, scratch


class Dockerd:
    """A docker engine of its own: no network, its data in a scratch directory."""

    def __init__(self):
        self.dir = scratch()
        self.host = f"unix://{self.dir}/docker.sock"
        self.ready = threading.Event()
        self.log = []
        self.process = subprocess.Popen(
            [
                "dockerd", "--data-root", self.dir / "data", "--exec-root", self.dir / "exec",
                "--pidfile", self.dir / "pid", "-H", self.host, "--iptables=false", "--bridge=none",
            ],
            stdin=subprocess.DEVNULL, stdout=subprocess.DEVNULL, stderr=subprocess.PIPE, text=True,
        )  # fmt: skip
        self.reader = threading.Thread(target=self.read, daemon=True)
        self.reader.start()
        if not self.ready.wait(60) or self.process.poll() is not None:
            self.stop()
            raise AssertionError("dockerd did not start:\n" + "".join(self.log[-30:]))

    def read(self):
        for line in self.process.stderr:
            self.log.append(line)
            if "API listen on" in line:
                self.ready.set()
        self.ready.set()  # it ended

    def __call__(self, *words):
        environment = {"PATH": os.environ["PATH"], "HOME": str(self.dir), "DOCKER_HOST": self.host, "DOCKER_BUILDKIT": "0"}
        return run(["docker", *words], env=environment).stdout

    def stop(self):
        self.process.terminate()
        if not ended_within(self.process, 30):
            self.process.kill()
        self.process.wait()
        self.reader.join()
        self.process.stderr.close()
        shutil.rmtree(self.dir, ignore_errors=True)


def loaded_name(output):
    """What `docker load` and `podman load` say they loaded."""
    found = re.search(r"Loaded image(?:\(s\))?: (\S+)", output)
    if not found:
        raise AssertionError(f"nothing was loaded: {output}")
    return found.group(1)


class Docker(PeerTest):
    @classmethod
    def setUpClass(cls):
        cls.docker = Dockerd()
        cls.addClassCleanup(cls.docker.stop)

    def load(self, model, reference):
        self.store.run("push", model, reference)
        archive = self.dir / "image.tar"
        self.store.run("export", reference, "--docker-archive", archive)
        return loaded_name(self.docker("load", "-i", archive))

    def copy_out(self, image, path):
        """The directory `path` of an image, by a container that is never started."""
        container = self.docker("create", "--network", "none", image, "/none").strip()
        out = self.dir / f"out-{container[:12]}"
        self.docker("cp", f"{container}:{path}", out)
        self.docker("rm", container)
        return out

    def test_docker_loads_the_archive_and_holds_the_same_files(self):
        image = self.load(minilm(), "minilm:1.0")
        self.assertEqual(image, "minilm:1.0")
        run(["diff", "-r", minilm(), self.copy_out(image, "/models")])
        labels = self.docker("image", "inspect", "--format", "{{.Os}}/{{.Architecture}}", image).strip()
        self.assertEqual(labels, "linux/amd64")

    def test_copy_from_in_a_multi_stage_build_gives_the_same_files(self):
        model = self.small_model()
        image = self.load(model, "stage:1.0")
        context = self.dir / "context"
        context.mkdir()
        (context / "Dockerfile").write_text(f"FROM {image} AS model\nFROM scratch\nCOPY --from=model /models /opt/weights\n")
        self.docker("build", "--network", "none", "-t", "built:1", context)
        run(["diff", "-r", model, self.copy_out("built:1", "/opt/weights")])


class Podman(PeerTest):
    def podman(self, *words):
        root = self.dir / "podman"
        place = ["--root", root / "root", "--runroot", root / "run", "--tmpdir", root / "tmp", "--storage-driver", "overlay"]
        return run(["podman", *place, *words]).stdout

    def test_podman_loads_the_archive_and_mounts_the_same_files(self):
        model = minilm()
        self.store.run("push", model, "minilm:1.0")
        archive = self.dir / "image.tar"
        self.store.run("export", "minilm:1.0", "--docker-archive", archive)
        image = loaded_name(self.podman("load", "-i", archive))
        self.assertTrue(image.endswith("minilm:1.0"), image)
        self.addCleanup(self.unmount, self.dir / "podman" / "root" / "overlay")
        mounted = self.podman("image", "mount", image).strip()
        try:
            run(["diff", "-r", model, f"{mounted}/models"])
        finally:
            self.podman("image", "unmount", image)
        self.podman("image", "rm", image)

    def test_podman_pulls_the_oci_layout_and_mounts_the_same_files(self):
        model = self.small_model()
        layout = self.exported(model)
        image = self.podman("pull", f"oci:{layout}:1.0").strip().splitlines()[-1]
        self.addCleanup(self.unmount, self.dir / "podman" / "root" / "overlay")
        mounted = self.podman("image", "mount", image).strip()
        try:
            run(["diff", "-r", model, f"{mounted}/models"])
        finally:
            self.podman("image", "unmount", image)
