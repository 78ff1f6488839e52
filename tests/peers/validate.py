"""Validates JSON documents on standard input, a line each: `COMMAND DOCUMENT`. Runs in the tests' environment."""

import json
import sys
from pathlib import Path

import fastjsonschema

SCHEMA = json.loads((Path(__file__).resolve().parents[2] / "docs/reference/json.schema.json").read_text())

for line in sys.stdin:
    command, document = line.split(" ", 1)
    root = {**SCHEMA, "$ref": f"#/definitions/{command}"}
    fastjsonschema.compile(root)(json.loads(document))
    print("valid", command)
