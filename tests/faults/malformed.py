#!/usr/bin/env python3
"""Requests that no client sends, and clients that are slower than any.

Every malformed request must be answered with an error of the specification, or with the end of the connection:
never with a 500, never with nothing at all, and whatever is hidden behind it must not be answered. Slow and silent
clients must lose their connections in time, and a good client must be served meanwhile. In the end the server has
not panicked, holds no more files and threads than before, has kept within its memory however often it heard all of
this, and the store has nothing that it should not.
"""

import base64
import json
import select
import socket
import time
from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack

from common import Tally, arguments, binary, check
from kept import MIB, Store, remove, scratch
from servers import MANIFEST, Server, descriptor, digest_of, image

CONNECTIONS = 64
HEAD_SECONDS, BODY_SECONDS = 2, 3
SETTINGS = f"""
[limits]
connections = {CONNECTIONS}
head_seconds = {HEAD_SECONDS}
body_seconds = {BODY_SECONDS}
idle_seconds = 60
"""
ACCOUNTS = '[access]\nhtpasswd = "{}"\n'
# ada, "correct horse", bcrypt with the least cost
HTPASSWD = "ada:$2y$04$uCj.VX0Ut.PVQtbSJx2wR.iAgnGsLYvbh6qSPdlU9YgY9/9m/uV1i\n"
PATIENCE = 30
MOST_MEMORY = 64 * MIB
# Annotations that are almost all structure take twenty times their bytes, and the allocator keeps some for each thread.
MOST_MEMORY_PARSING = 160 * MIB
BLOB = b"0123456789" * 1000
DIGEST = digest_of(BLOB)
ID = "0123456789abcdef0123456789abcdef"
# What a server may say to a request that is wrong: the client's fault, or that it cannot do such a thing.
CLIENTS_FAULT = set(range(400, 500)) | {501, 505}
# Codes of distribution-spec, "Error Codes", and those of the wider practice.
CODES = {
    "BLOB_UNKNOWN", "BLOB_UPLOAD_INVALID", "BLOB_UPLOAD_UNKNOWN", "DIGEST_INVALID", "MANIFEST_BLOB_UNKNOWN",
    "MANIFEST_INVALID", "MANIFEST_UNKNOWN", "NAME_INVALID", "NAME_UNKNOWN", "SIZE_INVALID", "UNAUTHORIZED", "DENIED",
    "UNSUPPORTED", "TOOMANYREQUESTS", "UNKNOWN", "PAGINATION_NUMBER_INVALID",
}  # fmt: skip


def get(path, *fields, version="HTTP/1.1"):
    return ("\r\n".join([f"GET {path} {version}", "Host: registry", *fields]) + "\r\n\r\n").encode("latin-1")


def sent(method, path, body=b"", *fields, length=None):
    lines = [f"{method} {path} HTTP/1.1", "Host: registry", f"Content-Length: {len(body) if length is None else length}"]
    return ("\r\n".join([*lines, *fields]) + "\r\n\r\n").encode("latin-1") + body


def chunked(path, body, *fields):
    head = "\r\n".join([f"POST {path} HTTP/1.1", "Host: registry", "Transfer-Encoding: chunked", *fields])
    return head.encode("latin-1") + b"\r\n\r\n" + body


def manifest(data, media_type=MANIFEST, path="/v2/bad/manifests/1.0"):
    return sent("PUT", path, data, f"Content-Type: {media_type}")


