"""A model that people use, and the one that this repository carries, pushed and pulled."""

import json

from base import DIGITS, PeerTest, minilm
from kept import ROOT, VENV_PYTHON, assert_same_tree, run

# Two that say the same, and one about something else.
SENTENCES = [
    ("A man is playing a guitar on stage.", "Someone performs music with a guitar.", "The stock market fell today."),
    ("That is a happy person.", "That is a very happy person.", "Today is a sunny day."),
    ("The cat sleeps on the sofa.", "A kitten is napping on the couch.", "The compiler reports a type error."),
]


def embed(model):
    lines = "\n".join(sentence for group in SENTENCES for sentence in group)
    done = run(["sh", "-c", 'printf "%s\\n" "$3" | "$1" tests/peers/embed.py "$2"', "sh", VENV_PYTHON, model, lines], cwd=ROOT)
    vectors = [json.loads(line) for line in done.stdout.splitlines()]
    return [vectors[start : start + 3] for start in range(0, len(vectors), 3)]


def likeness(left, right):
    return sum(a * b for a, b in zip(left, right, strict=True))


class RealModel(PeerTest):
    def test_minilm_comes_back_byte_for_byte_and_embeds_sentences(self):
        model = minilm()
        first = self.store.json("push", model, "minilm:1.0", "--message", "from the package")
        self.assertEqual(first["outcome"], "published")
        again = self.store.json("push", model, "minilm:1.0")
        self.assertEqual(again["outcome"], "unchanged")
        self.assertEqual(again["digest"], first["digest"])
        self.assertEqual(again["bytes_read"], 0, "a second push reads only what changed")
        self.assertEqual(again["bytes_written"], 0)

        pulled = self.dir / "pulled"
        self.store.run("pull", "minilm:1.0", "-o", pulled)
        assert_same_tree(model, pulled)

        groups = embed(pulled)
        self.assertEqual(groups, embed(model))
        self.assertEqual(len(groups), len(SENTENCES))
        for (one, alike, unlike), words in zip(groups, SENTENCES, strict=True):
            self.assertEqual(len(one), 384)
            self.assertGreater(likeness(one, alike), likeness(one, unlike) + 0.3, words)

    def test_a_push_without_json_says_that_the_version_is_unchanged(self):
        self.store.run("push", DIGITS / "model-1.0", "digits:1.0")
        again = self.store.run("push", DIGITS / "model-1.0", "digits:1.0")
        self.assertIn("unchanged", (again.stdout + again.stderr).lower())

    def test_pulled_digits_predict_with_the_recorded_accuracy(self):
        for version in ("1.0", "1.1"):
            model = DIGITS / f"model-{version}"
            recorded = json.loads((model / "metrics.json").read_text())["accuracy"]
            self.store.run("push", model, f"digits:{version}", "--metric", f"accuracy={recorded}")
            pulled = self.dir / f"digits-{version}"
            self.store.run("pull", f"digits:{version}", "-o", pulled)
            measured = run([VENV_PYTHON, DIGITS / "predict.py", pulled]).stdout
            self.assertEqual(measured.strip(), f"accuracy {recorded:.4f}")
            shown = self.store.json("show", f"digits:{version}")["metrics"]["accuracy"]
            self.assertEqual(float(shown), recorded)
        listed = self.store.json("versions", "digits")["versions"]
        self.assertEqual([entry["version"] for entry in listed], ["1.1", "1.0"])
        self.assertEqual([entry["parent"] for entry in listed], ["1.0", None])
