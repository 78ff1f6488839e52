"""Models that lie where other tools keep them."""

from pathlib import Path

from base import PeerTest, minilm
from kept import ROOT, VENV_PYTHON, assert_same_tree, run

HUB = ROOT / "tests/peers/hub_snapshot.py"
REVISION = "c9745ed1d9f207416be6d2e6f8de32d1f16199bf"


class Sources(PeerTest):
    def test_a_snapshot_that_the_client_of_the_hub_made_is_pushed_as_it_lies(self):
        model = minilm()
        environment = {"HOME": str(self.dir), "PATH": "/usr/bin:/bin", "HF_HUB_DISABLE_PROGRESS_BARS": "1"}
        done = run([VENV_PYTHON, "-B", HUB, model, self.dir / "hub"], env=environment)
        snapshot = Path(done.stdout.strip())
        self.assertEqual(snapshot.name, REVISION)
        self.assertTrue((snapshot / "config.json").is_symlink())
        self.store.run("push", snapshot, "tiny:1.0")
        origin = self.store.json("show", "tiny:1.0")["origin"]
        self.assertEqual(origin["model"], f"hf://org/tiny@{REVISION}")
        self.store.run("pull", "tiny:1.0", "-o", self.dir / "out")
        assert_same_tree(model, self.dir / "out")
        self.assertEqual(
            self.store.json("push", model, "plain:1.0")["content_root"],
            self.store.json("show", "tiny:1.0")["content_root"],
        )
