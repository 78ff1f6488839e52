"""Pushes with the ModelPack client: `modelpack_push.py REFERENCE CONFIG PATH=MEDIA_TYPE...`; PATH is a file or a directory
below the current one, under that name in the artifact. Prints the manifest as JSON."""

import json
import sys

from modelpack_client import ModelLayer, ModelPackClient


def main():
    reference, config, *words = sys.argv[1:]
    layers = []
    for word in words:
        path, media_type = word.split("=")
        layers.append(ModelLayer(path=path, media_type=f"application/vnd.cncf.model.{media_type}", artifact_path=path))
    pushed = ModelPackClient(insecure=True).push(reference, layers, json.loads(config))
    print(json.dumps(pushed.manifest))


if __name__ == "__main__":
    main()
