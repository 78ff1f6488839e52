"""docker, and the containerd that it starts, on `modelkeep serve`."""

import os
import re
import shutil
from pathlib import Path

from engines import Dockerd
from kept import BINARY, EXIT_EXISTS, MIB, ROOT, Store, assert_same_tree, bytes_written, ended_within, run
from registry import Served
from trust import Authority


class Docker(Served):
    @classmethod
    def setUpClass(cls):
        cls.docker = Dockerd()
        cls.addClassCleanup(cls.docker.stop)

    def push(self, image):
        """Pushes, and gives the digest that docker prints."""
        said = self.docker("push", image)
        found = re.search(r"digest: (sha256:[0-9a-f]{64})", said)
        self.assertIsNotNone(found, said)
        return found.group(1)

    def forget(self, *images):
        self.docker("image", "rm", "--force", *images)

    def test_docker_pushes_pulls_by_tag_and_by_digest_and_runs(self):
        server = self.serve()
        image = self.docker.build(f"{server.host}/team/app:1.0", "hello from the registry")
        digest = self.push(image)
        for reference in (image, f"{server.host}/team/app@{digest}"):
            self.forget(image)
            self.docker("pull", reference)
            self.assertEqual(self.docker("run", "--rm", "--network", "none", reference), "hello from the registry")
        self.store.run("verify", "--all")

    def test_docker_shows_why_other_content_under_a_tag_is_refused(self):
        server = self.serve()
        image = f"{server.host}/team/app:1.0"
        self.docker.build(image, "first")
        first = self.push(image)
        self.assertEqual(self.push(image), first, "the same content again is success")
        self.docker.build(image, "second")
        said = self.docker.refuses("push", image)
        self.assertIn("denied: tag 1.0 is immutable", said)
        self.assertIn(first, said)
        self.forget(image)
        self.docker("pull", image)
        self.assertEqual(self.docker("run", "--rm", "--network", "none", image), "first")

    def test_what_docker_pushed_is_a_version_of_the_store_and_names_who_pushed(self):
        server = self.serve()
        digest = self.push(self.docker.build(f"{server.host}/team/app:1.0", "hello"))
        (version,) = self.versions("team/app")
        self.assertEqual((version["version"], version["digest"]), ("1.0", digest))
        self.assertEqual(version["author"], "anonymous@127.0.0.1")
        refused = self.store.run("push", self.small_model(), "team/app:1.0", expect=EXIT_EXISTS)
        self.assertIn(digest, refused.stderr)

    def test_a_model_that_docker_packed_again_is_the_same_model(self):
        # docker compresses the layers that a repository does not have yet.
        server, other = self.serve(), self.serve()
        model = self.small_model()
        pushed = self.store.json("push", model, "team/model:1.0")
        image, copy = f"{server.host}/team/model:1.0", f"{other.host}/team/copy:1.0"
        self.docker("pull", image)
        self.docker("tag", image, copy)
        self.push(copy)
        self.store.run("verify", "--all")
        shown = self.store.json("show", "team/copy:1.0")
        self.assertTrue(all(layer["mediaType"].endswith("gzip") for layer in shown["layers"]), shown["layers"])
        self.assertEqual(shown["content_root"], pushed["content_root"])
        self.store.run("pull", "team/copy:1.0", "-o", self.dir / "pulled")
        assert_same_tree(model, self.dir / "pulled")
        self.forget(image, copy)
        self.docker("pull", copy)
        run(["diff", "-r", model, self.docker.copy_out(copy, "/models", self.dir / "out")])

    def test_a_model_that_modelkeep_pushed_is_pulled_by_docker_with_the_same_files(self):
        server = self.serve()
        model = self.small_model()
        pushed = self.store.json("push", model, "team/model:1.0")
        image = f"{server.host}/team/model:1.0"
        self.assertIn(pushed["digest"], self.docker("pull", image))
        run(["diff", "-r", model, self.docker.copy_out(image, "/models", self.dir / "out")])

    def test_containerd_pulls_a_model_and_pushes_an_image(self):
        server = self.serve()
        model = self.small_model()
        pushed = self.store.json("push", model, "team/model:1.0")
        image = f"{server.host}/team/model:1.0"
        ctr = self.docker.containerd
        ctr("images", "pull", "--plain-http", image)
        self.assertIn(pushed["digest"], ctr("images", "list", f"name=={image}"))
        mounted = self.dir / "mounted"
        mounted.mkdir()
        ctr("images", "mount", image, mounted)
        self.addCleanup(self.unmount, mounted)
        run(["diff", "-r", model, mounted / "models"])
        copy = f"{server.host}/team/copy:1.0"
        ctr("images", "tag", image, copy)
        ctr("images", "push", "--plain-http", copy)
        ctr("images", "push", "--plain-http", copy)
        self.assertEqual([version["digest"] for version in self.versions("team/copy")], [pushed["digest"]])
        self.store.run("verify", "--all")

    def test_docker_logs_in_pushes_by_name_and_is_held_to_the_rules(self):
        server = self.serve("--config", self.access())
        image = self.docker.build(f"{server.host}/team/app:1.0", "hello")
        self.addCleanup(self.docker, "logout", server.host)
        refused = self.docker.refuses("push", image)
        self.assertIn("unauthorized: log in", refused)
        self.assertNotIn("Retrying", refused)
        self.assertIn("unauthorized", self.docker.refuses("login", "-u", "ada", "-p", "wrong", server.host))
        self.docker("login", "-u", "ada", "-p", "ada's password", server.host)
        self.push(image)
        (version,) = self.versions("team/app")
        self.assertEqual(version["author"], "ada")
        self.docker("logout", server.host)
        self.forget(image)
        self.assertIn("unauthorized: log in", self.docker.refuses("pull", image))
        self.docker("login", "-u", "bob", "-p", "bob's password", server.host)
        self.docker("pull", image)
        self.docker("tag", image, f"{server.host}/team/app:1.1")
        self.assertIn("denied: bob may not", self.docker.refuses("push", f"{server.host}/team/app:1.1"))

    def test_everybody_may_pull_and_nobody_push_where_pulls_are_anonymous(self):
        server = self.serve("--config", self.access(anonymous_pull=True))
        model = self.small_model()
        self.store.run("push", model, "team/model:1.0")
        image = f"{server.host}/team/model:1.0"
        self.docker("pull", image)
        self.docker("tag", image, f"{server.host}/team/model:1.1")
        refused = self.docker.refuses("push", f"{server.host}/team/model:1.1")
        self.assertIn("unauthorized: log in", refused)
        self.assertNotIn("Retrying", refused)

    def test_docker_trusts_the_private_authority_that_it_was_told_of_and_no_other(self):
        address = self.outside()
        certificate, key = Authority(self.dir / "tls").certify(address)
        words = ["--tls-cert", certificate, "--tls-key", key, "--config", self.access()]
        server = self.serve(*words, listen=f"{address}:0")
        self.assertTrue(server.url.startswith("https://"), server.url)
        image = self.docker.build(f"{server.host}/team/app:1.0", "over TLS")
        login = ["login", "-u", "ada", "-p", "ada's password", server.host]
        self.assertIn("x509", self.docker.refuses(*login))
        trusted = Path("/etc/docker/certs.d") / server.host
        trusted.mkdir(parents=True)
        self.addCleanup(shutil.rmtree, trusted)
        shutil.copy(self.dir / "tls" / "ca.crt", trusted)
        self.docker(*login)
        self.addCleanup(self.docker, "logout", server.host)
        self.push(image)
        self.forget(image)
        self.docker("pull", image)
        self.assertEqual(self.docker("run", "--rm", "--network", "none", image), "over TLS")


    def test_a_push_of_docker_outlives_a_server_that_is_killed_in_the_middle(self):
        server = self.serve()
        image = self.docker.build(f"{server.host}/team/large:1.0", "outlived", ballast=96 * MIB)
        push = self.docker.start("push", image)
        self.addCleanup(push.stdout.close)
        while bytes_written(server.process) < 16 * MIB:
            self.assertFalse(ended_within(push, 0.005), "the push ended before the server could be killed")
        server.kill()
        self.serve(listen=server.host)
        said, _ = push.communicate(timeout=120)
        self.assertEqual(push.returncode, 0, said)
        self.forget(image)
        self.docker("pull", image)
        self.assertEqual(self.docker("run", "--rm", "--network", "none", image), "outlived")
        self.store.run("verify", "--all")

    def test_an_image_of_modelkeep_made_by_modelkeep_serves_a_store(self):
        run([ROOT / "examples/registry/make-image", "9.9"], env=self.store.environment({"MODELKEEP": str(BINARY)}))
        image = f"{self.serve().host}/modelkeep/server:9.9"
        self.docker("pull", image)
        version = run([BINARY, "--version"]).stdout
        self.assertEqual(self.docker("run", "--rm", "--network", "none", image, "--version"), version)
        data = self.dir / "data"
        data.mkdir()
        os.chown(data, 65532, 65532)
        words = ["run", "--rm", "--network", "host", "--volume", f"{data}:/data", image, "serve"]
        server = self.serve(store=self.another_store("unused"), program=self.docker.command(*words))
        self.assertEqual(server.request("GET", "/readyz")[0], 200)
        self.push(self.docker.build(f"{server.host}/team/app:1.0", "kept in a container's volume"))
        server.stop()
        copy = Store(data)
        self.assertEqual([version["version"] for version in copy.json("versions", "team/app")["versions"]], ["1.0"])
