"""skopeo on `modelkeep serve`."""

import json

from registry import WithContainers, sha256

OCI_MANIFEST = "application/vnd.oci.image.manifest.v1+json"
OCI_INDEX = "application/vnd.oci.image.index.v1+json"
DOCKER_MANIFEST = "application/vnd.docker.distribution.manifest.v2+json"
DOCKER_LIST = "application/vnd.docker.distribution.manifest.list.v2+json"


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
