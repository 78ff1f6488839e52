"""Servers under test, and a registry client that is no more than HTTP.

Python's standard library only.
"""

import hashlib
import http.client
import itertools
import json
import os
import re
import select
import ssl
import subprocess
import time
from pathlib import Path
from urllib.parse import urlsplit

from kept import BINARY, Unexpected

MANIFEST = "application/vnd.oci.image.manifest.v1+json"
CONFIG = "application/vnd.oci.image.config.v1+json"
LAYER = "application/vnd.oci.image.layer.v1.tar"
TIMEOUT = 120  # seconds until a server that says nothing counts as hanging
LOST = (ConnectionError, http.client.HTTPException, TimeoutError)  # how a reply is lost

numbers = itertools.count(1)  # of servers, for their logs


def digest_of(data):
    return "sha256:" + hashlib.sha256(data).hexdigest()


class Process:
    """What a running server costs, by the kernel's books."""

    def __init__(self, process):
        self.process = process

    @property
    def pid(self):
        return self.process.pid

    def cpu(self):
        """Seconds of user and system time so far."""
        words = Path(f"/proc/{self.pid}/stat").read_text().rpartition(")")[2].split()
        return (int(words[11]) + int(words[12])) / os.sysconf("SC_CLK_TCK")

    def status(self, field):
        """A number of /proc/PID/status; sizes there are in KiB."""
        text = Path(f"/proc/{self.pid}/status").read_text()
        return int(re.search(rf"^{field}:\s+(\d+)", text, re.MULTILINE)[1])

    def descriptors(self):
        return len(os.listdir(f"/proc/{self.pid}/fd"))

    def kill(self):
        """Ends it as a power cut would."""
        self.process.kill()
        self.process.wait()

    def stop(self):
        """Asks it to end, and gives its exit status."""
        self.process.terminate()
        try:
            return self.process.wait(TIMEOUT)
        except subprocess.TimeoutExpired:
            self.kill()
            raise Unexpected(f"it did not end within {TIMEOUT} s of SIGTERM") from None


class Server(Process):
    """`modelkeep serve` on a store, or `program` that ends up as one; port 0 is a free one, which stays the same over
    `restart`. It is started by being made."""

    def __init__(self, store, *words, listen="127.0.0.1:0", program=(BINARY, "serve")):
        self.store, self.words, self.program = store, words, program
        self.log = store.home.parent / f"serve-{next(numbers)}.log"
        self.start(listen)

    def start(self, listen):
        with open(self.log, "ab") as log:
            super().__init__(subprocess.Popen(
                [str(word) for word in (*self.program, "--listen", listen, *self.words)],
                stdin=subprocess.DEVNULL, stdout=subprocess.PIPE, stderr=log,
                env=self.store.environment(), cwd=self.store.home.parent,
            ))  # fmt: skip
        said = first_line(self.process.stdout.fileno(), TIMEOUT)
        url = re.search(r"https?://[^\s/]+", said)
        if not url:
            self.kill()
            raise Unexpected(f"the server names no address: {said!r}\n{self.logged()[-4000:]}")
        self.url = url[0]
        place = urlsplit(self.url)
        self.host, self.hostname, self.port = place.netloc, place.hostname, place.port

    def restart(self):
        self.start(self.host)

    def stop(self):
        """Ends it as systemd would, and insists that it ends well, unless it was killed."""
        if self.process.poll() is None and (status := super().stop()) != 0:
            raise Unexpected(f"the server ended with {status}\n{self.logged()[-4000:]}")

    def client(self):
        return Client(self.hostname, self.port)

    def request(self, method, path, body=None, headers=None, authority=None):
        """One request on a connection of its own; status, headers and body of the answer."""
        connection = self.connection(authority)
        try:
            connection.request(method, path, body=body, headers=headers or {})
            answer = connection.getresponse()
            return answer.status, answer.headers, answer.read()
        finally:
            connection.close()

    def connection(self, authority=None):
        if self.url.startswith("https:"):
            context = ssl.create_default_context(cafile=authority)
            return http.client.HTTPSConnection(self.hostname, self.port, timeout=TIMEOUT, context=context)
        return http.client.HTTPConnection(self.hostname, self.port, timeout=TIMEOUT)

    def logged(self):
        return self.log.read_text(errors="replace")

    def check_log(self):
        """Fails when the server found a fault of its own."""
        faults = [line for line in self.logged().splitlines() if "panic" in line or " status=500" in line]
        if faults:
            raise Unexpected("in the log:\n" + "\n".join(faults[:10]))