def framing():
    """Heads and bodies that two parsers could read in two ways, or that none can read."""
    hidden = get("/v2/hidden/tags/list")
    upload = "/v2/bad/blobs/uploads/"
    yield "no request", b"\0\0\0\0\r\n\r\n"
    yield "TLS to a plain port", bytes.fromhex("1603010200010001fc0303") + bytes(200)
    yield "HTTP/2 preface", b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n"
    yield "HTTP/0.9", b"GET /v2/\r\n\r\n"
    yield "HTTP/2.0 version", get("/v2/", version="HTTP/2.0")
    yield "version that is none", get("/v2/", version="HTTP/x")
    yield "no host", b"GET /v2/ HTTP/1.1\r\n\r\n"
    yield "two hosts", get("/v2/", "Host: other")
    yield "host with a path", b"GET /v2/ HTTP/1.1\r\nHost: a/b\r\n\r\n"
    yield "bare line feeds", b"GET /v2/ HTTP/1.1\nHost: a\n\n"
    yield "carriage return in a field", get("/v2/", "X: a\rb")
    yield "NUL in a field", get("/v2/", "X: a\0b")
    yield "NUL in a name", get("/v2/", "X\0: a")
    yield "NUL in the target", get("/v2/\0")
    yield "space before the colon", get("/v2/", "X : a")
    yield "folded field", get("/v2/", "X: a\r\n b")
    yield "field without a colon", get("/v2/", "X")
    yield "field without a name", get("/v2/", ": a")
    yield "control characters in a field", get("/v2/", "X: \x01\x1b[2J")
    yield "head of a megabyte", get("/v2/", "X: " + "a" * MIB)
    yield "target of a megabyte", get("/v2/" + "a" * MIB)
    yield "ten thousand fields", get("/v2/", *(f"X-{n}: a" for n in range(10_000)))
    yield "endless method", b"A" * 100_000
    yield "strange method", get("/v2/").replace(b"GET", b"BREW", 1)
    yield "absolute target of another scheme", get("gopher://registry/v2/")
    yield "CONNECT", get("registry:443").replace(b"GET", b"CONNECT", 1)
    yield "unknown expectation", sent("POST", upload, b"", "Expect: a miracle")
    yield "two lengths", sent("POST", upload, b"", "Content-Length: 5") + hidden
    yield "list of lengths", sent("POST", upload, hidden, length="0, 30")
    for length in ("-1", "+0", "0x10", "1e3", "1 1", "", "99999999999999999999999", "18446744073709551616", "\xb2"):
        yield f"length {length!r}", sent("POST", upload, hidden, length=length)
    yield "length and chunks", chunked(upload, b"0\r\n\r\n" + hidden, "Content-Length: 5")
    yield "chunks twice", chunked(upload, b"0\r\n\r\n" + hidden, "Transfer-Encoding: chunked")
    yield "chunks in HTTP/1.0", chunked(upload, b"0\r\n\r\n" + hidden).replace(b"HTTP/1.1", b"HTTP/1.0", 1)
    for coding in ("identity", "gzip, chunked", "chunked, gzip", "xchunked", "chunked;q=1", "\x0bchunked", "chunked,"):
        yield f"coding {coding!r}", chunked(upload, b"0\r\n\r\n" + hidden).replace(b": chunked", f": {coding}".encode(), 1)
    whole = f"{upload}?digest={DIGEST}"
    for size in ("-1", "0x5", "", "g", "+5", "5 ", " 5", "ffffffffffffffff", "fffffffffffffffff", "5;" + "a" * 100_000, "5\n"):
        yield f"chunk size {size[:20]!r}", chunked(whole, f"{size}\r\n".encode() + b"12345\r\n0\r\n\r\n" + hidden)
    yield "chunk longer than its size", chunked(whole, b"2\r\n12345\r\n0\r\n\r\n" + hidden)
    yield "chunk without its end", chunked(whole, b"5\r\n12345XX0\r\n\r\n" + hidden)
    yield "chunks cut off", chunked(whole, b"5\r\n123")
    yield "trailers without an end", chunked(whole, b"0\r\n" + b"X: a\r\n" * 100_000)
    yield "body cut off", sent("POST", whole, BLOB[:100], length=len(BLOB))


