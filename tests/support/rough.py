"""A registry seen over a rough way: requests come late, in another order, and lists are old.

Python's standard library only.
"""

import http.client
import random
import re
import threading
import time
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

HOP_BY_HOP = {"connection", "keep-alive", "transfer-encoding", "te", "trailer", "upgrade", "proxy-connection"}
TAGS = re.compile(r"/v2/.+/tags/list(\?|$)")
MANIFESTS = re.compile(r"/v2/.+/manifests/")


class Rough(ThreadingHTTPServer):
    """Carries requests to a registry on `port`, each after a seeded delay, and its answers after another.

    `delay` is the most that each way takes, in seconds. With `stale`, a list of tags is as old as that
    at times: it was taken by somebody who asked before.
    """

    daemon_threads = True
    request_queue_size = 128

    def __init__(self, port, seed, delay, stale=0.0):
        super().__init__(("127.0.0.1", 0), Handler)
        self.to, self.random, self.delay, self.stale = port, random.Random(seed), delay, stale
        self.host = f"127.0.0.1:{self.server_address[1]}"
        self.lists = {}  # by path, the answers to lists, oldest first, each with its time
        self.kept_back = 0  # lists that were older than they had to be
        self.lock = threading.Lock()
        self.thread = threading.Thread(target=self.serve_forever, daemon=True)
        self.thread.start()

    def wait(self):
        with self.lock:
            seconds = self.random.uniform(0, self.delay)
        time.sleep(seconds)

    def old(self, path):
        """An answer of before, when that is what comes."""
        with self.lock:
            if self.random.random() < 0.5:
                return None
            since = time.monotonic() - self.stale
            for moment, answer in self.lists.get(path, []):
                if moment >= since:
                    self.kept_back += 1
                    return answer
        return None

    def remember(self, path, answer):
        with self.lock:
            now = time.monotonic()
            kept = self.lists.setdefault(path, [])
            kept.append((now, answer))
            while kept[0][0] < now - self.stale:
                kept.pop(0)

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
        # What the protocol consists of comes late; blobs only make a test long.
        is_list = bool(self.command == "GET" and TAGS.match(self.path))
        is_rough = is_list or MANIFESTS.match(self.path)
        if is_rough:
            self.server.wait()
        answer = self.server.old(self.path) if is_list and self.server.stale else None
        if answer is None:
            answer = self.ask(body)
            if is_list and self.server.stale and answer[0] == 200:
                self.server.remember(self.path, answer)
        if is_rough:
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
