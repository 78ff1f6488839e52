"""A registry seen over a rough way: requests come late, in another order, and lists are old.

Python's standard library only.
"""

import http.client
import json
import random
import re
import threading
import time
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

HOP_BY_HOP = {"connection", "keep-alive", "transfer-encoding", "te", "trailer", "upgrade", "proxy-connection"}
TAGS = re.compile(r"/v2/(.+)/tags/list(\?|$)")
MANIFESTS = re.compile(r"/v2/(.+)/manifests/([^?]+)")


class Written:
    """When each tag was written, and through which of several ways to one registry."""

    def __init__(self):
        self.first = {}
        self.lock = threading.Lock()

    def add(self, name, tag, way):
        with self.lock:
            self.first.setdefault((name, tag), (time.monotonic(), way))

    def hides(self, name, tag, way, stale):
        """Whether a list that is so old, and was asked for over `way`, lacks the tag."""
        with self.lock:
            moment, writer = self.first.get((name, tag), (0, way))
        return writer is not way and moment > time.monotonic() - stale


class Rough(ThreadingHTTPServer):
    """Carries requests to a registry on `port`, each after a seeded delay, and its answers after another.

    `delay` is the most that each way takes, in seconds. With `stale`, every other list of tags lacks what was
    written over other ways than this one so many seconds ago or later, as that of a replica would.
    """

    daemon_threads = True
    request_queue_size = 128

    def __init__(self, port, seed, delay, stale=0.0, written=None, lists=True):
        super().__init__(("127.0.0.1", 0), Handler)
        self.lists = lists  # whether it lets anybody list tags
        self.asked = []  # method and path of each request
        self.to, self.random, self.delay, self.stale = port, random.Random(seed), delay, stale
        self.written = written or Written()
        self.host = f"127.0.0.1:{self.server_address[1]}"
        self.old_lists = 0  # lists that lacked something
        self.lock = threading.Lock()
        self.thread = threading.Thread(target=self.serve_forever, daemon=True)
        self.thread.start()

    def wait(self):
        with self.lock:
            seconds = self.random.uniform(0, self.delay)
        time.sleep(seconds)

    def aged(self, name, answer):
        """The answer to a list, as it may have been before."""
        status, fields, content = answer
        with self.lock:
            is_old = self.random.random() < 0.5
        if status != 200 or not is_old:
            return answer
        listed = json.loads(content)
        tags = listed["tags"] or []
        listed["tags"] = [tag for tag in tags if not self.written.hides(name, tag, self, self.stale)]
        with self.lock:
            self.old_lists += len(listed["tags"]) < len(tags)
        fields = [(field, value) for field, value in fields if field.lower() != "content-length"]
        return status, fields, json.dumps(listed).encode()

    def handle_error(self, request, client_address):
        pass  # a client that has gone

    def close(self):
        self.shutdown()
        self.server_close()


class Handler(BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"
    disable_nagle_algorithm = True

    def setup(self):
        super().setup()
        self.far = http.client.HTTPConnection("127.0.0.1", self.server.to, timeout=60)

    def finish(self):
        self.far.close()
        super().finish()

    def carry(self):
        body = self.rfile.read(int(self.headers.get("Content-Length") or 0))
        self.server.asked.append((self.command, self.path))
        # What the protocol consists of comes late; blobs only make a test long.
        lists, manifest = TAGS.match(self.path), MANIFESTS.match(self.path)
        if lists or manifest:
            self.server.wait()
        if lists and not self.server.lists:
            answer = 403, [], b'{"errors":[{"code":"DENIED","message":"nobody lists tags here"}]}'
        else:
            answer = self.ask(body)
        if lists and self.server.stale:
            answer = self.server.aged(lists[1], answer)
        if manifest and self.command == "PUT" and answer[0] == 201:
            self.server.written.add(*manifest.groups(), self.server)
        if lists or manifest:
            self.server.wait()
        status, headers, content = answer
        self.send_response_only(status)
        for name, value in headers:
            self.send_header(name, value)
        if self.command != "HEAD" and not any(name.lower() == "content-length" for name, _ in headers):
            self.send_header("Content-Length", str(len(content)))
        self.end_headers()
        self.wfile.write(content)

    def ask(self, body):
        headers = {name: value for name, value in self.headers.items() if name.lower() not in HOP_BY_HOP}
        # The registry names its addresses after the host that it is asked for: they lead through here again.
        self.far.request(self.command, self.path, body, headers)
        response = self.far.getresponse()
        content = response.read()
        fields = [(name, value) for name, value in response.getheaders() if name.lower() not in HOP_BY_HOP]
        return response.status, fields, content

    do_GET = do_HEAD = do_PUT = do_POST = do_PATCH = do_DELETE = carry

    def log_message(self, *_):
        pass