def paths():
    for path in (
        "/v2/../../etc/passwd/tags/list", "/v2/%2e%2e/%2e%2e/tags/list", "/v2/a%2f..%2f..%2fb/tags/list", "/v2/a%00b/tags/list",
        "/v2/%/tags/list", "/v2/%zz/tags/list", "/v2/%c0%ae/tags/list", "/v2/\xff/tags/list", "/v2/A/tags/list", "/v2//tags/list",
        "/v2/" + "a/" * 5000 + "tags/list", "/v2/" + "a" * 5000 + "/tags/list", "/v2/_history/tags/list", "/v2/a/_tags/tags/list",
        "/v2/a/manifests/..", "/v2/a/manifests/", "/v2/a/manifests/" + "a" * 129, "/v2/a/manifests/sha256:", "/v2/a/manifests/sha256:zz",
        "/v2/a/manifests/md5:d41d8cd98f00b204e9800998ecf8427e", "/v2/a/blobs/sha256:" + "A" * 64, "/v2/a/blobs/sha512:" + "a" * 64,
        "/v2/a/blobs/" + "sha256:" * 1000, "/v2/a/blobs/uploads/..%2f..%2fformat", "/v2/a/blobs/uploads/" + "a" * 10_000,
        "/v2/a/blobs/uploads/" + ID, "/v2/a/blobs/uploads/%00", "/v2/a/referrers/sha256:nope", "/v3/", "/token/../v2/", "*", "//", "/%",
        "/v2/good/tags/list?n=-1", "/v2/good/tags/list?n=x", "/v2/_catalog?n=-5", "/v2/_catalog?last=%ff",
        "/v2/good/_modelkeep/history?from=0", "/v2/good/_modelkeep/history?from=-1", "/v2/good/_modelkeep/history?from=%ff",
        "/v2/good/_modelkeep/", "/v2/good/_modelkeep/history/1", "/v2/_modelkeep/history/tags/list", "/v2/A/_modelkeep/history",
    ):  # fmt: skip
        yield f"path {path[:60]!r}", get(path)


def uploads():
    begin = "/v2/good/blobs/uploads/"
    for digest in ("sha256:", "sha256:" + "0" * 63, "sha256:" + "g" * 64, "md5:" + "0" * 32, "", "%00", "sha256:" + "0" * 10_000):
        yield f"digest {digest[:20]!r}", sent("POST", f"{begin}?digest={digest}", BLOB)
    yield "digest of other bytes", sent("POST", f"{begin}?digest=sha256:{'0' * 64}", BLOB)
    yield "algorithm that is none", sent("POST", f"{begin}?digest-algorithm=rot13")
    yield "upload of nobody", sent("PATCH", begin + ID, BLOB)
    yield "upload of nobody, finished", sent("PUT", f"{begin}{ID}?digest={DIGEST}", BLOB)
    yield "upload of nobody, cancelled", sent("DELETE", begin + ID)


def entries():
    path = "/v2/good/_modelkeep/history"
    for name, body in (
        ("nothing", b""), ("not JSON", b"\xff\xfe{"), ("a number", b"1e999999"), ("an empty object", b"{}"),
        ("brackets 60,000 deep", b"[" * 60_000 + b"]" * 60_000), ("objects 20,000 deep", b'{"a":' * 20_000 + b"1" + b"}" * 20_000),
        ("more than 256 KiB", b" " * (257 << 10) + b"{}"), ("a manifest", image(BLOB, [])),
        ("an envelope of nothing", b'{"mediaType":"application/vnd.dev.sigstore.bundle.v0.3+json","dsseEnvelope":{}}'),
    ):  # fmt: skip
        yield f"entry: {name}", sent("POST", path, body)
    yield "entry: cut off", sent("POST", path, b"{", length=1000)
    yield "entry: of no repository", sent("POST", "/v2/none/_modelkeep/history", b"{}")


