"""The declared repository: the recipe of docs/guide/provision.md, and drift that other clients make."""

import json
import os
import pty
import re
import select
import shutil
import subprocess

from aws import DEADLINE, READER, READERS_SECRET, WithAws, client
from base import DIGITS
from engines import Dockerd
from kept import BINARY, EXIT_EXISTS, EXIT_FAILED, ROOT, VENV_PYTHON, Unexpected, run

import yaml  # the AWS CLI brings it

EXIT_USAGE, EXIT_PENDING, EXIT_POLICY = 2, 6, 7
NAME = "ml-model-repo"
GUIDE = ROOT / "docs" / "guide"


class Declared(WithAws):
    def declare(self, *lines, registry="embedded"):
        (self.dir / "modelkeep.toml").write_text("\n".join([
            "[repository]", f'name = "{NAME}"', f'registry = "{registry}"', *lines, ""
        ]))  # fmt: skip

    def path(self, **more):
        """An environment in which a shell finds the binary by its name, and docker the engine of the test."""
        names = self.dir / "bin"
        if not names.exists():
            names.mkdir()
            (names / "modelkeep").symlink_to(BINARY)
        environment = self.store.environment({"TMPDIR": str(self.dir), **more})
        environment["PATH"] = f"{names}:{os.environ['PATH']}"
        docker = getattr(self, "docker", None)
        if docker:
            environment["DOCKER_HOST"] = docker.host
        return environment

    def shell(self, text, expect=0, **more):
        return run(["sh", "-c", text], expect=expect, env=self.path(**more), cwd=self.dir)

    def expect(self, text, *words, expect=0, **options):
        done = self.store.run(*words, expect=expect, **options)
        self.assertIn(text, done.stdout + done.stderr)
        return done


def blocks(page, language):
    """The code of a page in one language."""
    return re.findall(rf"^```{language}\n(.*?)^```$", page.read_text(), re.MULTILINE | re.DOTALL)


