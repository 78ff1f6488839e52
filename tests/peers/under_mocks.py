"""Runs a Pulumi program under Pulumi's own mocks: `under_mocks.py PROGRAM`, one JSON document about what it made.

No engine and no provider: what a program registers goes to the mocks, and its outputs come from them.
"""

import json
import runpy
import sys

import pulumi

made, exported = [], {}


class Mocks(pulumi.runtime.Mocks):
    def new_resource(self, args):
        made.append({"type": args.typ, "name": args.name, "inputs": args.inputs})
        outputs = {"repositoryUri": f"public.ecr.aws/alias/{args.inputs['repositoryName']}"}
        return f"{args.name}-id", {**args.inputs, **outputs}

    def call(self, args):
        raise AssertionError(f"the program calls {args.token}")


pulumi.runtime.set_mocks(Mocks())
outputs = {}
# Without an engine there is no stack that would take them.
pulumi.export = outputs.__setitem__


@pulumi.runtime.test
def run():
    runpy.run_path(sys.argv[1])
    return pulumi.Output.all(**outputs).apply(exported.update)


run()
json.dump({"made": made, "exported": exported}, sys.stdout)
