"""Versions as KitOps, Docker Model Runner and Ollama write them, made here and pushed by plain HTTP: these tools cannot be
installed where the tests run.

Python's standard library only.
"""

import gzip
import hashlib
import http.client
import io
import json
import tarfile
from urllib.parse import urlsplit

OCI_MANIFEST = "application/vnd.oci.image.manifest.v1+json"
DOCKER_MANIFEST = "application/vnd.docker.distribution.manifest.v2+json"
FILE_PATH = "org.cncf.model.filepath"


def digest_of(data):
    return "sha256:" + hashlib.sha256(data).hexdigest()


class Registry:
    """One repository of a registry on this machine, without accounts."""

    def __init__(self, host, name):
        self.host, self.name = host, name

    def request(self, method, path, body=None, kind="application/octet-stream"):
        connection = http.client.HTTPConnection(self.host, timeout=60)
        try:
            connection.request(method, path, body=body, headers={"Content-Type": kind})
            answer = connection.getresponse()
            answer.read()
            return answer
        finally:
            connection.close()

    def blob(self, media_type, data, **more):
        begun = self.request("POST", f"/v2/{self.name}/blobs/uploads/", b"")
        assert begun.status == 202, begun.status
        place = urlsplit(begun.getheader("Location"))
        query = f"{place.query}&" if place.query else ""
        done = self.request("PUT", f"{place.path}?{query}digest={digest_of(data)}", data)
        assert done.status == 201, done.status
        return {"mediaType": media_type, "size": len(data), "digest": digest_of(data), **more}

    def manifest(self, tag, document, kind=OCI_MANIFEST):
        done = self.request("PUT", f"/v2/{self.name}/manifests/{tag}", json.dumps(document).encode(), kind)
        assert done.status == 201, done.status


def archive(model, elements):
    """A layer as KitOps makes it: the directories above an element, then what is in it; owner 1000:0, time 0."""
    out = io.BytesIO()
    with tarfile.open(fileobj=out, mode="w", format=tarfile.GNU_FORMAT) as tar:
        names = []
        for element in elements:
            path = model / element
            above = [parent.as_posix() for parent in reversed(path.relative_to(model).parents) if parent.as_posix() != "."]
            below = sorted(path.rglob("*")) if path.is_dir() else []
            names += above + [inner.relative_to(model).as_posix() for inner in [path, *below]]
        for name in dict.fromkeys(names):
            info = tar.gettarinfo(model / name, name)
            info.uid, info.gid, info.uname, info.gname, info.mtime = 1000, 0, "", "", 0
            with open(model / name, "rb") if info.isfile() else io.BytesIO() as data:
                tar.addfile(info, data)
    return out.getvalue()


def push_modelkit(registry, tag, model, elements, compressed):
    """A ModelKit: a layer for each element, which is a kind and the paths in it."""
    suffix, layers, kitfile = "tar+gzip" if compressed else "tar", [], {
        "manifestVersion": "1.0.0",
        "package": {"name": "digits", "version": tag, "license": "Apache-2.0", "authors": ["Ada"]},
    }
    for kind, paths in elements:
        plain = archive(model, paths)
        data = gzip.compress(plain, mtime=0) if compressed else plain
        layers.append(registry.blob(f"application/vnd.kitops.modelkit.{kind}.v1.{suffix}", data))
        place = {"path": paths[0], "digest": digest_of(data), "diffId": digest_of(plain)}
        if kind == "model":
            kitfile["model"] = {"name": "digits", "framework": "sklearn", **place}
        else:
            kitfile.setdefault(kind, []).append(place)
    config = registry.blob("application/vnd.kitops.modelkit.config.v1+json", json.dumps(kitfile).encode())
    # Its older versions name no media type in the manifest.
    document = {"schemaVersion": 2, "config": config, "layers": layers, "annotations": {"ml.kitops.modelkit.cli-version": "1.8.0"}}
    registry.manifest(tag, document)


def push_docker_model(registry, tag, files, version):
    """A model of Docker Model Runner: (kind, data, path) each; what has no path has the name that the runner gives."""
    layers = []
    for kind, data, path in files:
        annotations = {"annotations": {FILE_PATH: path}} if path else {}
        layers.append(registry.blob(f"application/vnd.docker.ai.{kind}", data, **annotations))
    config = {
        "config": {"format": "gguf", "quantization": "F32", "parameters": "16", "architecture": "llama", "size": "1 KB"},
        "descriptor": {"created": "2026-01-01T00:00:00Z"},
        "rootfs": {"type": "rootfs", "diff_ids": [layer["digest"] for layer in layers]},
    }
    kind = f"application/vnd.docker.ai.model.config.{version}+json"
    config = registry.blob(kind, json.dumps(config).encode())
    registry.manifest(tag, {"schemaVersion": 2, "mediaType": OCI_MANIFEST, "config": config, "layers": layers})


def push_ollama(registry, tag, files):
    """A model of Ollama: (kind, data, name) each; only tensors and their JSON have names."""
    layers = [
        registry.blob(f"application/vnd.ollama.image.{kind}", data, **({"name": name} if name else {}))
        for kind, data, name in files
    ]
    config = {
        "model_format": "gguf", "model_family": "llama", "model_families": ["llama"], "model_type": "8.0B", "file_type": "F32",
        "architecture": "amd64", "os": "linux", "rootfs": {"type": "layers", "diff_ids": [layer["digest"] for layer in layers]},
    }  # fmt: skip
    config = registry.blob("application/vnd.docker.container.image.v1+json", json.dumps(config).encode())
    document = {"schemaVersion": 2, "mediaType": DOCKER_MANIFEST, "config": config, "layers": layers}
    registry.manifest(tag, document, DOCKER_MANIFEST)
