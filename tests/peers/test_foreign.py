"""Versions that other tools made, or packed again, are read."""

import json

from artifacts import Registry, push_docker_model, push_modelkit, push_ollama
from base import DIGITS, minilm
from kept import ROOT, VENV_PYTHON, assert_same_tree, run
from registry import WithContainers
from remote import Registry as DockerRegistry
from remote import Wire

PUSH = ROOT / "tests/peers/modelpack_push.py"


def gguf(path):
    """A GGUF file with one tensor, by the package that defines the format."""
    text = (
        "import sys, numpy, gguf\n"
        "writer = gguf.GGUFWriter(sys.argv[1], 'llama')\n"
        "writer.add_block_count(1)\n"
        "writer.add_tensor('token_embd.weight', numpy.arange(16, dtype=numpy.float32).reshape(4, 4))\n"
        "writer.write_header_to_file(); writer.write_kv_data_to_file(); writer.write_tensors_to_file(); writer.close()\n"
    )
    run([VENV_PYTHON, "-c", text, path])
    return path.read_bytes()


class Compressed(WithContainers):
    """A version of ours whose layers other tools compress when they push it."""

    def setUp(self):
        super().setUp()
        self.model = self.small_model()
        self.layout = self.exported(self.model)
        self.root = self.store.json("show", "peer:1.0")["content_root"]
        self.server = self.serve(store=self.another_store("other"))
        self.reader = self.another_store("reader")

    def assert_read(self, name, suffix, server=None):
        reference, out = f"{(server or self.server).host}/{name}", self.dir / "out"
        shown = self.reader.json("show", reference)
        self.assertTrue(all(layer["mediaType"].endswith(suffix) for layer in shown["layers"]), shown["layers"])
        self.assertEqual((shown["kind"], shown["content_root"]), ("modelkeep", self.root))
        pulled = self.reader.json("pull", reference, "-o", out)
        self.assertEqual(pulled["files_reused"], 0)
        assert_same_tree(self.model, out)
        again = self.reader.json("pull", reference, "-o", out)
        self.assertEqual((again["bytes_written"], again["files_reused"]), (0, pulled["files"]))
        self.assertEqual(self.reader.json("diff", out, reference)["files"]["unchanged"], pulled["files"])
        # A text that differs is read out of the middle of its layer.
        (out / "config.json").write_text('{"seed": 2}')
        compared = self.reader.json("diff", reference, out)
        self.assertEqual(compared["texts"]["config"], {"config.json": [{"key": "seed", "from": "1", "to": "2"}]})
        self.reader.run("scan", reference)
        self.reader.run("verify", reference)

    def test_what_skopeo_compressed_by_gzip_is_the_same_model(self):
        self.copy_in(self.server, f"oci:{self.layout}:1.0", "team/gzip:1.0", "--dest-compress-format", "gzip")
        self.assert_read("team/gzip:1.0", "gzip")

    def test_what_skopeo_compressed_by_zstd_is_the_same_model(self):
        self.copy_in(self.server, f"oci:{self.layout}:1.0", "team/zstd:1.0", "--dest-compress-format", "zstd")
        self.assert_read("team/zstd:1.0", "zstd")

    def test_what_podman_pulled_and_pushed_is_the_same_model(self):
        self.copy_in(self.server, f"oci:{self.layout}:1.0", "team/plain:1.0", "--preserve-digests")
        # The registry that it has the layers from would have them as they are.
        another = self.serve(store=self.another_store("another"))
        source, copy = f"{self.server.host}/team/plain:1.0", f"{another.host}/team/podman:1.0"
        self.containers.podman("pull", "--tls-verify=false", source)
        self.containers.podman("push", "--tls-verify=false", "--compression-format", "zstd", source, f"docker://{copy}")
        self.assert_read("team/podman:1.0", ("gzip", "zstd"), another)

    def test_an_image_that_buildah_made_of_a_model_is_read_as_an_image(self):
        """No list of ours is in it: layers on each other, with what the upper one takes away."""
        base = self.containers.buildah("from", "scratch").strip()
        self.containers.buildah("copy", base, self.model, "/models")
        first = f"{self.server.host}/team/built:1.0"
        self.containers.buildah("commit", base, first)
        upper = self.containers.buildah("from", first).strip()
        changed = self.dir / "changed"
        changed.mkdir()
        (changed / "config.json").write_text("{}")
        self.containers.buildah("copy", upper, changed / "config.json", "/models/config.json")
        mounted = self.containers.buildah("mount", upper).strip()
        run(["rm", "-r", f"{mounted}/models/tokenizer"])
        self.containers.buildah("umount", upper)
        self.containers.buildah("commit", upper, first)
        self.containers.buildah("push", "--tls-verify=false", first, f"docker://{first}")
        out, expected = self.dir / "out", self.dir / "expected"
        self.reader.run("pull", first, "-o", out)
        run(["cp", "-r", self.model, expected])
        run(["rm", "-r", expected / "tokenizer"])
        (expected / "config.json").write_text("{}")
        assert_same_tree(expected, out)
        self.assertEqual(self.reader.json("show", first)["kind"], "image")
        self.assertEqual(self.reader.json("diff", expected, first)["files"]["unchanged"], 4)


