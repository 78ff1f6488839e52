"""A full disk, Ctrl-C in the middle of a push, and a byte that changed on the disk."""

import json
import os
import signal

from base import PeerTest
from kept import EXIT_DAMAGED, EXIT_FAILED, MIB, Store, bytes_written, ended_within, run, write_model


def free_bytes(directory):
    found = os.statvfs(directory)
    return found.f_bavail * found.f_frsize


class FullDisk(PeerTest):
    def test_a_full_disk_stores_nothing_and_gives_its_space_back(self):
        model = write_model(self.dir / "model", [48 * MIB])
        disk = self.dir / "disk"
        disk.mkdir()
        run(["mount", "-t", "tmpfs", "-o", "size=96m", "tmpfs", disk])
        self.addCleanup(self.unmount, disk)
        store = Store(disk / "home")
        store.run("push", write_model(self.dir / "small", [1 * MIB], seed=2), "full:0.9")
        ballast = disk / "ballast"
        with open(ballast, "wb") as file:
            os.posix_fallocate(file.fileno(), 0, free_bytes(disk) - 24 * MIB)

        before = free_bytes(disk)
        refused = store.run("push", model, "full:1.0", expect=EXIT_FAILED)
        self.assertRegex(refused.stderr.lower(), r"no space|full|space left")
        self.assertEqual(refused.stdout, "")
        self.assertNotIn("panicked", refused.stderr)
        store.run("verify", "--all")
        listed = [entry["version"] for entry in store.json("versions", "full")["versions"]]
        self.assertEqual(listed, ["0.9"])
        self.assertGreater(free_bytes(disk), before - 1 * MIB, "what did not fit is given back")

        ballast.unlink()
        store.run("push", model, "full:1.0")
        store.run("verify", "--all")
        pulled = self.dir / "pulled"
        store.run("pull", "full:1.0", "-o", pulled)
        run(["diff", "-r", model, pulled])

    def test_a_pull_onto_a_full_disk_says_so_and_converges_when_there_is_room(self):
        model = write_model(self.dir / "model", [48 * MIB])
        self.store.run("push", model, "full:1.0")
        disk = self.dir / "disk"
        disk.mkdir()
        run(["mount", "-t", "tmpfs", "-o", "size=24m", "tmpfs", disk])
        self.addCleanup(self.unmount, disk)
        refused = self.store.run("pull", "full:1.0", "-o", disk / "pulled", expect=EXIT_FAILED)
        self.assertRegex(refused.stderr.lower(), r"no space|full|space left")
        run(["mount", "-o", "remount,size=96m", disk])
        self.store.run("pull", "full:1.0", "-o", disk / "pulled")
        run(["diff", "-r", model, disk / "pulled"])


class Interrupted(PeerTest):
    def test_ctrl_c_in_a_push_leaves_a_store_that_verifies(self):
        model = write_model(self.dir / "model", [256 * MIB, 256 * MIB])
        process = self.store.start("push", model, "big:1.0")
        self.addCleanup(process.stderr.close)
        while bytes_written(process) < 32 * MIB:
            self.assertFalse(ended_within(process, 0.002), "the push ended before it could be interrupted")
        process.send_signal(signal.SIGINT)
        self.assertTrue(ended_within(process, 10), "Ctrl-C must end it")
        said = process.stderr.read().decode()
        self.assertIn(process.wait(), (130, -signal.SIGINT), said)
        self.assertNotIn("panicked", said)
        self.store.run("verify", "--all")
        self.assertEqual(self.store.json("versions", "big", expect=None)["versions"], [])
        again = self.store.json("push", model, "big:1.0")
        self.assertEqual(again["outcome"], "published")
        self.store.run("verify", "--all")


class Damaged(PeerTest):
    def test_one_changed_byte_is_found_and_never_pulled(self):
        model = self.small_model()
        self.store.run("push", model, "hurt:1.0")
        weights = max((path for path in self.store.home.rglob("*") if path.is_file()), key=lambda path: path.stat().st_size)
        os.chmod(weights, 0o600)
        with open(weights, "r+b") as file:
            file.seek(weights.stat().st_size // 2)
            byte = file.read(1)[0]
            file.seek(-1, os.SEEK_CUR)
            file.write(bytes([byte ^ 1]))

        found = self.store.json("verify", "--all", expect=EXIT_DAMAGED)
        self.assertFalse(found["ok"])
        self.assertEqual(len(found["problems"]), 1, found)
        self.assertIn(weights.name, json.dumps(found["problems"]))
        self.store.run("verify", "hurt:1.0", expect=EXIT_DAMAGED)

        pulled = self.dir / "pulled"
        refused = self.store.run("pull", "hurt:1.0", "-o", pulled, expect=None)
        self.assertNotEqual(refused.returncode, 0)
        for path in (p for p in pulled.rglob("*.safetensors")):
            self.assertEqual(path.read_bytes(), (model / path.name).read_bytes(), "what is visible is right")
