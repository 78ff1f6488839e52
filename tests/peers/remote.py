"""Debian's docker-registry as the tests start it, and wires that count, break and wait."""

import re
import socket
import subprocess
import threading

from kept import ended_within


class Registry:
    """docker-registry on a free port, its data in a directory."""

    def __init__(self, directory, more="", storage=""):
        directory.mkdir()
        self.data = directory / "data"
        config = directory / "config.yml"
        config.write_text(
            "version: 0.1\nlog:\n  level: info\n"
            f"storage:\n  filesystem:\n    rootdirectory: {self.data}\n{storage}"
            f"http:\n  addr: 127.0.0.1:0\n{more}"
        )
        self.log = []
        self.ready = threading.Event()
        self.port = None
        self.process = subprocess.Popen(
            ["docker-registry", "serve", config],
            stdin=subprocess.DEVNULL, stdout=subprocess.DEVNULL, stderr=subprocess.PIPE, text=True,
        )  # fmt: skip
        self.reader = threading.Thread(target=self.read, daemon=True)
        self.reader.start()
        if not self.ready.wait(60) or self.port is None:
            self.stop()
            raise AssertionError("docker-registry did not start:\n" + "".join(self.log[-30:]))
        self.host = f"127.0.0.1:{self.port}"

    def read(self):
        for line in self.process.stderr:
            self.log.append(line)
            found = re.search(r"listening on 127\.0\.0\.1:(\d+)", line)
            if found:
                self.port = int(found.group(1))
                self.ready.set()
        self.ready.set()  # it ended

    def stop(self):
        self.process.terminate()
        if not ended_within(self.process, 30):
            self.process.kill()
        self.process.wait()
        self.reader.join()
        self.process.stderr.close()

    def blob(self, digest):
        algorithm, hexadecimal = digest.split(":")
        return self.data / "docker/registry/v2/blobs" / algorithm / hexadecimal[:2] / hexadecimal / "data"


class Wire:
    """A wire to a port, which counts the bytes that go over it, and breaks, or waits, where a test wants it to."""

    def __init__(self, port, breaks_after=None, before_answer_to=None):
        self.to = port
        self.sent = self.received = 0  # towards the server, and from it
        self.at, self.then = None, None
        self.breaks_after = breaks_after
        self.needle, self.action = before_answer_to or (None, None)
        self.asked = False
        self.bytes = 0
        self.lock = threading.Lock()
        self.listener = socket.create_server(("127.0.0.1", 0))
        self.host = "127.0.0.1:%d" % self.listener.getsockname()[1]
        threading.Thread(target=self.accept, daemon=True).start()

    def accept(self):
        while True:
            try:
                client, _ = self.listener.accept()
            except OSError:
                return  # closed
            try:
                server = socket.create_connection(("127.0.0.1", self.to))
            except OSError:
                client.close()  # the server has gone
                continue
            for source, target in ((client, server), (server, client)):
                threading.Thread(target=self.pump, args=(source, target, source is client), daemon=True).start()

    def pump(self, source, target, asks):
        try:
            while piece := source.recv(1 << 16):
                then = None
                with self.lock:
                    self.bytes += len(piece)
                    if asks:
                        self.sent += len(piece)
                    else:
                        self.received += len(piece)
                    if self.at is not None and self.bytes > self.at:
                        self.at, then = None, self.then
                    breaks = self.breaks_after is not None and self.bytes > self.breaks_after
                    if breaks:
                        self.breaks_after = None
                if breaks:
                    for end in (source, target):
                        end.shutdown(socket.SHUT_RDWR)
                    return
                if then:
                    then()
                if self.needle and asks and self.needle in piece:
                    self.asked = True
                elif self.asked and not asks:
                    self.asked = False
                    self.action()
                target.sendall(piece)
            target.shutdown(socket.SHUT_WR)
        except OSError:
            # One side has gone: so does the other.
            for end in (source, target):
                try:
                    end.shutdown(socket.SHUT_RDWR)
                except OSError:
                    pass

    def once(self, count, action):
        """Does `action` when `count` bytes more have gone over the wire."""
        with self.lock:
            self.at, self.then = self.bytes + count, action

    def counted(self, action):
        before = self.bytes
        action()
        return self.bytes - before
