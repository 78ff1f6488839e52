"""The server as the tests start it: on a free port, with accounts and certificates made for the day.

Python's standard library, `htpasswd` and `openssl`.
"""

import http.client
import itertools
import os
import re
import select
import ssl
import subprocess
import time
from urllib.parse import urlsplit

from kept import BINARY, Unexpected, ended_within, run

STARTS_WITHIN, ENDS_WITHIN, ANSWERS_WITHIN = 30, 30, 30

numbers = itertools.count(1)


class Server:
    """A `modelkeep serve` over a store, or `program` that ends up as one. It is started by being made."""

    def __init__(self, store, *words, listen="127.0.0.1:0", program=(BINARY, "serve")):
        self.log = store.home.parent / f"serve-{next(numbers)}.log"
        with open(self.log, "wb") as log:
            self.process = subprocess.Popen(
                [str(word) for word in (*program, "--listen", listen, *words)],
                stdin=subprocess.DEVNULL, stdout=subprocess.PIPE, stderr=log,
                env=store.environment(), cwd=store.home.parent,
            )  # fmt: skip
        line = first_line(self.process.stdout.fileno(), STARTS_WITHIN)
        found = re.search(r"https?://[^\s/]+", line)
        if not found:
            self.kill()
            raise Unexpected(f"the server names no address: {line!r}\n{self.said()}")
        self.url = found.group(0)
        self.host = urlsplit(self.url).netloc

    def said(self):
        return self.log.read_text(errors="replace")[-4000:]

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
        place = urlsplit(self.url)
        if place.scheme == "https":
            context = ssl.create_default_context(cafile=authority)
            return http.client.HTTPSConnection(place.hostname, place.port, timeout=ANSWERS_WITHIN, context=context)
        return http.client.HTTPConnection(place.hostname, place.port, timeout=ANSWERS_WITHIN)

    def kill(self):
        """Ends it as a power cut would."""
        self.process.kill()
        self.process.wait()
        self.process.stdout.close()

    def stop(self):
        """Ends it as systemd would, and insists that it ends well."""
        if self.process.poll() is None:
            self.process.terminate()
            if not ended_within(self.process, ENDS_WITHIN):
                self.kill()
                raise Unexpected(f"the server does not end on SIGTERM\n{self.said()}")
        status = self.process.wait()
        if self.process.stdout.closed:
            return  # it was killed
        self.process.stdout.close()
        if status != 0:
            raise Unexpected(f"the server ended with {status}\n{self.said()}")


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


def write_accounts(path, **passwords):
    """A file of accounts by bcrypt, at the lowest cost that `htpasswd` has."""
    lines = [run(["htpasswd", "-nbB", "-C", "4", name, password]).stdout.strip() for name, password in passwords.items()]
    path.write_text("\n".join(lines) + "\n")
    path.chmod(0o600)
    return path


class Authority:
    """A certificate authority of our own."""

    def __init__(self, directory):
        self.dir = directory
        self.dir.mkdir()
        self.certificate, self.key = self.dir / "ca.crt", self.dir / "ca.key"
        self.make(self.certificate, self.key, "/CN=Test authority")

    def make(self, certificate, key, subject, *words):
        run([
            "openssl", "req", "-x509", "-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:P-256", "-nodes", "-days", "2",
            "-keyout", key, "-out", certificate, "-subj", subject, *words,
        ])  # fmt: skip

    def certify(self, *addresses):
        """A certificate for IP addresses, and its key."""
        certificate, key = self.dir / "server.crt", self.dir / "server.key"
        names = ",".join(f"IP:{address}" for address in addresses)
        self.make(
            certificate, key, "/CN=registry", "-CA", self.certificate, "-CAkey", self.key,
            "-addext", f"subjectAltName={names}", "-addext", "basicConstraints=critical,CA:FALSE",
        )  # fmt: skip
        return certificate, key
