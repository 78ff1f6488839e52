"""What the headers of real files say: the same as the reference readers of Python say."""

import json
import shutil

from base import DIGITS, PeerTest, minilm
from kept import ROOT, VENV_PYTHON, run

READERS = ROOT / "tests" / "peers" / "reference_readers.py"


def by_file(record):
    """Name, type, shape and bytes of the tensors of a record, by the path of their file."""
    tensors = record.get("tensors") or {"files": [], "rows": []}
    found = {}
    for file, name, dtype, shape, size, digest in tensors["rows"]:
        found.setdefault(tensors["files"][file], {})[name] = [dtype, shape, size, digest]
    return found


class Inspect(PeerTest):
    def reference(self, directory):
        done = run([VENV_PYTHON, "-B", READERS, "read", directory])
        return json.loads(done.stdout)

    def written(self):
        directory = self.dir / "written"
        run([VENV_PYTHON, "-B", READERS, "write", directory])
        return directory

    def record(self, subject):
        return self.store.json("inspect", subject)["record"]

    def test_every_tensor_is_what_the_reference_readers_say(self):
        directory = self.written()
        record = self.record(directory)
        self.assertEqual(record.get("problems", []), [])
        ours, theirs = by_file(record), self.reference(directory)
        self.assertGreater(len(theirs), 150)
        for path, reference in theirs.items():
            tensors = {name: [dtype, shape] for name, (dtype, shape, _, _) in ours.get(path, {}).items()}
            self.assertEqual(tensors, reference["tensors"], path)
            for name, size in reference.get("bytes", {}).items():
                self.assertEqual(ours[path][name][2], size, (path, name))
        self.assertEqual(set(ours) - set(theirs), set())

    def test_graphs_have_the_inputs_and_outputs_that_onnx_says(self):
        graphs = self.written() / "graphs"
        # What is no tensor has no type of elements there; here it has a name.
        plain = lambda ports: [[name, dtype, sides] for name, dtype, sides in ports if dtype]
        for path, reference in self.reference(graphs).items():
            record = self.record((graphs / path).parent)
            self.assertEqual(record.get("problems", []), [], path)
            for side in ("inputs", "outputs"):
                kinds = {name for name, dtype, _ in reference[side] if dtype}
                ours = [[port["name"], port["dtype"], port.get("shape", [])] for port in record.get(side, [])]
                self.assertEqual([port for port in ours if port[0] in kinds], plain(reference[side]), (path, side))
                self.assertEqual(len(ours), len(reference[side]), (path, side))
            self.assertEqual(record.get("opsets", {}), reference["opsets"], path)

    def test_metadata_of_gguf_reaches_the_record(self):
        directory = self.written() / "quantised"
        record, reference = self.record(directory), self.reference(directory)["tiny-Q4_0.gguf"]
        self.assertEqual(record["architecture"], reference["architecture"])
        self.assertEqual(record["license"], reference["license"])
        self.assertEqual(record["tokenizer"]["vocabulary"], reference["vocabulary"])
        self.assertEqual(record["sizes"]["max_position_embeddings"], reference["context"])
        self.assertEqual(record["quantization"], "Q4_0")

    def test_the_sentence_transformer_is_recorded(self):
        model = minilm()
        self.store.run("push", model, "minilm:1.0")
        shown = self.store.json("show", "minilm:1.0")["record"]
        theirs = self.reference(model)["model.safetensors"]["tensors"]
        ours = by_file(shown)["model.safetensors"]
        self.assertEqual({name: row[:2] for name, row in ours.items()}, theirs)
        self.assertTrue(all(len(row[3]) == 64 for row in ours.values()), "each tensor has its hash")
        self.assertEqual(shown["architecture"], "BertModel")
        self.assertEqual(shown["license"], "apache-2.0")
        count = lambda shape: shape[0] * count(shape[1:]) if shape else 1
        self.assertEqual(shown["parameters"], sum(count(shape) for _, shape in theirs.values()))
        vocabulary = json.loads((model / "tokenizer.json").read_text())["model"]["vocab"]
        self.assertEqual(shown["tokenizer"]["vocabulary"], len(vocabulary))
        # What was recorded is what a look at the files says, but for the hashes.
        looked = self.record(model)
        for record in (shown, looked):
            record["tensors"]["rows"] = [row[:5] for row in record["tensors"]["rows"]]
        self.assertEqual(looked, shown)

    def test_one_tensor_one_metric_and_one_token_are_all_that_differs(self):
        old, new = self.dir / "old", self.dir / "new"
        shutil.copytree(minilm(), old)
        (old / "metrics.json").write_text('{"f1": 0.894}')
        shutil.copytree(old, new)
        (new / "metrics.json").write_text('{"f1": 0.911}')
        change = (
            "import sys; from safetensors.numpy import load_file, save_file; path = sys.argv[1]; t = load_file(path); "
            "t['pooler.dense.bias'] = t['pooler.dense.bias'] + 1; save_file(t, path, metadata={'format': 'pt'})"
        )
        run([VENV_PYTHON, "-B", "-c", change, new / "model.safetensors"])
        tokenizer = json.loads((new / "tokenizer.json").read_text())
        vocabulary = tokenizer["model"]["vocab"]
        token = next(token for token, number in vocabulary.items() if number == 5000)
        vocabulary["quokka"] = vocabulary.pop(token)
        (new / "tokenizer.json").write_text(json.dumps(tokenizer))
        self.store.run("push", old, "minilm:1.0")
        self.store.run("push", new, "minilm:1.1")
        for sides in (("minilm:1.0", "minilm:1.1"), (old, new), ("minilm:1.0", new)):
            diff = self.store.json("diff", *sides)
            changed = [[tensor["name"], tensor["change"]] for tensor in diff["tensors"]["list"]]
            self.assertEqual(changed, [["pooler.dense.bias", "changed"]], sides)
            self.assertEqual([metric["name"] for metric in diff["metrics"]], ["f1"])
            self.assertAlmostEqual(diff["metrics"][0]["delta"], 0.017)
            self.assertEqual({entry["token"] for entry in diff["vocabulary"]["list"]}, {token, "quokka"})
            modified = [file["path"] for file in diff["files"]["modified"]]
            self.assertEqual(modified, ["metrics.json", "model.safetensors", "tokenizer.json"])
            self.assertEqual((diff["record"], diff["texts"]), ([], {"config": {}, "card": []}))
            self.assertEqual(diff["incompatible"], ["vocabulary: tokens 1 added, 1 removed"])

    def test_values_have_moved_as_far_as_numpy_says(self):
        def write(name, number, shift):
            directory = self.dir / name
            directory.mkdir()
            code = (
                "import sys, numpy as np; from safetensors.numpy import save_file; r = np.random.default_rng(3); shift = float(sys.argv[2]); "
                "save_file({k: (r.random((300, 70)) + shift).astype(k) for k in ('float16', 'float32', 'float64')}, sys.argv[1])"
            )
            run([VENV_PYTHON, "-B", "-c", code, directory / "model.safetensors", shift])
            self.store.run("push", directory, f"moved:{number}")
            return directory / "model.safetensors"

        paths = write("old", "1.0", 0), write("new", "1.1", 0.125)
        code = (
            "import sys, json, numpy as np; from safetensors.numpy import load_file; a, b = map(load_file, sys.argv[1:]); n = np.linalg.norm; "
            "v = {k: (a[k].astype('f8').ravel(), b[k].astype('f8').ravel()) for k in a}; "
            "print(json.dumps({k: [n(y - x) / n(x), x @ y / n(x) / n(y)] for k, (x, y) in v.items()}))"
        )
        expected = json.loads(run([VENV_PYTHON, "-B", "-c", code, *paths]).stdout)
        diff = self.store.json("diff", "moved:1.0", "moved:1.1", "--values")
        found = {tensor["name"]: tensor["distance"] for tensor in diff["tensors"]["list"]}
        self.assertEqual(set(found), set(expected))
        for name, (relative, cosine) in expected.items():
            self.assertAlmostEqual(found[name]["relative_l2"], relative, places=9)
            self.assertAlmostEqual(found[name]["cosine"], cosine, places=9)

    def test_versions_are_found_by_their_metrics(self):
        for version in ("1.0", "1.1"):
            self.store.run("push", DIGITS / f"model-{version}", f"digits:{version}", "--metric", f"size={version}")
        listed = self.store.json("versions", "digits", "--metric", "accuracy", "--where", "size>1.05")["versions"]
        recorded = json.loads((DIGITS / "model-1.1" / "metrics.json").read_text())["accuracy"]
        self.assertEqual([(row["version"], row["metrics"]["accuracy"]) for row in listed], [("1.1", recorded)])