class Recipe(Declared):
    """up, repository_uri, push, docker pull, an overwrite that is refused, versions, destroy."""

    @classmethod
    def setUpClass(cls):
        cls.docker = Dockerd()
        cls.addClassCleanup(cls.docker.stop)

    def pulled(self, reference):
        self.docker("pull", reference)
        out = self.docker.copy_out(reference, "/models", self.dir / re.sub(r"\W", "-", reference))
        self.docker("image", "rm", "--force", reference)
        return out

    def recipe(self, uri, host="", env=None):
        """From a repository that is not there to one that is not there; `host` is where docker finds the store."""
        enforced = "enforced by: registry"
        self.expect("+ create ml-model-repo", "preview", env=env)
        self.assertEqual(self.store.run("preview", "--expect-no-changes", expect=EXIT_PENDING, env=env).stdout.count("+ create"), 1)
        self.expect(enforced, "up", "--yes", env=env)
        self.expect("= same", "preview", "--expect-no-changes", env=env)
        self.assertEqual(self.store.run("output", "repository_uri", env=env).stdout.strip(), uri)
        digests = {
            version: self.store.json("push", DIGITS / f"model-{version}", version, env=env)["digest"]
            for version in ("1.0", "1.1")
        }
        for version, digest in digests.items():
            for reference in (f"{host}{uri}:{version}", f"{host}{uri}@{digest}"):
                run(["diff", "-r", DIGITS / f"model-{version}", self.pulled(reference)])
        self.expect(digests["1.0"], "push", DIGITS / "model-1.1", "1.0", expect=EXIT_EXISTS, env=env)
        listed = self.store.json("versions", env=env)["versions"]
        self.assertEqual({entry["version"]: entry["digest"] for entry in listed}, digests)
        output = self.store.json("output", env=env)
        pinned = {entry["name"]: entry["reference"] for entry in output["versions"]}
        self.assertEqual(pinned, {version: f"{uri}@{digest}" for version, digest in digests.items()})
        self.assertEqual(output["enforcement"], "registry")
        self.expect("--force", "destroy", "--yes", expect=EXIT_POLICY, env=env)
        self.expect("- delete ml-model-repo", "destroy", "--yes", "--force", env=env)
        self.expect("is not in", "output", expect=EXIT_FAILED, env=env)
        self.docker.refuses("pull", f"{host}{uri}:1.0")
        # What was immutable can come back, and nothing else can take its name.
        self.store.run("up", "--yes", env=env)
        self.store.run("push", DIGITS / "model-1.1", "1.0", expect=EXIT_EXISTS, env=env)
        self.assertEqual(self.store.json("push", DIGITS / "model-1.0", "1.0", env=env)["digest"], digests["1.0"])

    def test_on_the_embedded_default(self):
        self.declare('aliases = ["latest"]', 'catalog = { description = "reads digits" }')
        server = self.serve()
        self.recipe(NAME, host=f"{server.host}/")
        self.store.run("verify", "--all")

    def test_on_a_server_through_the_ecr_public_api(self):
        there = self.another_store("there")
        server = self.serve(store=there)
        self.declare('require_enforcement = "registry"', 'aliases = ["latest"]', registry="ecr-public")
        self.recipe(f"{server.host}/{NAME}", env=self.environment(server))
        there.run("verify", "--all")


    def test_the_recipe_of_the_guide_is_what_happens(self):
        declared, commands = blocks(GUIDE / "provision.md", "toml")[0], blocks(GUIDE / "provision.md", "sh")[0]
        (self.dir / "modelkeep.toml").write_text(declared)
        for version in ("model-1.0", "model-1.1"):
            shutil.copytree(DIGITS / version, self.dir / version)
        served = "modelkeep serve --listen 127.0.0.1:5000 &\n"
        self.assertIn(served, commands)
        # The test's own, on a free port, and known to listen.
        commands = commands.replace(served, "").replace("127.0.0.1:5000", self.serve().host)
        lines = []
        for line in commands.splitlines():
            command, _, comment = line.partition(" #")
            refused = re.search(r"exit (\d+)", comment)
            self.assertEqual(line.startswith("! "), bool(refused), line)
            code = refused.group(1) if refused else "0"
            if command.strip():
                command = command.removeprefix("! ").strip()
                lines.append(f"{command}; code=$?; [ $code -eq {code} ] || {{ echo \"$code: {line!r}\" >&2; exit 99; }}")
        done = self.shell("\n".join(lines))
        self.assertIn("\nml-model-repo\n", done.stdout)
        self.assertIn("the repository holds", done.stderr.replace("ml-model-repo ", ""))