def manifests():
    def deep(count, opening, closing):
        return opening * count + closing * count

    config = descriptor("application/vnd.oci.image.config.v1+json", BLOB)
    document = json.loads(image(BLOB, []))
    yield "manifest: nothing", manifest(b"")
    yield "manifest: not JSON", manifest(b"\xff\xfe{")
    yield "manifest: a number", manifest(b"1e999999")
    yield "manifest: brackets 100,000 deep", manifest(deep(100_000, b"[", b"]"))
    yield "manifest: objects 100,000 deep", manifest(b'{"a":' * 100_000 + b"1" + b"}" * 100_000)
    yield "manifest: 4 MiB of opening brackets", manifest(b"[" * (4 * MIB))
    yield "manifest: 4 MiB of brackets within annotations", manifest(b'{"schemaVersion":2,"annotations":' + b"[" * (4 * MIB - 64))
    yield "manifest: deep in an unknown field", manifest(json.dumps(document)[:-1].encode() + b', "x": ' + deep(50_000, b"[", b"]") + b"}")
    yield "manifest: more than 4 MiB", manifest(b" " * (4 * MIB + 1) + b"{}")
    yield "manifest: chunks without end", chunked("/v2/bad/manifests/1.0", b"100000\r\n" + b" " * MIB + b"\r\n", "Content-Type: a").replace(
        b"POST", b"PUT", 1) + (b"100000\r\n" + b" " * MIB + b"\r\n") * 5  # fmt: skip
    yield "manifest: the same key twice", manifest(b'{"schemaVersion":2,"schemaVersion":2,"config":' + json.dumps(config).encode() + b',"layers":[],"layers":[]}')
    yield "manifest: null everywhere", manifest(b'{"schemaVersion":null,"mediaType":null,"config":null,"layers":null}')
    yield "manifest: other media type", manifest(json.dumps(document).encode(), "application/vnd.oci.image.index.v1+json")
    yield "manifest: no media type", manifest(json.dumps(document).encode(), "text/html")
    yield "manifest: blobs that are not here", manifest(image(b"nowhere", [b"neither"]))
    for size in (-1, 1.5, 2**63, 2**64, 10**400, "1", None):
        layer = dict(config, size=size)
        yield f"manifest: size {str(size)[:24]}", manifest(json.dumps(dict(document, layers=[layer])).encode())
    for digest in ("", "sha256:", "../../x", "sha256:" + "\0" * 64, 5):
        layer = dict(config, digest=digest)
        yield f"manifest: digest {str(digest)[:20]!r}", manifest(json.dumps(dict(document, layers=[layer])).encode())
    yield "manifest: half a surrogate", manifest(b'{"schemaVersion":2,"mediaType":"\\ud800"}')
    yield "manifest: an index of itself by another digest", manifest(
        b'{"schemaVersion":2,"manifests":[{"mediaType":"a","size":1,"digest":"sha256:' + b"0" * 64 + b'"}]}',
        "application/vnd.oci.image.index.v1+json")  # fmt: skip
    tags = "&".join(f"tag=t{n}" for n in range(10_000))
    yield "manifest: 10,000 tags", manifest(image(BLOB, []), path=f"/v2/good/manifests/{digest_of(image(BLOB, []))}?{tags}")
    few = "&".join(f"tag=t{n}" for n in range(1_000))
    yield "manifest: 1,000 tags", manifest(image(BLOB, []), path=f"/v2/good/manifests/{digest_of(image(BLOB, []))}?{few}")
    yield "manifest: tag that is none", manifest(image(BLOB, []), path=f"/v2/good/manifests/{digest_of(image(BLOB, []))}?tag=../x")
    yield "manifest: 100,000 layers that are not here", manifest(
        json.dumps(dict(document, layers=[dict(config, digest=f"sha256:{n:064x}") for n in range(20_000)])).encode())  # fmt: skip


