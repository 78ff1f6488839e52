"""What the fault scripts share: arguments, counting, the closing line, and what must hold afterwards."""

import argparse
import sys
import time
import traceback
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parents[1] / "support"))
sys.dont_write_bytecode = True

import kept


def arguments(description, **counts):
    """Parses `--NAME N` for every count, `--seed N` and `--write FILE`."""
    parser = argparse.ArgumentParser(description=description, formatter_class=argparse.ArgumentDefaultsHelpFormatter)
    for name, default in counts.items():
        parser.add_argument(f"--{name}", type=int, default=default, metavar="N", help=f"how many {name}")
    parser.add_argument("--seed", type=int, default=1, metavar="N", help="seed of everything random but the clock")
    parser.add_argument("--write", type=Path, metavar="FILE", help="also write the figures to FILE, as markdown")
    return parser.parse_args()


class Tally:
    """Counts what passed and failed, keeps figures, and ends the program."""

    def __init__(self, title, write=None):
        self.title, self.write = title, write
        self.passed = self.failed = 0
        self.figures = {}
        self.began = time.monotonic()

    def trial(self, name, action, *words):
        """Runs one trial; what it raises is a failure, shown at once."""
        try:
            action(*words)
        except Exception:  # every kind of failure counts, and the next trial still runs
            self.failed += 1
            print(f"FAILED {name}\n{traceback.format_exc()}", flush=True)
        else:
            self.passed += 1

    def add(self, figure, count=1):
        self.figures[figure] = self.figures.get(figure, 0) + count

    def require(self, figure, count=1):
        """Fails the run when something without which it proves nothing happened less than `count` times."""
        if (seen := self.figures.get(figure, 0)) < count:
            self.failed += 1
            print(f"FAILED {figure}: {seen}, and {count} are needed for a result", flush=True)

    def end(self):
        lines = [f"{figure}: {count:,}" for figure, count in self.figures.items()]
        lines.append(f"took: {time.monotonic() - self.began:.0f} s")
        closing = f"{self.passed} passed, {self.failed} failed"
        print("\n".join([*lines, closing]), flush=True)
        if self.write:
            rows = "".join(f"- {line}\n" for line in lines)
            self.write.parent.mkdir(parents=True, exist_ok=True)
            command = " ".join(["tests/faults/" + Path(sys.argv[0]).name, *sys.argv[1:]])
            self.write.write_text(f"# {self.title}\n\nWritten by `{command}`.\n\n{rows}\n{closing}\n", encoding="utf-8")
        sys.exit(1 if self.failed or not self.passed else 0)


def check(condition, said):
    """Like assert, but it stays when Python optimises."""
    if not condition:
        raise kept.Unexpected(said)


def binary():
    """Stops early, with a way out, when there is nothing to test."""
    if not kept.BINARY.is_file():
        sys.exit(f"no binary at {kept.BINARY}: run `cargo build --release --locked`, or set MODELKEEP")