class Pipeline(Declared):
    """docs/guide/ci.md"""

    def setUp(self):
        super().setUp()
        (self.dir / "modelkeep-ci.sh").write_text(blocks(GUIDE / "ci.md", "sh")[0])
        self.declare()
        shutil.copytree(DIGITS / "model-1.0", self.dir / "model")

    def test_the_script_checks_and_publishes_and_may_run_twice(self):
        self.assertIn("the next publication changes the repository", self.shell("sh ./modelkeep-ci.sh check").stdout)
        published = self.shell("sh ./modelkeep-ci.sh publish 1.0").stdout
        self.assertRegex(published.splitlines()[-1], f"^{NAME}@sha256:[0-9a-f]{{64}}$")
        self.assertEqual(self.shell("sh ./modelkeep-ci.sh publish 1.0").stdout.splitlines()[-1], published.splitlines()[-1])
        self.assertIn("is what modelkeep.toml declares", self.shell("sh ./modelkeep-ci.sh check").stdout)
        (self.dir / "model" / "more.txt").write_text("more\n")
        self.assertIn("tag another version", self.shell("sh ./modelkeep-ci.sh publish 1.0", expect=EXIT_EXISTS).stdout)
        self.shell("sh ./modelkeep-ci.sh publish 1.1")
        self.declare('require_enforcement = "registry"', registry="ecr-public")
        self.assertIn("does not enforce", self.shell("sh ./modelkeep-ci.sh check", expect=EXIT_POLICY).stdout)
        self.shell("sh ./modelkeep-ci.sh publish 1.2", expect=EXIT_POLICY)

    def test_the_script_signs_with_the_key_that_the_secret_store_gives(self):
        self.store.run("keys", "new", self.dir / "ci.pem", "--no-passphrase")
        secret = (self.dir / "ci.pem").read_text()
        (self.dir / "ci.pem").unlink()
        self.shell("sh ./modelkeep-ci.sh publish 1.0", MODELKEEP_SIGNING_KEY=secret)
        (self.dir / "model" / "more.txt").write_text("more\n")
        self.shell("sh ./modelkeep-ci.sh publish 1.1", expect=3)
        self.shell("sh ./modelkeep-ci.sh publish 1.1", MODELKEEP_SIGNING_KEY=secret)
        self.assertTrue(all(event["signed_by"] for event in self.store.json("log")["events"]))

    def test_one_publisher_waits_for_the_other(self):
        self.shell("modelkeep up --yes")
        versions = [f"1.{number}" for number in range(6)]
        running = [
            subprocess.Popen(["sh", "./modelkeep-ci.sh", "publish", version], cwd=self.dir, env=self.path(), stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
            for version in versions
        ]  # fmt: skip
        self.assertEqual([process.wait(DEADLINE) for process in running], [0] * len(versions))
        self.assertEqual({entry["version"] for entry in self.store.json("versions")["versions"]}, set(versions))

    def test_the_workflows_run_the_script(self):
        github, gitlab = (yaml.safe_load(block) for block in blocks(GUIDE / "ci.md", "yaml"))
        jobs = github["jobs"]
        self.assertEqual(github["permissions"]["id-token"], "write")
        self.assertIs(jobs["publish"]["concurrency"]["cancel-in-progress"], False)
        self.assertTrue(gitlab["publish"]["resource_group"])
        commands = [step["run"] for job in jobs.values() for step in job["steps"] if "run" in step]
        commands += [line for job in ("check", "publish") for line in gitlab[job]["script"]]
        self.assertEqual(len(commands), 4)
        for command in commands:
            self.shell(command, GITHUB_REF_NAME="v1.0", CI_COMMIT_TAG="v1.0")
        token = gitlab["default"]["before_script"]
        said = self.shell("\n".join([*token, 'cat "$AWS_WEB_IDENTITY_TOKEN_FILE"']), CI_BUILDS_DIR=str(self.dir), AWS_TOKEN="t0ken")
        self.assertEqual(said.stdout, "t0ken")


class Example(Declared):
    def test_what_boto3_made_is_declared_from_then_on(self):
        example = ROOT / "examples" / "ml-model-repo"
        server = self.serve(store=self.another_store("there"))
        env = self.environment(server)
        text = (example / "modelkeep.toml").read_text()
        self.assertEqual(len(text.splitlines()), 9)
        self.assertIn(text, (example / "README.md").read_text())
        shutil.copy(example / "modelkeep.toml", self.dir)
        made = run([VENV_PYTHON, example / "boto3" / "create.py"], env=env)
        self.assertIn(f"repository_uri: {server.host}/{NAME}", made.stdout)
        self.expect("modelkeep adopt", "up", "--yes", expect=EXIT_FAILED, env=env)
        self.store.run("adopt", "--yes", env=env)
        self.expect("~ update catalog.description", "preview", env=env)
        self.store.run("up", "--yes", env=env)
        self.expect("= same", "preview", "--expect-no-changes", env=env)


class Drift(Declared):
    def test_what_the_aws_cli_changes_is_shown_and_repaired(self):
        server = self.serve(store=self.another_store("there"))
        env = self.environment(server)
        (self.dir / "policy.json").write_text(json.dumps({"Version": "2012-10-17", "Statement": []}, indent=2))
        (self.dir / "logo.png").write_bytes(b"\x89PNG a picture")
        self.declare(
            'resource_tags = { team = "vision" }', 'policy = "policy.json"', "[repository.catalog]",
            'description = "reads digits"', 'architectures = ["x86-64"]', 'logo = "logo.png"', registry="ecr-public",
        )  # fmt: skip
        self.store.run("up", "--yes", env=env)
        self.expect("= same", "preview", "--expect-no-changes", env=env)
        here = ("--repository-name", NAME)
        arn = self.store.run("output", "arn", env=env).stdout.strip()
        for words, line in [
            (("tag-resource", "--resource-arn", arn, "--tags", "Key=team,Value=audio"), "~ update resource_tags.team: audio -> vision"),
            (("tag-resource", "--resource-arn", arn, "--tags", "Key=more,Value=1"), "~ update resource_tags.more: 1 -> (none)"),
            (("untag-resource", "--resource-arn", arn, "--tag-keys", "team"), "~ update resource_tags.team: (none) -> vision"),
            (("put-repository-catalog-data", *here, "--catalog-data", "description=other"), "~ update catalog.description: other -> reads digits"),
            (("delete-repository-policy", *here), "~ update policy: (none) -> "),
            (("delete-repository", *here), "+ create ml-model-repo"),
        ]:  # fmt: skip
            self.aws(server, *words)
            shown = self.store.run("preview", "--expect-no-changes", expect=EXIT_PENDING, env=env).stdout
            self.assertIn(line, shown)
            self.store.run("up", "--yes", env=env)
            self.expect("= same", "preview", "--expect-no-changes", env=env)

    def test_a_repository_that_boto3_made_is_taken_over_only_when_that_is_said(self):
        server = self.serve(store=self.another_store("there"))
        env = self.environment(server)
        client(server).create_repository(repositoryName=NAME)
        self.declare(registry="ecr-public")
        self.expect("modelkeep adopt", "up", "--yes", expect=EXIT_FAILED, env=env)
        self.store.run("adopt", "--yes", env=env)
        self.expect("= same", "preview", "--expect-no-changes", env=env)


class Refused(Declared):
    def test_each_error_of_a_registry_says_what_to_do(self):
        server = self.keyed(store=self.another_store("there"))
        self.declare(registry="ecr-public")
        for options, code, text, hint in [
            ({"secret": "wrong"}, 3, "does not accept the credentials", "AWS_SECRET_ACCESS_KEY"),
            ({"key": "AKIDNOBODY"}, 3, "does not accept the credentials", "aws sts get-caller-identity"),
        ]:
            env = self.environment(server, **options)
            done = self.store.run("preview", expect=code, env=env)
            self.assertIn(text, done.stderr)
            self.assertIn(hint, done.stderr)
        done = self.store.run("up", "--yes", expect=3, env=self.environment(server, key=READER, secret=READERS_SECRET))
        self.assertIn("ecr-public:CreateRepository is not allowed", done.stderr)
        self.assertIn("modelkeep policy", done.stderr)
        # Whatever region is set, the service is in one.
        self.expect("+ create", "preview", env=self.environment(server, region="eu-central-1"))
        server.stop()
        done = self.store.run("preview", expect=EXIT_FAILED, env=self.environment(server))
        self.assertIn("cannot be reached", done.stderr)
        self.assertIn("--endpoint-url", done.stderr)


class Terminal(Declared):
    """Somebody is asked, and answers."""

    def typed(self, answer, *words):
        """Runs a command at a terminal and types; its exit code and what was on the screen."""
        ours, theirs = pty.openpty()
        process = subprocess.Popen(
            [str(word) for word in (BINARY, *words)], stdin=theirs, stdout=theirs, stderr=theirs,
            env=self.store.environment(), cwd=self.dir,
        )  # fmt: skip
        os.close(theirs)
        screen, asked = b"", False
        while True:
            ready, _, _ = select.select([ours], [], [], DEADLINE)
            if not ready:
                process.kill()
                raise Unexpected(f"nothing came after {screen!r}")
            try:
                piece = os.read(ours, 4096)
            except OSError:  # the other side is closed
                break
            if not piece:
                break
            screen += piece
            if not asked and screen.rstrip().endswith(b"]"):
                asked = True
                os.write(ours, answer.encode() + b"\n")
        os.close(ours)
        return process.wait(DEADLINE), screen.decode()

    def test_nothing_is_done_without_a_yes_and_nothing_deleted_without_the_name(self):
        self.declare()
        code, screen = self.typed("n", "up")
        self.assertEqual(code, EXIT_USAGE, screen)
        self.assertIn("nothing was changed", screen)
        self.expect("+ create", "preview")
        code, screen = self.typed("y", "up")
        self.assertEqual(code, 0, screen)
        self.assertIn("Make these changes? [y/N]", screen)
        code, screen = self.typed("yes", "destroy")
        self.assertEqual(code, EXIT_USAGE, screen)
        self.expect("= same", "preview")
        code, screen = self.typed(NAME, "destroy")
        self.assertEqual(code, 0, screen)
        self.expect("+ create", "preview")
