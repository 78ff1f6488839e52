"""A repository of private ECR, declared and kept, on moto."""

import json
import os
import re
import subprocess
import threading

from base import PeerTest
from kept import VENV_PYTHON, ended_within

EXIT_USAGE, EXIT_AUTHENTICATION, EXIT_PENDING, EXIT_POLICY = 2, 3, 6, 7
REGION = "eu-central-1"
NAME = "team/digits"

POLICY = {
    "Version": "2012-10-17",
    "Statement": [
        {
            "Sid": "pull",
            "Effect": "Allow",
            "Principal": {"AWS": "arn:aws:iam::123456789012:root"},
            "Action": ["ecr:BatchGetImage", "ecr:GetDownloadUrlForLayer"],
        }
    ],
}

# Calls of boto3, one JSON line each way: what changes the world behind our back.
CLIENT = """
import boto3, json, sys
client = boto3.client("ecr", endpoint_url=sys.argv[1], region_name=sys.argv[2])
for line in sys.stdin:
    operation, words = json.loads(line)
    answer = getattr(client, operation)(**words)
    answer.pop("ResponseMetadata")
    print(json.dumps(answer, default=str), flush=True)
"""


class Moto:
    """moto's server on a free port, and boto3 on it."""

    def __init__(self):
        self.log, self.ready, self.url = [], threading.Event(), None
        environment = {"PATH": os.environ["PATH"], "AWS_ACCESS_KEY_ID": "boto", "AWS_SECRET_ACCESS_KEY": "boto"}
        self.process = subprocess.Popen(
            [VENV_PYTHON, "-m", "moto.server", "-H", "127.0.0.1", "-p", "0"],
            stdin=subprocess.DEVNULL, stdout=subprocess.DEVNULL, stderr=subprocess.PIPE, text=True, env=environment,
        )  # fmt: skip
        self.reader = threading.Thread(target=self.read, daemon=True)
        self.reader.start()
        if not self.ready.wait(60) or self.url is None:
            self.stop()
            raise AssertionError("moto did not start:\n" + "".join(self.log[-30:]))
        self.boto = subprocess.Popen(
            [VENV_PYTHON, "-c", CLIENT, self.url, REGION],
            stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True, env=environment,
        )  # fmt: skip

    def read(self):
        for line in self.process.stderr:
            self.log.append(line)
            found = re.search(r"Running on (http://127\.0\.0\.1:\d+)", line)
            if found:
                self.url = found.group(1)
                self.ready.set()
        self.ready.set()  # it ended

    def call(self, operation, **words):
        self.boto.stdin.write(json.dumps([operation, words]) + "\n")
        self.boto.stdin.flush()
        return json.loads(self.boto.stdout.readline())

    def stop(self):
        if hasattr(self, "boto"):
            self.boto.stdin.close()
            self.boto.wait()
            self.boto.stdout.close()
        self.process.terminate()
        if not ended_within(self.process, 30):
            self.process.kill()
        self.process.wait()
        self.reader.join()
        self.process.stderr.close()


