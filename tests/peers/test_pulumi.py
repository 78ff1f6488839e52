"""The program that tutorials show: what Pulumi says of it, and its counterpart by boto3 on `modelkeep serve`."""

import json

from aws import WithAws
from kept import EXIT_EXISTS, ROOT, VENV_PYTHON, run

EXAMPLE = ROOT / "examples" / "ml-model-repo"
NAME = "ml-model-repo"


class Tutorial(WithAws):
    def under_mocks(self, program, expect=0):
        return run([VENV_PYTHON, ROOT / "tests" / "peers" / "under_mocks.py", program], expect=expect)

    def test_pulumi_makes_the_repository_without_the_argument_that_ecr_public_lacks(self):
        told = json.loads(self.under_mocks(EXAMPLE / "pulumi" / "__main__.py").stdout)
        kind = "aws:ecrpublic/repository:Repository"
        self.assertEqual(told["made"], [{"type": kind, "name": "mlModelRepo", "inputs": {"repositoryName": NAME}}])
        self.assertEqual(told["exported"], {"repository_uri": f"public.ecr.aws/alias/{NAME}"})

    def test_pulumi_makes_nothing_with_it(self):
        program = (EXAMPLE / "pulumi" / "__main__.py").read_text()
        changed = program.replace(f'="{NAME}")', f'="{NAME}", image_tag_mutability="IMMUTABLE")')
        self.assertNotEqual(changed, program)
        path = self.dir / "__main__.py"
        path.write_text(changed)
        said = self.under_mocks(path, expect=1).stderr
        self.assertIn("TypeError", said)
        self.assertIn("unexpected keyword argument 'image_tag_mutability'", said)

    def test_its_counterpart_makes_an_immutable_repository_on_serve(self):
        server = self.serve()
        program = [VENV_PYTHON, EXAMPLE / "boto3" / "create.py"]
        environment = self.environment(server, key="any", secret="any")
        uri = f"{server.host}/{NAME}"
        for _ in range(2):  # the second time it is there
            self.assertEqual(run(program, env=environment).stdout, f"repository_uri: {uri}\n")
        self.assertEqual([one["version"] for one in self.versions(NAME)], [])
        self.store.run("push", self.small_model("one", seed=1), f"{uri}:1.0")
        refused = self.store.run("push", self.small_model("two", seed=2), f"{uri}:1.0", expect=EXIT_EXISTS)
        self.assertIn("1.0", refused.stderr)