def harmless():
    """Strange, and yet to be answered with success or an error."""
    blob = f"/v2/good/blobs/{DIGEST}"
    for field in (
        "bytes=0-18446744073709551615", "bytes=18446744073709551616-", "bytes=-18446744073709551616", "bytes=500-0", "bytes=-0",
        "bytes=--1", "bytes=0-0,1-1," + "2-2," * 5000, "bytes=" + "9" * 10_000 + "-", "pages=1-2", "bytes", "bytes=a-b", "=", "",
    ):  # fmt: skip
        yield f"range {field[:40]!r}", get(blob, f"Range: {field}")
    for field in ("*", '"' + "a" * 10_000, 'W/"x"', ",,,,"):
        yield f"If-None-Match {field[:20]!r}", get("/v2/good/manifests/1.0", f"If-None-Match: {field}")
    yield "Accept of 10,000 types", get("/v2/good/manifests/1.0", "Accept: " + "a/b," * 5000)
    for query in ("n=99999999999999999999", "last=%00", "last=" + "a" * 10_000, "&&=&%3d", "n=0", "n=1&n=2"):
        yield f"query {query[:30]!r}", get(f"/v2/good/tags/list?{query}")
    yield "body with a GET", sent("GET", "/v2/", b"x" * 1000)
    yield "body with a DELETE", sent("DELETE", "/v2/good/manifests/none", b"x" * 1000)
    yield "mount of nonsense", sent("POST", f"/v2/good/blobs/uploads/?mount={DIGEST}&from=../..")
    yield "empty lines before the request", b"\r\n\r\n" + get("/v2/")
    yield "a thousand requests at once", get("/v2/") * 1000
    yield "absolute target", get("http://registry/v2/")


def tokens():
    """For a server with accounts: what is sent in place of credentials, and to the token endpoint."""
    for value in (
        "", "Basic", "Basic ", "Basic !!!!", "Basic " + base64.b64encode(b"nocolon").decode(), "Basic " + "QQ==" * 2000,
        "Basic " + base64.b64encode(b"ada:wrong").decode(), "Basic " + base64.b64encode(b"\0:\0").decode(), "Bearer", "Bearer ",
        "Bearer .", "Bearer mk1..", "Bearer mk1.e30.AAAA", "Bearer " + "a." * 5000, "Bearer mk1." + "A" * 10_000 + "." + "A" * 43,
        "Negotiate x", "\xff\xfe", "Digest username=ada",
    ):  # fmt: skip
        yield f"Authorization {value[:30]!r}", get("/v2/a/tags/list", f"Authorization: {value}")
        yield f"token for {value[:30]!r}", get("/token?service=modelkeep&scope=repository:a:pull", f"Authorization: {value}")
    for query in (
        "", "scope=", "scope=repository", "scope=repository:::", "scope=" + "repository:a:pull%20" * 1000, "scope=%ff", "scope=%00:%00:%00",
        "service=" + "a" * 5000, "account=%ff&offline_token=maybe", "scope=registry:catalog:*", "&".join(["scope=repository:a:pull"] * 1000),
    ):  # fmt: skip
        yield f"token query {query[:30]!r}", get(f"/token?{query}", "Authorization: Basic " + base64.b64encode(b"ada:x").decode())
    form = "Content-Type: application/x-www-form-urlencoded"
    for body in (
        b"", b"=&=&=", b"grant_type=password", b"grant_type=password&username=ada&password=wrong", b"grant_type=refresh_token&refresh_token=x",
        b"grant_type=" + b"a" * 100_000, b"%" * 1000, b"\0" * 1000, b"a=b&" * 50_000, b"grant_type=password&username=%ff&password=%00",
    ):  # fmt: skip
        yield f"token form {body[:40]!r}", sent("POST", "/token", body, form)
    yield "token form of another type", sent("POST", "/token", b"{}", "Content-Type: application/json")
    yield "token form without end", sent("POST", "/token", b"a" * 1000, form, length=10**12)


def exchange(server, data):
    """Sends bytes and their end, and gives all that is answered; `None` instead if the connection was reset."""
    with socket.create_connection((server.hostname, server.port), PATIENCE) as connection:
        answered = b""
        try:
            connection.setblocking(False)
            left, ended, until = memoryview(data), False, time.monotonic() + PATIENCE
            while True:
                check(time.monotonic() < until, f"no end after {PATIENCE} s: {answered[:300]!r}")
                readable, writable, _ = select.select([connection], [] if ended else [connection], [], 1)
                if writable:
                    left = left[connection.send(left[: 64 * 1024]) :] if left else left
                    if not left:
                        connection.shutdown(socket.SHUT_WR)
                        ended = True
                if readable:
                    part = connection.recv(64 * 1024)
                    if not part:
                        return answered
                    answered += part
        except OSError:  # reset, or ended before all was sent
            return answered or None


