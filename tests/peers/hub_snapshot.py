"""A cache of the Hugging Face Hub as its own client makes it: `hub_snapshot.py MODEL CACHE` downloads the files of a
directory as the model `org/tiny` from a server of its own, and prints where the snapshot lies."""

import hashlib
import json
import sys
import threading
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from urllib.parse import unquote, urlsplit

from huggingface_hub import snapshot_download

NAME, REVISION = "org/tiny", "c9745ed1d9f207416be6d2e6f8de32d1f16199bf"


def listing(model):
    for path in sorted(path for path in model.rglob("*") if path.is_file()):
        data = path.read_bytes()
        yield path.relative_to(model).as_posix(), len(data), hashlib.sha256(data).hexdigest()


def handler(model):
    files = {name: (size, digest) for name, size, digest in listing(model)}
    tree = [
        {"type": "file", "path": name, "size": size, "oid": digest[:40],
         "lfs": {"oid": digest, "size": size, "pointerSize": 134}}
        for name, (size, digest) in files.items()
    ]  # fmt: skip
    described = {
        "_id": "1", "id": NAME, "modelId": NAME, "sha": REVISION, "private": False, "gated": False, "disabled": False,
        "downloads": 0, "likes": 0, "tags": [], "siblings": [{"rfilename": name} for name in files],
    }  # fmt: skip

    class Hub(BaseHTTPRequestHandler):
        def do_HEAD(self):
            self.do_GET()

        def do_GET(self):
            path = unquote(urlsplit(self.path).path)
            if path.startswith(f"/api/models/{NAME}/tree/"):
                return self.answer(json.dumps(tree).encode())
            if path.startswith(f"/api/models/{NAME}"):
                return self.answer(json.dumps(described).encode())
            name = path.removeprefix(f"/{NAME}/resolve/").partition("/")[2]
            if name not in files:
                return self.answer(b"", 404)
            return self.answer((model / name).read_bytes(), headers={"ETag": f'"{files[name][1]}"'})

        def answer(self, body, status=200, headers=None):
            self.send_response(status)
            for key, value in {"X-Repo-Commit": REVISION, "Content-Length": len(body), **(headers or {})}.items():
                self.send_header(key, str(value))
            self.end_headers()
            if self.command == "GET":
                self.wfile.write(body)

        def log_message(self, *words):
            pass

    return Hub


def main():
    model, cache = (Path(word) for word in sys.argv[1:])
    server = ThreadingHTTPServer(("127.0.0.1", 0), handler(model))
    threading.Thread(target=server.serve_forever, daemon=True).start()
    endpoint = f"http://127.0.0.1:{server.server_port}"
    print(snapshot_download(NAME, cache_dir=cache, endpoint=endpoint, token=False))


if __name__ == "__main__":
    main()
