"""Exported OCI layouts, as skopeo, GNU tar and Python's tarfile read them."""

import hashlib
import json
import tarfile

from base import PeerTest
from kept import run


def sha256(data):
    return "sha256:" + hashlib.sha256(data).hexdigest()


def blob(layout, digest):
    return layout / "blobs" / "sha256" / digest.removeprefix("sha256:")


class Skopeo(PeerTest):
    def test_skopeo_inspects_labels_layers_and_platform(self):
        layout = self.exported(self.small_model())
        shown = self.store.json("show", "peer:1.0")
        inspected = json.loads(run(["skopeo", "inspect", f"oci:{layout}:1.0"]).stdout)
        self.assertEqual(inspected["Digest"], shown["digest"])
        self.assertEqual((inspected["Os"], inspected["Architecture"]), ("linux", "amd64"))
        self.assertEqual(inspected["Layers"], [layer["digest"] for layer in shown["layers"]])
        self.assertEqual(inspected["Labels"]["org.opencontainers.image.version"], "1.0")
        self.assertEqual(inspected["Labels"]["org.opencontainers.image.licenses"], "apache-2.0")

    def test_skopeo_copy_keeps_the_manifest_digest(self):
        layout = self.exported(self.small_model())
        copy = self.dir / "copy"
        run(["skopeo", "--insecure-policy", "copy", f"oci:{layout}:1.0", f"dir:{copy}"])
        shown = self.store.json("show", "peer:1.0")
        self.assertEqual(sha256((copy / "manifest.json").read_bytes()), shown["digest"])

    def test_an_index_resolves_for_both_platforms_over_the_same_layers(self):
        layout = self.exported(self.small_model(), "peer:1.0", "--index")
        seen = {}
        for architecture in ("amd64", "arm64"):
            words = ["skopeo", "inspect", "--override-os", "linux", "--override-arch", architecture, f"oci:{layout}:1.0"]
            inspected = json.loads(run(words).stdout)
            self.assertEqual((inspected["Os"], inspected["Architecture"]), ("linux", architecture))
            seen[architecture] = inspected["Layers"]
        self.assertEqual(seen["amd64"], seen["arm64"])
        self.assertTrue(seen["amd64"])


class Tar(PeerTest):
    def setUp(self):
        super().setUp()
        self.model = self.small_model()
        self.layout = self.exported(self.model)
        self.shown = self.store.json("show", "peer:1.0")

    def test_gnu_tar_lists_and_unpacks_every_layer(self):
        unpacked = self.dir / "unpacked"
        unpacked.mkdir()
        for layer in self.shown["layers"]:
            path = blob(self.layout, layer["digest"])
            listing = run(["tar", "--numeric-owner", "--full-time", "--utc", "-tvf", path])
            self.assertEqual(listing.stderr, "", "GNU tar has nothing to warn about")
            for line in listing.stdout.splitlines():
                self.assertRegex(line, r"^(-rw-r--r--|drwxr-xr-x) 0/0 +\d+ 1970-01-01 00:00:00 models/")
            run(["tar", "-C", unpacked, "-xf", path])
        run(["diff", "-r", self.model, unpacked / "models"])

    def test_tarfile_finds_fixed_owners_modes_times_and_aligned_weights(self):
        names, large = [], 0
        for layer in self.shown["layers"]:
            with tarfile.open(blob(self.layout, layer["digest"]), "r:") as archive:
                members = archive.getmembers()
            self.assertEqual([m.name for m in members], sorted(m.name for m in members), "a fixed order")
            for member in members:
                self.assertTrue(member.isfile() or member.isdir(), member.name)
                self.assertTrue(member.name == "models" or member.name.startswith("models/"), member.name)
                self.assertEqual((member.uid, member.gid, member.mtime), (0, 0, 0), member.name)
                self.assertEqual(member.mode, 0o644 if member.isfile() else 0o755, member.name)
                if member.isfile():
                    names.append(member.name)
                if member.name.endswith(".safetensors"):
                    large += 1
                    self.assertEqual(member.offset_data % 4096, 0, member.name)
        files = [path.relative_to(self.model).as_posix() for path in self.model.rglob("*") if path.is_file()]
        self.assertEqual(sorted(names), sorted(f"models/{name}" for name in files))
        self.assertEqual(large, 2)

    def test_the_contents_list_finds_every_file_in_its_layer(self):
        files = self.shown["files"]
        on_disk = {path.relative_to(self.model).as_posix(): path for path in self.model.rglob("*") if path.is_file()}
        self.assertEqual({entry["path"] for entry in files}, set(on_disk))
        for entry in files:
            with open(blob(self.layout, entry["layer"]), "rb") as layer:
                layer.seek(entry["offset"])
                data = layer.read(entry["size"])
            self.assertEqual(data, on_disk[entry["path"]].read_bytes(), entry["path"])
            self.assertEqual(sha256(data), entry["digest"], entry["path"])

    def test_the_content_root_is_what_sha256sum_makes_of_the_model(self):
        listing = "LC_ALL=C; export LC_ALL; find * -type f | sort | xargs sha256sum | sha256sum"
        root = run(["sh", "-c", listing], cwd=self.model).stdout.split()[0]
        self.assertEqual(self.shown["content_root"], f"sha256:{root}")

    def test_every_blob_of_the_layout_has_the_digest_of_its_name(self):
        blobs = list((self.layout / "blobs" / "sha256").iterdir())
        self.assertGreater(len(blobs), 3)
        for path in blobs:
            self.assertEqual(sha256(path.read_bytes()), f"sha256:{path.name}")
        index = json.loads((self.layout / "index.json").read_text())
        tags = [m["annotations"]["org.opencontainers.image.ref.name"] for m in index["manifests"]]
        self.assertEqual(tags, ["1.0"])
        self.assertEqual(json.loads((self.layout / "oci-layout").read_text())["imageLayoutVersion"], "1.0.0")
