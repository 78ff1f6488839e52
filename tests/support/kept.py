"""What the end-to-end tests, the fault scripts and the benchmark share: the binary, stores, models.

Python's standard library only.
"""

import json
import os
import random
import secrets
import select
import shutil
import signal
import struct
import subprocess
import tempfile
import time
from pathlib import Path

ROOT = Path(__file__).resolve().parents[2]
BINARY = Path(os.environ.get("MODELKEEP", ROOT / "target" / "release" / "modelkeep")).resolve()
VENV_PYTHON = ROOT / "target" / "venv" / "bin" / "python"
MIB = 1024 * 1024
DEADLINE = 600  # seconds that a command may take where its caller says nothing

EXIT_FAILED, EXIT_EXISTS, EXIT_DAMAGED = 1, 4, 5


class Unexpected(AssertionError):
    """A command ended otherwise than the test says it must."""


def run(command, expect=0, **options):
    """Runs a command, captures its output as text, and insists on its exit status, and on an end."""
    command = [str(word) for word in command]
    options.setdefault("timeout", DEADLINE)
    done = subprocess.run(command, stdin=subprocess.DEVNULL, capture_output=True, text=True, **options)
    if expect is not None and done.returncode != expect:
        raise Unexpected(
            f"{' '.join(command)}\n  exit status {done.returncode}, expected {expect}"
            f"\n--- stdout\n{done.stdout[-4000:]}\n--- stderr\n{done.stderr[-4000:]}"
        )
    return done


def scratch():
    """A new empty directory; whoever asks removes it. TMPDIR says where."""
    # Podman takes a path for a repository's name, whose parts may not end as those of `mkdtemp` do now and then: with `_`.
    place = Path(tempfile.gettempdir()) / f"modelkeep-test-{secrets.token_hex(6)}"
    place.mkdir(mode=0o700)
    return place


class Store:
    """One store and the binary run on it, in an environment that holds nothing of the user's."""

    def __init__(self, home):
        self.home = Path(home)
        self.home.mkdir(parents=True, exist_ok=True)

    def environment(self, extra=None):
        return {
            "PATH": "/usr/sbin:/usr/bin:/sbin:/bin",
            "HOME": str(self.home.parent),
            "LANG": "C.UTF-8",
            "NO_COLOR": "1",
            "MODELKEEP_HOME": str(self.home),
            # The registries of the tests list what they have answered.
            "MODELKEEP_SETTLE": "20ms",
            **(extra or {}),
        }

    def run(self, *words, expect=0, env=None, cwd=None):
        return run([BINARY, *words], expect=expect, env=self.environment(env), cwd=cwd or self.home.parent)

    def json(self, *words, expect=0, env=None, cwd=None):
        """Runs with --json; standard output must be one JSON document and nothing else."""
        return json.loads(self.run(*words, "--json", expect=expect, env=env, cwd=cwd).stdout)

    def start(self, *words, env=None):
        """Starts the binary without waiting for it."""
        return subprocess.Popen(
            [str(word) for word in (BINARY, *words)],
            stdin=subprocess.DEVNULL,
            stdout=subprocess.DEVNULL,
            stderr=subprocess.PIPE,
            env=self.environment(env),
            cwd=self.home.parent,
            # A shell that starts the tests in the background lets them ignore Ctrl-C; a user's does not.
            preexec_fn=lambda: signal.signal(signal.SIGINT, signal.SIG_DFL),
        )


def ended_within(process, seconds):
    """Whether a started process ends within that time; it stays to be waited for."""
    descriptor = os.pidfd_open(process.pid)
    try:
        poll = select.poll()
        poll.register(descriptor, select.POLLIN)
        return bool(poll.poll(seconds * 1000))
    finally:
        os.close(descriptor)


def bytes_written(process):
    """What a running process has caused to be written to disk so far."""
    for line in Path(f"/proc/{process.pid}/io").read_text().splitlines():
        key, value = line.split(": ")
        if key == "write_bytes":
            return int(value)
    raise Unexpected("the kernel does not count write_bytes")


def write_safetensors(path, size, seed):
    """A valid safetensors file of exactly `size` bytes whose weights do not compress."""
    length = 4096 - 8  # the weights then begin on a page boundary, as in files that are meant to be mapped
    if size < 2 * 4096:
        length = 128
    data = size - 8 - length
    header = json.dumps({"weight": {"dtype": "U8", "shape": [data], "data_offsets": [0, data]}}).encode()
    assert data > 0 and len(header) <= length, "too small for its header"
    source = random.Random(seed)
    with open(path, "wb") as file:
        file.write(struct.pack("<Q", length) + header.ljust(length))
        while data:
            count = min(data, MIB)
            file.write(source.randbytes(count))
            data -= count


def write_model(directory, sizes, seed=1):
    """A model directory: a card, settings, a file in a folder, and weights of the given sizes."""
    directory = Path(directory)
    (directory / "tokenizer").mkdir(parents=True)
    (directory / "README.md").write_text("---\nlicense: apache-2.0\n---\n# Test model\n")
    (directory / "config.json").write_text(json.dumps({"seed": seed}) + "\n")
    (directory / "tokenizer" / "vocab.txt").write_text("a\nb\n")
    for number, size in enumerate(sizes, start=1):
        name = f"model-{number:05}-of-{len(sizes):05}.safetensors"
        write_safetensors(directory / name, size, f"{seed}/{number}")
    return directory


def settle(model):
    """Waits until the files are old enough for their digests to be remembered: 50 ms, by the clock of the disk."""
    latest = max(path.stat().st_ctime_ns for path in model.rglob("*") if path.is_file())
    while time.time_ns() - latest < 100_000_000:
        time.sleep(0.01)
    return model


def assert_same_tree(left, right):
    """Fails unless both directories hold the same names and bytes."""
    run(["diff", "-r", left, right])


def disk_use(directory):
    """Bytes that the files below a directory occupy."""
    total = 0
    for folder, _, names in os.walk(directory):
        for name in names:
            try:
                total += os.lstat(os.path.join(folder, name)).st_blocks * 512
            except FileNotFoundError:
                pass  # removed while we looked
    return total


def remove(path):
    shutil.rmtree(path, ignore_errors=True)