def answers(data):
    """Takes apart what a server sent: status, fields and body of each answer."""
    found = []
    while data:
        head, middle, rest = data.partition(b"\r\n\r\n")
        check(middle, f"half an answer: {data[:200]!r}")
        first, *lines = head.decode("latin-1").split("\r\n")
        check(first.startswith("HTTP/1.1 "), f"no answer: {first[:100]!r}")
        fields = {name.lower(): value for name, value in (line.split(": ", 1) for line in lines)}
        status = int(first.split()[1])
        length = 0 if status < 200 or status in (204, 304) else int(fields["content-length"])
        check(len(rest) >= length, f"an answer with {len(rest)} of {length} bytes: {head!r}")
        if status >= 200:
            found.append((status, fields, rest[:length]))
        data = rest[length:]
    return found


class Trials:
    def __init__(self, tally):
        self.tally = tally
        self.dir = scratch()
        self.store = Store(self.dir / "home")
        (self.dir / "open.toml").write_text(SETTINGS)
        (self.dir / "htpasswd").write_text(HTPASSWD)
        (self.dir / "accounts.toml").write_text(SETTINGS + ACCOUNTS.format(self.dir / "htpasswd"))
        self.open = Server(self.store, "--config", self.dir / "open.toml")
        self.accounts = Server(self.store, "--config", self.dir / "accounts.toml")
        self.servers = [self.open, self.accounts]
        client = self.open.client()
        client.push_blob("good", BLOB)
        check(client.put_manifest("good", "1.0", image(BLOB, [])).status == 201, "the good manifest was not taken")
        client.close()
        self.good(self.open)
        self.before = {server: self.state(server) for server in self.servers}
        self.files = self.names()

    def good(self, server):
        """What a client that does nothing wrong must be able to do at any time."""
        client = server.client()
        client.insist(200, "GET", "/v2/")
        check(client.insist(200, "GET", "/v2/good/manifests/1.0").body == image(BLOB, []), "another manifest")
        check(client.insist(200, "GET", f"/v2/good/blobs/{DIGEST}").body == BLOB, "another blob")
        client.close()

    def state(self, server):
        return {"descriptors": server.descriptors(), "threads": server.status("Threads")}

    def names(self):
        """The tags, manifests and entries of the store. Blobs and uploads anybody may bring: a collection takes them."""
        repositories = (self.store.home / "v1" / "repos").rglob("*")
        return {str(path) for path in repositories if path.parent.name in ("_tags", "_manifests", "_history", "_subject")}

    def refused(self, server, data):
        said = exchange(server, data)
        if not said:
            self.tally.add("requests that ended their connection")
            return
        found = answers(said)
        statuses = [status for status, _, _ in found]
        check(len(found) == 1, f"{len(found)} answers: {statuses}")
        self.specified(*found[0])

    def specified(self, status, fields, body):
        check(status in CLIENTS_FAULT, f"status {status}: {body[:300]!r}")
        code = None
        if body[:1] == b"{":
            error = json.loads(body)
            code = error["errors"][0]["code"] if "errors" in error else error["error"].upper()
        check(code, f"{status} without an error of the specification: {fields} {body[:300]!r}")
        self.tally.add("requests that were answered with an error")

    def answered(self, server, data):
        """Anything that is an answer, but no fault of the server."""
        for status, fields, body in answers(exchange(server, data) or b""):
            check(status < 500, f"status {status}: {body[:300]!r}")
        self.tally.add("strange requests that were answered")

    def check_names(self):
        check(self.names() == self.files, f"new: {sorted(self.names() - self.files)[:20]}")

    # Slow and silent clients.

    def connections(self, stack, count, server):
        return [stack.enter_context(socket.create_connection((server.hostname, server.port), PATIENCE)) for _ in range(count)]

    def dripping(self, data, seconds, name):
        """Clients that send a byte now and then lose their connections, and a good client is served meanwhile."""
        server = self.open
        with ExitStack() as stack:
            slow = self.connections(stack, CONNECTIONS - 4, server)
            began = time.monotonic()
            for connection in slow:
                connection.sendall(data)
            alive, served = set(slow), 0
            while alive:
                passed = time.monotonic() - began
                check(passed < 3 * seconds + 15, f"{len(alive)} connections are still open after {passed:.0f} s")
                ended, _, _ = select.select(list(alive), [], [], 0.25)
                for connection in ended:
                    try:
                        said = connection.recv(64 * 1024)
                    except ConnectionError:
                        said = b""
                    check(said == b"" or said.startswith((b"HTTP/1.1 408", b"HTTP/1.1 4", b"HTTP/1.1 503")), f"{said[:200]!r}")
                    alive.discard(connection)
                for connection in alive:
                    try:
                        connection.send(b"x")
                    except (ConnectionError, BlockingIOError):
                        pass  # its end is seen above
                self.good(server)
                served += 1
            self.tally.add(f"times a good client was served beside {name}", served)
            self.tally.add(f"seconds until the last of {name} was cut off", round(time.monotonic() - began))

    def silent(self):
        """Connections that never say a word, one more than there may be, and a good client."""
        with ExitStack() as stack:
            self.connections(stack, CONNECTIONS + 8, self.open)
            self.good(self.open)
            self.tally.add("times a good client was served beside as many silent ones as there may be connections")

    def full(self):
        """As many half heads as there may be connections: others are told to come back, and then are served."""
        with ExitStack() as stack:
            for connection in self.connections(stack, CONNECTIONS, self.open):
                connection.sendall(b"GET /v2/ HTTP/1.1\r\nX: ")
            until = time.monotonic() + HEAD_SECONDS + 10
            while True:
                client = self.open.client()
                try:
                    answer = client.ask("GET", "/v2/")
                finally:
                    client.close()
                if answer.status == 200:
                    break
                check(answer.status == 503 and answer.fields["Retry-After"], f"a full server says {answer}")
                self.tally.add("times a good client was told to come back")
                time.sleep(int(answer.fields["Retry-After"]))
                check(time.monotonic() < until, "the half heads keep the server full")

    def uploads_beside_slow_ones(self):
        """Uploads that hardly move, more than a server takes at once: a good one waits for no longer than they may."""
        head = sent("POST", f"/v2/slow/blobs/uploads/?digest={DIGEST}", b"", length=10**9)
        with ExitStack() as stack:
            for connection in self.connections(stack, 40, self.open):
                connection.sendall(head + bytes(100))
            began = time.monotonic()
            client = self.open.client()
            client.push_blob("good", b"pushed beside slow ones")
            took = time.monotonic() - began
            client.close()
            check(took < BODY_SECONDS + 5, f"a good upload of 23 bytes took {took:.1f} s")

    def unread(self):
        """Clients that ask for a blob and never read it."""
        data = bytes(range(256)) * 65536  # 16 MiB: more than the sockets hold
        client = self.open.client()
        digest = client.push_blob("good", data)
        check(client.put_manifest("good", "big", image(BLOB, [data])).status == 201, "the large image was not taken")
        client.close()
        self.files = self.names()
        with ExitStack() as stack:
            for connection in self.connections(stack, CONNECTIONS - 4, self.open):
                connection.sendall(get(f"/v2/good/blobs/{digest}"))
            self.until(lambda: self.open.descriptors() <= self.before[self.open]["descriptors"] + 4, "unread answers are given up")
            self.good(self.open)

    def large_manifests(self):
        """Manifests that need far more memory than bytes, eight at once."""
        config = descriptor("application/vnd.oci.image.config.v1+json", BLOB)
        subject = descriptor(MANIFEST, b"{}")
        bodies = []
        for number in range(8):
            document = {"schemaVersion": 2, "mediaType": MANIFEST, "config": config, "layers": []}
            document["annotations"] = {f"{number}{key:x}": "" for key in range(330_000)}
            document["subject"] = subject
            bodies.append(json.dumps(document, separators=(",", ":")).encode())
        with ThreadPoolExecutor(len(bodies)) as pool:
            said = list(pool.map(self.pushed_large, bodies))
            check(set(said) <= {201, 503}, f"large manifests were told {said}")
            self.tally.add("large manifests that were taken", said.count(201))
            listed = list(pool.map(self.listed_referrers, [subject["digest"]] * len(bodies)))
            check(set(listed) <= {200, 503}, f"lists of large manifests were told {listed}")
            self.tally.add("lists of large manifests that were given", listed.count(200))
        peak = self.open.status("VmHWM") * 1024
        self.tally.add("MiB of memory at most, after the large manifests", peak // MIB)
        check(peak <= MOST_MEMORY_PARSING, f"large manifests needed {peak} bytes")

    def listed_referrers(self, subject):
        client = self.open.client()
        try:
            return client.ask("GET", f"/v2/good/referrers/{subject}").status
        finally:
            client.close()

    def pushed_large(self, body):
        client = self.open.client()
        try:
            return client.put_manifest("good", digest_of(body), body).status
        finally:
            client.close()

    def until(self, holds, what):
        deadline = time.monotonic() + 60
        while not holds():
            check(time.monotonic() < deadline, f"not within a minute: {what}")
            time.sleep(0.1)  # the kernel tells nobody when another process closes its files

    def back_to_normal(self):
        # What a server keeps of memory that it freed is not lost, but the most that it ever had counts.
        for server in self.servers:
            before = self.before[server]
            self.good(self.open)
            self.until(lambda: server.descriptors() <= before["descriptors"], "the descriptors are those of before")
            self.until(lambda: server.status("Threads") <= before["threads"], "the threads are those of before")
            peak = server.status("VmHWM") * 1024
            self.tally.add("MiB of memory at most, of both servers", peak // MIB)
            check(peak <= MOST_MEMORY, f"it needed {peak} bytes")
            server.check_log()
        self.store.run("scrub")

    def end(self):
        for server in self.servers:
            server.stop()


def main():
    asked = arguments(__doc__, turns=3)
    binary()
    tally = Tally("Malformed requests and slow clients", asked.write)
    trials = Trials(tally)
    try:
        for turn in range(asked.turns):
            for kind in (framing, paths, uploads, manifests, entries):
                for name, data in kind():
                    tally.trial(f"turn {turn}: {kind.__name__}: {name}", trials.refused, trials.open, data)
        for name, data in tokens():
            tally.trial(f"tokens: {name}", trials.answered, trials.accounts, data)
        for name, data in harmless():
            tally.trial(f"harmless: {name}", trials.answered, trials.open, data)
        tally.trial("nothing of it has a name in the store", trials.check_names)
        tally.trial("slow heads", trials.dripping, b"GET /v2/ HTTP/1.1\r\nX: ", HEAD_SECONDS, "slow heads")
        body = sent("PUT", "/v2/good/manifests/slow", b"", "Content-Type: a", length=1000)
        tally.trial("slow bodies", trials.dripping, body, BODY_SECONDS, "slow bodies")
        tally.trial("silent connections", trials.silent)
        tally.trial("a full server", trials.full)
        tally.trial("an upload beside slow ones", trials.uploads_beside_slow_ones)
        tally.trial("answers that nobody reads", trials.unread)
        tally.trial("back to normal", trials.back_to_normal)
        tally.trial("large manifests at once", trials.large_manifests)
        tally.trial("the servers end as they are asked to", trials.end)
    finally:
        for server in trials.servers:
            server.kill()
        remove(trials.dir)
    tally.end()


if __name__ == "__main__":
    main()
