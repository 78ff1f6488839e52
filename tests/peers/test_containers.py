"""Exported archives, as docker and podman load them."""

import re

from base import PeerTest, minilm
from engines import Containers, Dockerd
from kept import run


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

    def test_docker_loads_the_archive_and_holds_the_same_files(self):
        image = self.load(minilm(), "minilm:1.0")
        self.assertEqual(image, "minilm:1.0")
        run(["diff", "-r", minilm(), self.docker.copy_out(image, "/models", self.dir / "out")])
        labels = self.docker("image", "inspect", "--format", "{{.Os}}/{{.Architecture}}", image).strip()
        self.assertEqual(labels, "linux/amd64")

    def test_copy_from_in_a_multi_stage_build_gives_the_same_files(self):
        model = self.small_model()
        image = self.load(model, "stage:1.0")
        context = self.dir / "context"
        context.mkdir()
        (context / "Dockerfile").write_text(f"FROM {image} AS model\nFROM scratch\nCOPY --from=model /models /opt/weights\n")
        self.docker("build", "--network", "none", "-t", "built:1", context)
        run(["diff", "-r", model, self.docker.copy_out("built:1", "/opt/weights", self.dir / "out")])


class Podman(PeerTest):
    def setUp(self):
        super().setUp()
        containers = Containers(self.dir / "podman")
        self.addCleanup(containers.close)
        self.podman = containers.podman

    def test_podman_loads_the_archive_and_mounts_the_same_files(self):
        model = minilm()
        self.store.run("push", model, "minilm:1.0")
        archive = self.dir / "image.tar"
        self.store.run("export", "minilm:1.0", "--docker-archive", archive)
        image = loaded_name(self.podman("load", "-i", archive))
        self.assertTrue(image.endswith("minilm:1.0"), image)
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
        mounted = self.podman("image", "mount", image).strip()
        try:
            run(["diff", "-r", model, f"{mounted}/models"])
        finally:
            self.podman("image", "unmount", image)
