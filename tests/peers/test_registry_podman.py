"""podman and buildah on `modelkeep serve`."""

import shutil
from pathlib import Path

from engines import write_rootfs
from kept import run
from registry import WithContainers
from trust import Authority


class Podman(WithContainers):
    def test_podman_pushes_what_buildah_built_and_pulls_it_again(self):
        server = self.serve()
        archive = self.dir / "rootfs.tar"
        write_rootfs(archive, "built from scratch")
        buildah, podman = self.containers.buildah, self.containers.podman
        container = buildah("from", "scratch").strip()
        buildah("add", container, archive, "/")
        buildah("config", "--cmd", "/bin/busybox cat /text", container)
        image = f"{server.host}/team/app:1.0"
        buildah("commit", "--rm", container, image)
        buildah("push", "--tls-verify=false", image)
        podman("push", "--tls-verify=false", image, f"{server.host}/team/app:2.0")
        podman("image", "rm", "--all", "--force")
        for version in ("1.0", "2.0"):
            found = podman("pull", "--tls-verify=false", f"{server.host}/team/app:{version}").strip().splitlines()[-1]
            mounted = podman("image", "mount", found).strip()
            self.assertEqual((Path(mounted) / "text").read_text(), "built from scratch")
            podman("image", "unmount", found)
        self.assertEqual({version["version"] for version in self.versions("team/app")}, {"1.0", "2.0"})

    def test_podman_shows_why_other_content_under_a_tag_is_refused(self):
        server = self.serve()
        image = f"{server.host}/team/app:1.0"
        podman = self.containers.podman
        for text in ("first", "second"):
            archive = self.dir / f"{text}.tar"
            write_rootfs(archive, text)
            podman("import", archive, image)
            if text == "first":
                podman("push", "--tls-verify=false", image)
                podman("push", "--tls-verify=false", image)
        said = podman("push", "--tls-verify=false", image, expect=125)
        self.assertIn("tag 1.0 is immutable", said)

    def test_podman_pulls_a_model_and_mounts_the_same_files(self):
        server = self.serve()
        model = self.small_model()
        self.store.run("push", model, "team/model:1.0")
        podman = self.containers.podman
        image = podman("pull", "--tls-verify=false", f"{server.host}/team/model:1.0").strip().splitlines()[-1]
        mounted = podman("image", "mount", image).strip()
        run(["diff", "-r", model, f"{mounted}/models"])
        podman("image", "unmount", image)

    def test_podman_and_skopeo_log_in_over_tls_with_a_private_authority(self):
        authority = Authority(self.dir / "tls")
        certificate, key = authority.certify("127.0.0.1")
        server = self.serve("--tls-cert", certificate, "--tls-key", key, "--config", self.access())
        self.store.run("push", self.small_model(), "team/model:1.0")
        podman, skopeo = self.containers.podman, self.containers.skopeo
        source, copy = f"docker://{server.host}/team/model:1.0", f"docker://{server.host}/team/copy:1.0"
        trusted = self.dir / "trusted"
        trusted.mkdir()
        shutil.copy(authority.certificate, trusted)
        self.assertIn("x509", skopeo("inspect", source, expect=1))
        self.assertIn("unauthorized: log in", skopeo("inspect", "--cert-dir", trusted, source, expect=1))
        login = ["login", "--cert-dir", trusted, server.host, "-u", "ada", "-p"]
        podman(*login, "wrong", expect=125)
        podman(*login, "ada's password")
        podman("pull", "--cert-dir", trusted, f"{server.host}/team/model:1.0")
        skopeo("copy", "--preserve-digests", "--src-cert-dir", trusted, "--dest-cert-dir", trusted, source, copy)
        (version,) = self.versions("team/copy")
        self.assertEqual(version["author"], "ada")
