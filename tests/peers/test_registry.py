"""Clients of other makers on `modelkeep serve`: docker, containerd, podman, buildah and skopeo."""

import base64
import hashlib
import json
import os
import re
import shutil
from pathlib import Path

from base import PeerTest
from engines import Containers, Dockerd, write_rootfs
from kept import BINARY, EXIT_EXISTS, EXIT_FAILED, MIB, ROOT, Store, bytes_written, ended_within, run
from served import Authority, Server, write_accounts

OCI_MANIFEST = "application/vnd.oci.image.manifest.v1+json"
OCI_INDEX = "application/vnd.oci.image.index.v1+json"
DOCKER_MANIFEST = "application/vnd.docker.distribution.manifest.v2+json"
DOCKER_LIST = "application/vnd.docker.distribution.manifest.list.v2+json"

# docker takes every address of 127.0.0.0/8 for one whose certificate need not be checked. This one is
# reserved for documentation, and lies on the loopback interface while a test needs it.
OUTSIDE = "198.51.100.7"


def sha256(data):
    return "sha256:" + hashlib.sha256(data).hexdigest()


class Served(PeerTest):
    def serve(self, *words, store=None, **options):
        server = Server(store or self.store, *words, **options)
        self.addCleanup(server.stop)
        return server

    def access(self, name="serve.toml", **settings):
        """A settings file with two accounts: ada may do all, bob may pull."""
        accounts = self.dir / "htpasswd"
        if not accounts.exists():
            write_accounts(accounts, ada="ada's password", bob="bob's password")
        lines = ["[access]", f"htpasswd = {json.dumps(str(accounts))}"]
        lines += [f"{key} = {json.dumps(value)}" for key, value in settings.items()]
        lines += ["[[access.rule]]", 'who = "ada"', 'actions = ["pull", "push", "delete", "catalog"]']
        lines += ["[[access.rule]]", 'who = "bob"', 'actions = ["pull"]']
        path = self.dir / name
        path.write_text("\n".join(lines) + "\n")
        return path

    def versions(self, name):
        return self.store.json("versions", name)["versions"]

    def outside(self):
        run(["ip", "address", "replace", f"{OUTSIDE}/32", "dev", "lo"])
        self.addCleanup(run, ["ip", "address", "del", f"{OUTSIDE}/32", "dev", "lo"])
        return OUTSIDE


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

    def test_a_model_that_docker_packed_again_is_a_plain_image_and_no_damage(self):
        # docker compresses the layers that a repository does not have yet.
        server, other = self.serve(), self.serve()
        model = self.small_model()
        self.store.run("push", model, "team/model:1.0")
        image, copy = f"{server.host}/team/model:1.0", f"{other.host}/team/copy:1.0"
        self.docker("pull", image)
        self.docker("tag", image, copy)
        self.push(copy)
        self.store.run("verify", "--all")
        shown = self.store.json("show", "team/copy:1.0")
        self.assertTrue(all(layer["mediaType"].endswith("gzip") for layer in shown["layers"]), shown["layers"])
        self.assertEqual(shown["files"], [])
        refused = self.store.run("pull", "team/copy:1.0", "-o", self.dir / "pulled", expect=EXIT_FAILED)
        self.assertIn("packed its layers again", refused.stderr)
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


class WithContainers(Served):
    def setUp(self):
        super().setUp()
        self.containers = Containers(self.dir / "containers")
        self.addCleanup(self.containers.close)

    def inspect(self, server, name):
        return json.loads(self.containers.skopeo("inspect", "--tls-verify=false", f"docker://{server.host}/{name}"))

    def raw(self, server, name):
        return self.containers.skopeo("inspect", "--tls-verify=false", "--raw", f"docker://{server.host}/{name}")

    def copy_in(self, server, source, name, *options, expect=0):
        target = f"docker://{server.host}/{name}"
        return self.containers.skopeo("copy", "--dest-tls-verify=false", *options, source, target, expect=expect)


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