class PrivateEcr(PeerTest):
    @classmethod
    def setUpClass(cls):
        cls.moto = Moto()

    @classmethod
    def tearDownClass(cls):
        cls.moto.stop()

    def tearDown(self):
        for found in self.moto.call("describe_repositories")["repositories"]:
            self.moto.call("delete_repository", repositoryName=found["repositoryName"], force=True)

    def declare(self, *lines):
        text = ["[repository]", f'name = "{NAME}"', 'registry = "ecr"', *lines]
        (self.dir / "modelkeep.toml").write_text("\n".join(text) + "\n")

    def environment(self, **changes):
        settings = {
            "AWS_ENDPOINT_URL_ECR": self.moto.url,
            "AWS_REGION": REGION,
            "AWS_ACCESS_KEY_ID": "key",
            "AWS_SECRET_ACCESS_KEY": "hunter2",
            "AWS_EC2_METADATA_DISABLED": "true",
            **changes,
        }
        return {name: value for name, value in settings.items() if value is not None}

    def modelkeep(self, *words, expect=0, **changes):
        done = self.store.run(*words, expect=expect, env=self.environment(**changes))
        self.assertNotIn("hunter2", done.stdout + done.stderr)
        return done

    def output(self):
        return json.loads(self.modelkeep("output", "--json").stdout)

    def described(self):
        return self.moto.call("describe_repositories", repositoryNames=[NAME])["repositories"][0]

    def resource_tags(self):
        tags = self.moto.call("list_tags_for_resource", resourceArn=self.described()["repositoryArn"])["tags"]
        return {tag["Key"]: tag["Value"] for tag in tags}

    def push_image(self):
        manifest = {
            "schemaVersion": 2,
            "mediaType": "application/vnd.oci.image.manifest.v1+json",
            "config": {"mediaType": "application/vnd.oci.image.config.v1+json", "size": 2, "digest": "sha256:" + "a" * 64},
            "layers": [],
        }
        self.moto.call("put_image", repositoryName=NAME, imageManifest=json.dumps(manifest), imageTag="1.0")

    def test_a_repository_is_made_as_it_is_declared(self):
        (self.dir / "policy.json").write_text(json.dumps(POLICY))
        self.declare('aliases = ["production", "latest"]', 'policy = "policy.json"', 'require_enforcement = "registry"',
                     'resource_tags = { team = "vision", empty = "" }')  # fmt: skip
        pending = self.modelkeep("preview", "--expect-no-changes", expect=EXIT_PENDING)
        self.assertIn(f"+ create {NAME}", pending.stdout)
        self.assertIn("enforced by: registry", pending.stdout)
        self.assertEqual(self.moto.call("describe_repositories")["repositories"], [])
        self.modelkeep("up", "--yes")
        found = self.described()
        self.assertEqual(found["imageTagMutability"], "IMMUTABLE_WITH_EXCLUSION")
        filters = found["imageTagMutabilityExclusionFilters"]
        self.assertEqual(sorted(one["filter"] for one in filters), ["latest", "production"])
        self.assertEqual({one["filterType"] for one in filters}, {"WILDCARD"})
        tags = self.resource_tags()
        self.assertEqual((tags["team"], tags["empty"]), ("vision", ""))
        text = self.moto.call("get_repository_policy", repositoryName=NAME)["policyText"]
        self.assertEqual(json.loads(text), POLICY)
        self.modelkeep("preview", "--expect-no-changes")
        self.modelkeep("up", "--yes")

    def test_each_output_is_what_ecr_says(self):
        self.declare()
        self.modelkeep("up", "--yes")
        found = self.described()
        for name, value in [
            ("repository_uri", found["repositoryUri"]),
            ("arn", found["repositoryArn"]),
            ("registry_id", found["registryId"]),
            ("enforcement", "registry"),
        ]:
            self.assertEqual(self.modelkeep("output", name).stdout, value + "\n")
        self.assertTrue(found["repositoryUri"].endswith(f".dkr.ecr.{REGION}.amazonaws.com/{NAME}"))

    def test_drift_is_shown_and_repaired(self):
        self.declare('aliases = ["production"]', 'resource_tags = { team = "vision" }')
        self.modelkeep("up", "--yes")
        found = self.described()
        self.moto.call("put_image_tag_mutability", repositoryName=NAME, imageTagMutability="MUTABLE")
        arn = found["repositoryArn"]
        self.moto.call("tag_resource", resourceArn=arn, tags=[{"Key": "team", "Value": "audio"}])
        self.moto.call("set_repository_policy", repositoryName=NAME, policyText=json.dumps(POLICY))
        pending = self.modelkeep("preview", "--expect-no-changes", expect=EXIT_PENDING).stdout
        self.assertIn("image_tag_mutability: MUTABLE -> IMMUTABLE_WITH_EXCLUSION", pending)
        self.assertIn("resource_tags.team: audio -> vision", pending)
        self.modelkeep("up", "--yes")
        self.modelkeep("preview", "--expect-no-changes")
        self.assertEqual(self.described()["imageTagMutability"], "IMMUTABLE_WITH_EXCLUSION")
        self.assertEqual(self.resource_tags()["team"], "vision")

    def test_other_mutability_and_fewer_aliases_are_an_update(self):
        self.declare('aliases = ["production", "latest"]')
        self.modelkeep("up", "--yes")
        self.declare('aliases = ["latest"]')
        self.modelkeep("up", "--yes")
        filters = self.described()["imageTagMutabilityExclusionFilters"]
        self.assertEqual([one["filter"] for one in filters], ["latest"])
        self.declare()
        self.modelkeep("up", "--yes")
        self.assertEqual(self.described()["imageTagMutability"], "IMMUTABLE")
        self.modelkeep("preview", "--expect-no-changes")

    def test_images_are_destroyed_only_when_that_is_said(self):
        self.declare()
        self.modelkeep("up", "--yes")
        self.push_image()
        self.modelkeep("destroy", "--yes", expect=EXIT_POLICY)
        self.described()
        self.modelkeep("destroy", "--yes", "--force")
        self.assertEqual(self.moto.call("describe_repositories")["repositories"], [])
        self.modelkeep("destroy", "--yes")

    def test_what_somebody_else_made_is_taken_over_when_that_is_said(self):
        self.moto.call("create_repository", repositoryName=NAME, imageTagMutability="IMMUTABLE")
        self.declare()
        refused = self.modelkeep("up", "--yes", expect=1)
        self.assertIn("modelkeep adopt", refused.stderr)
        self.assertEqual(self.resource_tags(), {})
        self.modelkeep("adopt", "--yes")
        self.modelkeep("preview", "--expect-no-changes")

    def test_what_is_missing_is_said(self):
        self.declare()
        nobody = self.modelkeep("preview", expect=EXIT_AUTHENTICATION, AWS_ACCESS_KEY_ID=None, AWS_SECRET_ACCESS_KEY=None)
        self.assertIn("AWS_PROFILE", nobody.stderr)
        nowhere = self.modelkeep("preview", expect=1, AWS_ENDPOINT_URL_ECR="http://127.0.0.1:9")
        self.assertIn("hint:", nowhere.stderr)
        unknown = self.modelkeep("preview", expect=None, AWS_REGION=None)
        self.assertIn("AWS_REGION", unknown.stderr)
        self.declare("aliases = [" + ", ".join(f'"a{number}"' for number in range(6)) + "]")
        limit = self.modelkeep("preview", expect=EXIT_USAGE, AWS_ENDPOINT_URL_ECR="http://127.0.0.1:9")
        self.assertIn("ECR takes 5", limit.stderr)
