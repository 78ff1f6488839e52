"""AWS's own clients on `modelkeep serve`, and the service model that they carry as the judge of every answer."""

import json
import os
import re
import subprocess
import sys

from kept import ROOT, Unexpected, run
from registry import Served

# Before what else this machine has of them.
sys.path[:0] = [str(path) for path in (ROOT / "target" / "venv").glob("lib/python3*/site-packages")]

import boto3
import botocore.session
import botocore.validate
from botocore import UNSIGNED
from botocore.config import Config
from botocore.exceptions import ClientError

AWS = ROOT / "target" / "venv" / "bin" / "aws"
DEADLINE = 120  # seconds that one command of the AWS CLI may take
KEY, SECRET = "AKIDMODELKEEP", "wJalr/XUtnFEMI+K7MDENG"
READER, READERS_SECRET = "AKIDREADER", "another secret"
ACCOUNT = "000000000000"

# What private ECR says of a repository, and ECR Public does not; and that this registry keeps to it.
EXTRA = {
    ("Registry", "imageTagMutability"),
    ("Repository", "imageTagMutability"),
    ("Repository", "imageTagMutabilityExclusionFilters"),
}

# What AWS's services may answer to any call, beside the errors of the operation.
COMMON = {
    "AccessDeniedException",
    "IncompleteSignatureException",
    "InvalidSignatureException",
    "MissingAuthenticationTokenException",
    "SerializationException",
    "UnknownOperationException",
    "UnrecognizedClientException",
}

MODEL = botocore.session.get_session().get_service_model("ecr-public")


def flaws(shape, value, path):
    """Where a value as it came is not what the service model says: members, types, lengths, patterns, words."""
    kind = shape.type_name
    if kind == "structure":
        if not isinstance(value, dict):
            return [f"{path} is no object"]
        found = [f"{path} has no {name}" for name in shape.required_members if name not in value]
        for name, member in value.items():
            if name in shape.members:
                found += flaws(shape.members[name], member, f"{path}.{name}")
            elif (shape.name, name) not in EXTRA:
                found.append(f"{path} has {name}, which {shape.name} has not")
        return found
    if kind == "list":
        if not isinstance(value, list):
            return [f"{path} is no list"]
        found = bounds(shape, len(value), path)
        return found + [flaw for at, item in enumerate(value) for flaw in flaws(shape.member, item, f"{path}[{at}]")]
    types = {"string": str, "boolean": bool, "integer": int, "long": int, "timestamp": (int, float)}
    if not isinstance(value, types[kind]) or (kind != "boolean" and isinstance(value, bool)):
        return [f"{path} is {value!r}, and no {kind}"]
    if kind in ("integer", "long"):
        return bounds(shape, value, path)
    if kind != "string":
        return []
    found = bounds(shape, len(value), path)
    pattern, words = shape.metadata.get("pattern"), shape.metadata.get("enum")
    if pattern and not re.fullmatch(pattern, value):
        found.append(f"{path} is {value!r}, and must match {pattern}")
    if words and value not in words:
        found.append(f"{path} is {value!r}, and must be one of {words}")
    return found


def bounds(shape, number, path):
    least, most = shape.metadata.get("min"), shape.metadata.get("max")
    if (least is not None and number < least) or (most is not None and number > most):
        return [f"{path} has {number}, and must have {least} to {most}"]
    return []