class Skopeo(WithContainers):
    def test_skopeo_copies_both_formats_and_they_are_kept_byte_for_byte(self):
        server = self.serve()
        layout = self.exported(self.small_model())
        for format, media_type in (("oci", OCI_MANIFEST), ("v2s2", DOCKER_MANIFEST)):
            name = f"team/{format}:1.0"
            self.copy_in(server, f"oci:{layout}:1.0", name, "--format", format)
            self.assertEqual(json.loads(self.raw(server, name))["mediaType"], media_type)
            inspected = self.inspect(server, name)
            self.assertEqual(inspected["Digest"], sha256(self.raw(server, name).encode()))
            out = self.dir / format
            source = f"docker://{server.host}/{name}"
            self.containers.skopeo("copy", "--src-tls-verify=false", "--preserve-digests", source, f"dir:{out}")
            self.assertEqual(sha256((out / "manifest.json").read_bytes()), inspected["Digest"])
        self.store.run("verify", "--all")

    def test_an_index_is_copied_with_all_that_it_lists(self):
        server = self.serve()
        layout = self.exported(self.small_model(), "peer:1.0", "--index")
        shown = self.store.json("show", "peer:1.0")
        self.copy_in(server, f"oci:{layout}:1.0", "team/index:1.0", "--all", "--preserve-digests")
        raw = self.raw(server, "team/index:1.0")
        self.assertEqual((json.loads(raw)["mediaType"], sha256(raw.encode())), (OCI_INDEX, shown["digest"]))
        for listed in json.loads(raw)["manifests"]:
            self.assertEqual(self.inspect(server, f"team/index@{listed['digest']}")["Digest"], listed["digest"])
        self.copy_in(server, f"oci:{layout}:1.0", "team/list:1.0", "--all", "--format", "v2s2")
        self.assertEqual(json.loads(self.raw(server, "team/list:1.0"))["mediaType"], DOCKER_LIST)
        self.store.run("verify", "--all")

    def test_skopeo_lists_the_tags(self):
        server = self.serve()
        layout = self.exported(self.small_model())
        for version in ("1.0", "1.1", "2.0"):
            self.copy_in(server, f"oci:{layout}:1.0", f"team/model:{version}", "--preserve-digests")
        listed = json.loads(self.containers.skopeo("list-tags", "--tls-verify=false", f"docker://{server.host}/team/model"))
        self.assertEqual(listed["Tags"], ["1.0", "1.1", "2.0"])

    def test_an_immutable_version_is_not_deleted_and_a_mutable_one_is(self):
        layout = self.exported(self.small_model())
        for policy, expect in (("IMMUTABLE", 1), ("MUTABLE", 0)):
            server = self.serve("--create-repositories", policy)
            name = f"team/{policy.lower()}:1.0"
            self.copy_in(server, f"oci:{layout}:1.0", name, "--preserve-digests")
            digest = self.inspect(server, name)["Digest"]
            said = self.containers.skopeo("delete", "--tls-verify=false", f"docker://{server.host}/{name}", expect=expect)
            path = f"/v2/team/{policy.lower()}/manifests/{digest}"
            if policy == "IMMUTABLE":
                self.assertIn("405", said)
                self.assertEqual(server.request("DELETE", path)[0], 405)
                self.assertEqual(server.request("DELETE", path.replace(digest, "1.0"))[0], 405)
                self.assertEqual(self.inspect(server, name)["Digest"], digest)
            else:
                gone = self.containers.skopeo(
                    "inspect", "--tls-verify=false", f"docker://{server.host}/{name}", expect=1
                )  # fmt: skip
                self.assertIn("manifest unknown", gone)
                self.assertEqual(server.request("GET", path)[0], 404)

    def test_a_mutable_tag_moves_and_the_history_knows_what_it_was(self):
        server = self.serve("--create-repositories", "MUTABLE")
        digests = []
        for number in (1, 2):
            layout = self.dir / f"layout-{number}"
            self.store.run("push", self.small_model(f"model-{number}", seed=number), f"source:{number}")
            self.store.run("export", f"source:{number}", "--oci", layout)
            self.copy_in(server, f"oci:{layout}:{number}", "team/moving:latest", "--preserve-digests")
            digests.append(self.inspect(server, "team/moving:latest")["Digest"])
        self.assertNotEqual(*digests)
        (version,) = self.versions("team/moving")
        self.assertEqual((version["version"], version["digest"]), ("latest", digests[1]))

    def test_an_export_through_the_server_is_the_export_of_the_store(self):
        server = self.serve()
        layout = self.exported(self.small_model(), "peer:1.0", "--index")
        copy = self.dir / "copy"
        source = f"docker://{server.host}/peer:1.0"
        words = ["copy", "--all", "--preserve-digests", "--src-tls-verify=false"]
        self.containers.skopeo(*words, "--dest-oci-accept-uncompressed-layers", source, f"oci:{copy}:1.0")

        def content(place):
            index = json.loads((place / "index.json").read_text())
            blobs = {path.name: sha256(path.read_bytes()) for path in (place / "blobs" / "sha256").iterdir()}
            return [manifest["digest"] for manifest in index["manifests"]], blobs

        self.assertEqual(content(copy), content(layout))