class Made(WithContainers):
    """Artifacts of other tools."""

    def setUp(self):
        super().setUp()
        self.server = self.serve(store=self.another_store("other"))
        self.reader = self.another_store("reader")

    def everywhere(self):
        """The registries that artifacts are pushed to."""
        other = DockerRegistry(self.dir / "docker-registry")
        self.addCleanup(other.stop)
        return [self.server.host, other.host]

    def assert_read(self, reference, kind, model):
        """What is read is the model; what `show` says."""
        out = self.dir / f"out-{len(list(self.dir.iterdir()))}"
        self.reader.run("pull", reference, "-o", out)
        assert_same_tree(model, out)
        files = sum(path.is_file() for path in model.rglob("*"))
        self.assertEqual(self.reader.json("diff", model, reference)["files"]["unchanged"], files)
        self.assertEqual(self.reader.json("scan", reference)["files"], files)
        self.reader.run("verify", reference)
        shown = self.reader.json("show", reference)
        self.assertEqual(shown["kind"], kind)
        return shown

    def push_pack(self, reference, model, *layers):
        config = {"descriptor": {"family": "bert", "licenses": ["Apache-2.0"]}, "config": {"format": "safetensors"}}
        return json.loads(run([VENV_PYTHON, "-B", PUSH, reference, json.dumps(config), *layers], cwd=model).stdout)

    def test_a_real_model_that_the_modelpack_client_pushed_as_files_is_read_without_its_weights(self):
        model, reference = minilm(), f"{self.server.host}/team/pack:1.0"
        names = [path.relative_to(model).as_posix() for path in model.rglob("*") if path.is_file()]
        self.push_pack(reference, model, *(f"{name}=weight.v1.raw" for name in names))
        shown = self.assert_read(reference, "modelpack", model)
        listing = "LC_ALL=C; export LC_ALL; find . -type f | sed 's|^./||' | sort | xargs sha256sum | sha256sum"
        root = run(["sh", "-c", listing], cwd=model).stdout.split()[0]
        self.assertEqual(shown["content_root"], f"sha256:{root}")
        self.assertEqual(shown["record"]["parameters"], self.reader.json("inspect", model)["record"]["parameters"])
        self.assertEqual(shown["about"]["family"], "bert")
        wire = Wire(int(self.server.host.rpartition(":")[2]))
        self.addCleanup(wire.listener.close)
        size = sum(path.stat().st_size for path in model.rglob("*") if path.is_file())
        read = wire.counted(lambda: self.reader.run("show", f"{wire.host}/team/pack:1.0"))
        self.assertLess(read, size / 50)

    def test_archives_that_the_modelpack_client_pushed_are_read_however_they_are_compressed(self):
        model = self.small_model()
        (model / "weights").mkdir()
        for path in model.glob("*.safetensors"):
            path.rename(model / "weights" / path.name)
        for suffix in ("tar", "tar+gzip", "tar+zstd"):
            with self.subTest(suffix):
                reference = f"{self.server.host}/team/{suffix[-4:].strip('+')}:1.0"
                pushed = self.push_pack(
                    reference, model, f"weights=weight.v1.{suffix}", f"tokenizer=weight.config.v1.{suffix}",
                    "config.json=weight.config.v1.raw", "README.md=doc.v1.raw",
                )  # fmt: skip
                self.assertTrue(pushed["layers"][0]["mediaType"].endswith(suffix))
                shown = self.assert_read(reference, "modelpack", model)
                self.assertEqual(shown["record"] is None, suffix != "tar")

    def test_modelkits_are_read_compressed_or_not(self):
        model = self.small_model()
        weights = sorted(path.name for path in model.glob("*.safetensors"))
        elements = [("model", weights), ("docs", ["README.md"]), ("code", ["tokenizer"]), ("datasets", ["config.json"])]
        for host in self.everywhere():
            for compressed in (False, True):
                with self.subTest(host=host, compressed=compressed):
                    tag = "packed" if compressed else "plain"
                    push_modelkit(Registry(host, "team/kit"), tag, model, elements, compressed)
                    shown = self.assert_read(f"{host}/team/kit:{tag}", "modelkit", model)
                    self.assertEqual(shown["about"]["name"], "digits")
                    self.assertEqual(shown["record"] is None, compressed)

    def test_models_of_docker_model_runner_and_ollama_are_read(self):
        weights = gguf(self.dir / "weights.gguf")
        plain, named, ollama = self.dir / "plain", self.dir / "named", self.dir / "ollama"
        for directory, files in (
            (plain, {"model.gguf": weights, "LICENSE": b"MIT", "template.jinja": b"{{ messages }}"}),
            (named, {"q4/tiny.gguf": weights, "LICENSE": b"MIT"}),
            (ollama, {"model.gguf": weights, "template": b"{{ .Prompt }}", "params.json": b"{}", "license": b"MIT"}),
        ):
            for name, data in files.items():
                (directory / name).parent.mkdir(parents=True, exist_ok=True)
                (directory / name).write_bytes(data)
        for host in self.everywhere():
            with self.subTest(host):
                models = Registry(host, "team/models")
                old = [("gguf.v3", weights, None), ("license", b"MIT", None), ("chat.template.jinja", b"{{ messages }}", None)]
                push_docker_model(models, "old", old, "v0.1")
                push_docker_model(models, "new", [("gguf.v3", weights, "q4/tiny.gguf"), ("license", b"MIT", "LICENSE")], "v0.2")
                push_ollama(models, "latest", [
                    ("model", weights, None), ("template", b"{{ .Prompt }}", None), ("params", b"{}", None), ("license", b"MIT", None),
                ])  # fmt: skip
                for tag, kind, model in (
                    ("old", "docker-model", plain), ("new", "docker-model", named), ("latest", "ollama", ollama),
                ):  # fmt: skip
                    shown = self.assert_read(f"{host}/team/models:{tag}", kind, model)
                    self.assertEqual(shown["record"]["parameters"], 16)
                    self.assertEqual(shown["record"]["architecture"], "llama")

    def test_a_directory_of_the_examples_is_what_it_was_after_every_trip(self):
        model, reference = DIGITS / "model-1.0", f"{self.server.host}/team/digits:1.0"
        names = [path.name for path in model.iterdir()]
        self.push_pack(reference, model, *(f"{name}=weight.v1.raw" for name in names))
        root = self.store.json("push", model, "digits:1.0")["content_root"]
        self.assertEqual(self.reader.json("show", reference)["content_root"], root)