def first_line(descriptor, seconds):
    """What comes before the first end of a line, or all that came within that time."""
    until, line = time.monotonic() + seconds, b""
    poll = select.poll()
    poll.register(descriptor, select.POLLIN)
    while b"\n" not in line and poll.poll(max(0, until - time.monotonic()) * 1000):
        came = os.read(descriptor, 4096)
        if not came:
            break
        line += came
    return line.split(b"\n")[0].decode(errors="replace")


class Answer:
    def __init__(self, status, fields, body):
        self.status, self.fields, self.body = status, fields, body

    def code(self):
        """The first error code of the answer, if it has the form that the specification gives errors."""
        try:
            return json.loads(self.body)["errors"][0]["code"]
        except (ValueError, LookupError, TypeError):
            return None

    def __str__(self):
        return f"{self.status} {self.body[:400]!r}"


class Client:
    """One kept connection to a registry, for one thread."""

    def __init__(self, host, port):
        self.connection = http.client.HTTPConnection(host, port, timeout=TIMEOUT)

    def close(self):
        self.connection.close()

    def ask(self, method, path, body=None, **fields):
        """Sends one request. What is left of a connection that fails is closed: the next request opens another."""
        fields = {name.replace("_", "-"): value for name, value in fields.items()}
        try:
            self.connection.request(method, path, body, fields)
            response = self.connection.getresponse()
            return Answer(response.status, response.headers, response.read())
        except Exception:
            self.connection.close()
            raise

    def insist(self, expect, method, path, body=None, **fields):
        answer = self.ask(method, path, body, **fields)
        if answer.status != expect:
            raise Unexpected(f"{method} {path}: {answer}, expected {expect}")
        return answer

    def has_blob(self, repository, digest):
        return self.ask("HEAD", f"/v2/{repository}/blobs/{digest}").status == 200

    def push_blob(self, repository, data):
        """Sends a blob in two requests, which every registry takes, and gives its digest."""
        digest = digest_of(data)
        begun = self.insist(202, "POST", f"/v2/{repository}/blobs/uploads/", b"")
        self.insist(201, "PUT", with_digest(begun.fields["Location"], digest), data)
        return digest

    def put_manifest(self, repository, reference, data):
        return self.ask("PUT", f"/v2/{repository}/manifests/{reference}", data, Content_Type=MANIFEST)

    def manifest(self, repository, reference):
        return self.ask("GET", f"/v2/{repository}/manifests/{reference}", Accept=MANIFEST)

    def fetch(self, repository, descriptor):
        """The answer to a GET of a blob, which must be right if it is 200."""
        answer = self.ask("GET", f"/v2/{repository}/blobs/{descriptor['digest']}")
        if answer.status == 200 and (len(answer.body), digest_of(answer.body)) != (descriptor["size"], descriptor["digest"]):
            raise Unexpected(f"{repository}: {descriptor['digest']} came back as {len(answer.body)} other bytes")
        return answer


def with_digest(location, digest):
    url = urlsplit(location)
    query = f"{url.query}&digest={digest}" if url.query else f"digest={digest}"
    return f"{url.path}?{query}"


def descriptor(media_type, data):
    return {"mediaType": media_type, "digest": digest_of(data), "size": len(data)}


def image(config, layers, **annotations):
    """A manifest, as bytes."""
    document = {
        "schemaVersion": 2,
        "mediaType": MANIFEST,
        "config": descriptor(CONFIG, config),
        "layers": [descriptor(LAYER, layer) for layer in layers],
        "annotations": annotations,
    }
    return json.dumps(document).encode()