class Uploads(Served):
    def test_an_upload_goes_on_where_it_was_after_the_server_is_killed(self):
        size = 24 * MIB
        data = os.urandom(size)
        server = self.serve()
        status, headers, _ = server.request("POST", "/v2/team/raw/blobs/uploads/", headers={"Content-Length": "0"})
        self.assertEqual(status, 202)
        kept = 5 * MIB + 17
        chunk = {"Content-Type": "application/octet-stream", "Content-Range": f"0-{kept - 1}"}
        status, headers, _ = server.request("PATCH", headers["Location"], data[:kept], chunk)
        self.assertEqual((status, headers["Range"]), (202, f"0-{kept - 1}"))
        location = headers["Location"]

        # The next request sends its body in chunks of unknown number, and the server dies in the middle.
        # More than both sockets hold has gone: some of it was taken.
        connection = server.connection()
        self.addCleanup(connection.close)
        connection.putrequest("PATCH", location)
        connection.putheader("Content-Type", "application/octet-stream")
        connection.putheader("Transfer-Encoding", "chunked")
        connection.endheaders()
        sent = kept
        while sent < size - 2 * MIB:
            piece = data[sent : sent + MIB]
            connection.send(b"%x\r\n%s\r\n" % (len(piece), piece))
            sent += len(piece)
        server.kill()

        server = self.serve()
        status, headers, _ = server.request("GET", location)
        self.assertEqual(status, 204)
        start, end = map(int, headers["Range"].split("-"))
        self.assertEqual(start, 0)
        self.assertGreaterEqual(end + 1, kept, "what was acknowledged is there")
        self.assertLessEqual(end + 1, sent)
        location = headers["Location"]
        rest = {"Content-Type": "application/octet-stream", "Content-Range": f"{end + 1}-{size - 1}"}
        status, headers, _ = server.request("PATCH", location, data[end + 1 :], rest)
        self.assertEqual((status, headers["Range"]), (202, f"0-{size - 1}"))
        location = headers["Location"]
        digest = sha256(data)
        location += ("&" if "?" in location else "?") + f"digest={digest}"
        status, headers, _ = server.request("PUT", location, headers={"Content-Length": "0"})
        self.assertEqual((status, headers["Docker-Content-Digest"]), (201, digest))
        status, _, found = server.request("GET", f"/v2/team/raw/blobs/{digest}")
        self.assertEqual((status, sha256(found)), (200, digest))


class Examples(Served):
    def test_the_command_of_the_systemd_unit_starts_with_the_sample_settings(self):
        place = self.dir / "etc"
        authority = Authority(place)
        for made, name in zip(authority.certify("127.0.0.1"), ("tls.crt", "tls.key"), strict=True):
            made.rename(place / name)
        write_accounts(place / "htpasswd", ada="ada's password", ci="ci's password")
        examples = ROOT / "examples" / "registry"
        shutil.copy(examples / "serve.toml", place)
        unit = (examples / "modelkeep.service").read_text()
        command = re.search(r"^ExecStart=/usr/local/bin/modelkeep serve (.*)$", unit, re.MULTILINE).group(1)
        command = command.replace("/var/lib/modelkeep", str(self.store.home)).replace("/etc/modelkeep", str(place))
        server = self.serve(*command.split())
        basic = base64.b64encode(b"ada:ada's password").decode()
        for headers, status in (({}, 401), ({"Authorization": f"Basic {basic}"}, 200)):
            answer = server.request("GET", "/v2/_catalog", headers=headers, authority=authority.certificate)
            self.assertEqual(answer[0], status)

    def test_a_copy_of_the_store_is_a_backup(self):
        self.serve()
        model = self.small_model()
        self.store.run("push", model, "team/model:1.0")
        backup = self.dir / "backup"
        (backup / "v1").mkdir(parents=True)
        for part in ("format", "v1/repos", "v1/blobs"):
            run(["cp", "-a", self.store.home / part, backup / part])
        Store(backup).run("scrub")
        Store(backup).run("verify", "--all")
        Store(backup).run("pull", "team/model:1.0", "-o", self.dir / "pulled")
        run(["diff", "-r", model, self.dir / "pulled"])


class Refusals(Served):
    def test_an_address_that_others_reach_is_refused_without_accounts(self):
        address = self.outside()
        words = [BINARY, "serve", "--listen", f"{address}:0"]
        refused = run(words, expect=2, env=self.store.environment(), timeout=30)
        self.assertIn("htpasswd", refused.stderr)
        self.assertEqual(refused.stdout, "")

    def test_a_push_makes_no_repository_where_none_may_be_made(self):
        server = self.serve("--create-repositories", "never")
        status, _, body = server.request("POST", "/v2/team/new/blobs/uploads/", headers={"Content-Length": "0"})
        self.assertEqual((status, json.loads(body)["errors"][0]["code"]), (404, "NAME_UNKNOWN"))
