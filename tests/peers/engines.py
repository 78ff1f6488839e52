"""Container engines for the tests, each with its data in a directory of its own."""

import io
import os
import shutil
import subprocess
import tarfile
import threading
from pathlib import Path

from kept import ended_within, run, scratch

DEADLINE = 120  # seconds that one command of an engine may take


class Dockerd:
    """A docker engine of its own: no network, its data in a scratch directory."""

    def __init__(self):
        self.dir = scratch()
        self.host = f"unix://{self.dir}/docker.sock"
        self.ready = threading.Event()
        self.log = []
        self.process = subprocess.Popen(
            [
                "dockerd", "--data-root", self.dir / "data", "--exec-root", self.dir / "exec",
                "--pidfile", self.dir / "pid", "-H", self.host, "--iptables=false", "--bridge=none",
            ],
            stdin=subprocess.DEVNULL, stdout=subprocess.DEVNULL, stderr=subprocess.PIPE, text=True,
        )  # fmt: skip
        self.reader = threading.Thread(target=self.read, daemon=True)
        self.reader.start()
        if not self.ready.wait(60) or self.process.poll() is not None:
            self.stop()
            raise AssertionError("dockerd did not start:\n" + "".join(self.log[-30:]))

    def read(self):
        for line in self.process.stderr:
            self.log.append(line)
            if "API listen on" in line:
                self.ready.set()
        self.ready.set()  # it ended

    def command(self, *words):
        """A docker command that finds this engine in any environment."""
        return ["docker", "--config", self.dir / "config", "--host", self.host, *words]

    def attempt(self, *words, expect):
        environment = {"PATH": os.environ["PATH"], "HOME": str(self.dir), "DOCKER_BUILDKIT": "0"}
        return run(self.command(*words), expect=expect, env=environment, timeout=DEADLINE)

    def __call__(self, *words):
        return self.attempt(*words, expect=0).stdout

    def refuses(self, *words):
        """Runs what must fail; all that docker says about it."""
        done = self.attempt(*words, expect=1)
        return done.stdout + done.stderr

    def containerd(self, *words):
        """Runs `ctr` on the containerd that this engine has started."""
        socket = self.dir / "exec" / "containerd" / "containerd.sock"
        return run(["ctr", "--address", socket, "--namespace", "peers", *words], timeout=DEADLINE).stdout

    def start(self, *words):
        """Starts a docker command without waiting for it."""
        environment = {"PATH": os.environ["PATH"], "HOME": str(self.dir)}
        return subprocess.Popen(
            self.command(*words), stdin=subprocess.DEVNULL, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True,
            env=environment,
        )  # fmt: skip

    def build(self, name, text, ballast=0):
        """An image FROM scratch with a static busybox that prints `text`, and so many bytes that do not compress."""
        archive = self.dir / "rootfs.tar"
        write_rootfs(archive, text, ballast)
        self("import", "--change", 'CMD ["/bin/busybox", "cat", "/text"]', archive, name)
        return name

    def copy_out(self, image, path, out):
        """Writes the directory `path` of an image to `out`, by a container that is never started."""
        container = self("create", "--network", "none", image, "/none").strip()
        self("cp", f"{container}:{path}", out)
        self("rm", container)
        return out

    def stop(self):
        self.process.terminate()
        if not ended_within(self.process, 30):
            self.process.kill()
        self.process.wait()
        self.reader.join()
        self.process.stderr.close()
        # A container on the host's network leaves this one mounted.
        run(["umount", "--lazy", self.dir / "exec" / "netns" / "default"], expect=None)
        shutil.rmtree(self.dir, ignore_errors=True)


def write_rootfs(archive, text, ballast=0):
    with tarfile.open(archive, "w") as tar:
        tar.add("/bin/busybox", "bin/busybox")
        for name, data in (("text", text.encode()), ("ballast", os.urandom(ballast))):
            member = tarfile.TarInfo(name)
            member.size = len(data)
            tar.addfile(member, io.BytesIO(data))


class Containers:
    """podman, buildah and skopeo over one storage, with one file of credentials."""

    def __init__(self, directory):
        self.dir = Path(directory)
        self.dir.mkdir()
        (self.dir / "auth.json").write_text("{}")  # a name of a file that is not there is an error to podman
        self.place = ["--root", self.dir / "root", "--runroot", self.dir / "run", "--storage-driver", "overlay"]
        self.environment = {
            "PATH": os.environ["PATH"], "HOME": str(self.dir), "REGISTRY_AUTH_FILE": str(self.dir / "auth.json"),
        }  # fmt: skip

    def run(self, *words, expect=0):
        return run(words, expect=expect, env=self.environment, timeout=DEADLINE)

    def podman(self, *words, expect=0):
        done = self.run("podman", *self.place, "--tmpdir", self.dir / "tmp", *words, expect=expect)
        return done.stdout if expect == 0 else done.stdout + done.stderr

    def buildah(self, *words):
        return self.run("buildah", *self.place, *words).stdout

    def skopeo(self, *words, expect=0):
        done = self.run("skopeo", "--insecure-policy", *words, expect=expect)
        return done.stdout if expect == 0 else done.stdout + done.stderr

    def close(self):
        run(["umount", "--lazy", self.dir / "root" / "overlay"], expect=None)
