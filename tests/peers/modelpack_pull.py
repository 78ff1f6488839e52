"""What the ModelPack client pulls: `modelpack_pull.py REFERENCE DIRECTORY` prints config and manifest as JSON.

The config must be what the published schema says.
"""

import json
import sys

import jsonschema
from modelpack_client import ModelPackClient
from modelpack_client.schema import CONFIG_SCHEMA


def main():
    reference, directory = sys.argv[1:]
    pulled = ModelPackClient(insecure=True).pull(reference, directory)
    checker = jsonschema.Draft202012Validator.FORMAT_CHECKER
    jsonschema.Draft202012Validator(CONFIG_SCHEMA, format_checker=checker).validate(pulled.config)
    print(json.dumps({"config": pulled.config, "manifest": pulled.manifest}))


if __name__ == "__main__":
    main()