class Seen:
    """Every answer to a client is judged here, and what was seen of each operation is kept."""

    def __init__(self):
        self.outcomes = {name: set() for name in MODEL.operation_names}

    def watch(self, client):
        client.meta.events.register("after-call.ecr-public", self.judge)
        return client

    def judge(self, http_response, parsed, model, **_):
        raw = json.loads(http_response.content)
        kind = http_response.headers["Content-Type"]
        found = [] if kind == "application/x-amz-json-1.1" else [f"Content-Type is {kind}"]
        if not parsed["ResponseMetadata"].get("RequestId"):
            found.append("there is no id of the request")
        if http_response.status_code == 200:
            outcome = "success"
            found += flaws(model.output_shape, raw, model.output_shape.name)
            values = {name: value for name, value in parsed.items() if name != "ResponseMetadata"}
            report = botocore.validate.ParamValidator().validate(values, model.output_shape)
            found += [report.generate_report()] if report.has_errors() else []
        else:
            outcome = raw.pop("__type")
            shapes = {shape.name: shape for shape in model.error_shapes}
            if outcome in shapes:
                found += flaws(shapes[outcome], raw, outcome)
            elif outcome not in COMMON:
                found.append(f"{model.name} has no error {outcome}")
            expected = 500 if outcome == "ServerException" else 400
            if http_response.status_code != expected:
                found.append(f"{outcome} came with {http_response.status_code}")
            if not raw.get("message"):
                found.append(f"{outcome} has no message")
        self.outcomes[model.name].add(outcome)
        if found:
            raise Unexpected(f"{model.name}: " + "; ".join(found) + f"\n{http_response.content[:2000]!r}")


def client(server, seen=None, key=KEY, secret=SECRET, region="us-east-1", checked=True):
    """boto3's client. Without `checked` it sends what it knows to be wrong."""
    made = boto3.client(
        "ecr-public", endpoint_url=server.url, region_name=region, aws_access_key_id=key, aws_secret_access_key=secret,
        config=Config(parameter_validation=checked, retries={"total_max_attempts": 1}),
    )  # fmt: skip
    return seen.watch(made) if seen else made


class WithAws(Served):
    """Tests that run AWS's clients on a server with two keys: ada's may do all, and another may pull."""

    def keyed(self, *words, settings="", **options):
        path = self.dir / "keys.toml"
        path.write_text(f"""
            [access]
            {settings}
            [[access.aws_key]]
            id = "{KEY}"
            secret = "{SECRET}"
            account = "ada"
            [[access.aws_key]]
            id = "{READER}"
            secret = "{READERS_SECRET}"
            [[access.rule]]
            who = "ada"
            actions = ["pull", "push", "delete", "catalog"]
            [[access.rule]]
            who = "*"
            actions = ["pull"]
        """)
        return self.serve("--config", path, *words, **options)

    def environment(self, server, key=KEY, secret=SECRET, region="us-east-1"):
        return {
            "PATH": os.environ["PATH"],
            "HOME": str(self.dir),
            "AWS_ACCESS_KEY_ID": key,
            "AWS_SECRET_ACCESS_KEY": secret,
            "AWS_DEFAULT_REGION": region,
            "AWS_ENDPOINT_URL_ECR_PUBLIC": server.url,
            "AWS_EC2_METADATA_DISABLED": "true",
        }

    def aws(self, server, *words, expect=0, **options):
        """Runs `aws ecr-public`; its answer, or what it says of an error."""
        done = run(
            [AWS, "ecr-public", *words], expect=expect, env=self.environment(server, **options), timeout=DEADLINE,
            cwd=self.dir,
        )  # fmt: skip
        if expect != 0:
            return done.stderr
        return json.loads(done.stdout) if done.stdout.strip() else {}

    def refused(self, code, call, **parameters):
        """Fails unless the call is refused with this error; the error's answer."""
        try:
            call(**parameters)
        except ClientError as error:
            self.assertEqual(error.response["Error"]["Code"], code, error)
            return error.response
        self.fail(f"{call} was not refused with {code}")


def pipe(producer, consumer, environment, consumer_environment):
    """Runs `producer | consumer` and insists that both succeed; what the second one says."""
    first = subprocess.Popen(
        [str(word) for word in producer], stdin=subprocess.DEVNULL, stdout=subprocess.PIPE, env=environment
    )
    second = subprocess.run(
        [str(word) for word in consumer], stdin=first.stdout, capture_output=True, text=True, env=consumer_environment,
        timeout=DEADLINE,
    )  # fmt: skip
    first.stdout.close()
    if first.wait(DEADLINE) or second.returncode:
        raise Unexpected(f"{first.returncode} | {second.returncode}\n{second.stdout}\n{second.stderr}")
    return second.stdout
