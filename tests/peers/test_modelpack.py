"""ModelPack artifacts as others read them."""

import json

from base import DIGITS, minilm
from kept import ROOT, VENV_PYTHON, assert_same_tree, run
from registry import WithContainers
from remote import Registry
from test_determinism import touched_copy

PULL = ROOT / "tests/peers/modelpack_pull.py"
AS_ARTIFACT = ("--format", "modelpack")


class ModelPack(WithContainers):
    def setUp(self):
        super().setUp()
        self.server = self.serve()
        self.here = self.another_store("here")

    def push(self, model, name, *words, store=None, env=None):
        reference = f"{self.server.host}/{name}"
        return (store or self.here).json("push", model, reference, *AS_ARTIFACT, *words, env=env)

    def pull(self, name, to):
        """What the ModelPack client gets; it validates the config by the published schema, and so does the script."""
        return json.loads(run([VENV_PYTHON, "-B", PULL, f"{self.server.host}/{name}", to]).stdout)

    def test_the_client_pulls_a_real_model_byte_for_byte(self):
        model, out = minilm(), self.dir / "out"
        pushed = self.push(model, "team/minilm:1.0", "--metric", "f1=0.5", env={"SOURCE_DATE_EPOCH": "1700000000"})
        pulled = self.pull("team/minilm:1.0", out)
        assert_same_tree(model, out)
        self.assertEqual(len(pulled["manifest"]["layers"]), pushed["files"])
        config = pulled["config"]
        self.assertEqual(
            config["config"],
            {"architecture": "BertModel", "format": "safetensors", "paramSize": "22.7M", "precision": "float32"},
        )
        described = config["descriptor"]
        self.assertEqual((described["name"], described["version"]), ("minilm", "1.0"))
        self.assertEqual(described["createdAt"], "2023-11-14T22:13:20Z")
        kinds = {
            layer["annotations"]["org.cncf.model.filepath"]: layer["mediaType"].split(".model.")[1]
            for layer in pulled["manifest"]["layers"]
        }
        self.assertEqual(kinds["model.safetensors"], "weight.v1.raw")
        self.assertEqual(kinds["config.json"], "weight.config.v1.raw")
        self.assertEqual(kinds["README.md"], "doc.v1.raw")
        self.store.run("verify", "--all")
        mine = self.dir / "mine"
        self.here.run("pull", f"{self.server.host}/team/minilm:1.0", "-o", mine)
        assert_same_tree(model, mine)

    def test_a_registry_of_others_takes_an_artifact_and_gives_it_back(self):
        registry = Registry(self.dir / "registry")
        self.addCleanup(registry.stop)
        model = self.small_model()
        (model / "empty").write_bytes(b"")
        (model / "copy.json").write_bytes((model / "config.json").read_bytes())
        reference = f"{registry.host}/team/model:1.0"
        pushed = self.here.json("push", model, reference, *AS_ARTIFACT)
        self.assertEqual(self.here.json("push", model, reference, *AS_ARTIFACT)["outcome"], "unchanged")
        self.assertEqual(self.here.json("show", reference)["digest"], pushed["digest"])
        self.here.run("verify", reference)
        self.here.run("pull", reference, "-o", self.dir / "mine")
        assert_same_tree(model, self.dir / "mine")
        run([VENV_PYTHON, "-B", PULL, reference, self.dir / "theirs"])
        assert_same_tree(model, self.dir / "theirs")

    def test_every_example_has_a_config_that_the_schema_takes(self):
        plain = self.dir / "plain"
        (plain / "sub").mkdir(parents=True)
        (plain / "empty").write_bytes(b"")
        (plain / "sub" / "same").write_bytes(b"x")
        (plain / "same").write_bytes(b"x")
        models = {"plain": plain, "digits": DIGITS / "model-1.0", "shards": self.small_model()}
        for name, model in models.items():
            out = self.dir / f"out-{name}"
            self.push(model, f"team/{name}:1.0", "--param", "epochs=3", "-m", "a message")
            self.pull(f"team/{name}:1.0", out)
            assert_same_tree(model, out)

    def test_the_same_model_is_the_same_artifact_on_another_machine_and_day(self):
        model = self.small_model()
        copy = touched_copy(model, self.dir / "elsewhere")
        one = self.push(model, "one/same:1.0", "--metric", "f1=0.5")
        two = self.push(copy, "two/same:1.0", "--metric", "f1=0.5", store=self.another_store("two"))
        self.assertEqual(one["digest"], two["digest"])
        dated = [
            self.push(directory, f"{name}/same:1.0", store=self.another_store(name), env={"SOURCE_DATE_EPOCH": "1"})
            for name, directory in (("three", model), ("four", copy))
        ]
        self.assertEqual(dated[0]["digest"], dated[1]["digest"])

    def test_skopeo_copies_an_artifact_and_it_stays_what_it_is(self):
        pushed = self.push(self.small_model(), "team/model:1.0")
        source = f"docker://{self.server.host}/team/model:1.0"
        layout = self.dir / "layout"
        self.containers.skopeo("copy", "--src-tls-verify=false", "--preserve-digests", source, f"oci:{layout}:1.0")
        self.copy_in(self.server, f"oci:{layout}:1.0", "team/copy:1.0", "--preserve-digests")
        shown = self.here.json("show", f"{self.server.host}/team/copy:1.0")
        self.assertEqual(shown["digest"], pushed["digest"])

    def test_an_index_gives_an_image_to_podman_and_an_artifact_to_the_client(self):
        model = minilm()
        self.push(model, "team/both:1.0", "--index")
        image = f"{self.server.host}/team/both:1.0"
        self.containers.podman("pull", "--tls-verify=false", image)
        mounted = self.containers.podman("image", "mount", image).strip()
        assert_same_tree(model, f"{mounted}/models")
        self.containers.podman("image", "unmount", image)
        index = json.loads(self.raw(self.server, "team/both:1.0"))
        (artifact,) = (entry for entry in index["manifests"] if "artifactType" in entry)
        self.pull(f"team/both@{artifact['digest']}", self.dir / "artifact")
        assert_same_tree(model, self.dir / "artifact" / "models")
        self.store.run("verify", "--all")
