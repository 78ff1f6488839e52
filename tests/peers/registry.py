"""The test cases that run clients on `modelkeep serve` build on these."""

import hashlib
import json

from base import PeerTest
from engines import Containers
from kept import run
from servers import Server
from trust import write_accounts

# docker takes every address of 127.0.0.0/8 for one whose certificate need not be checked. This one is
# reserved for documentation, and lies on the loopback interface while a test needs it.
OUTSIDE = "198.51.100.7"


def sha256(data):
    return "sha256:" + hashlib.sha256(data).hexdigest()


class Served(PeerTest):
    def serve(self, *words, store=None, **options):
        server = Server(store or self.store, *words, **options)
        self.addCleanup(server.stop)
        return server

    def access(self, name="serve.toml", **settings):
        """A settings file with two accounts: ada may do all, bob may pull."""
        accounts = self.dir / "htpasswd"
        if not accounts.exists():
            write_accounts(accounts, ada="ada's password", bob="bob's password")
        lines = ["[access]", f"htpasswd = {json.dumps(str(accounts))}"]
        lines += [f"{key} = {json.dumps(value)}" for key, value in settings.items()]
        lines += ["[[access.rule]]", 'who = "ada"', 'actions = ["pull", "push", "delete", "catalog"]']
        lines += ["[[access.rule]]", 'who = "bob"', 'actions = ["pull"]']
        path = self.dir / name
        path.write_text("\n".join(lines) + "\n")
        return path

    def versions(self, name):
        return self.store.json("versions", name)["versions"]

    def outside(self):
        run(["ip", "address", "replace", f"{OUTSIDE}/32", "dev", "lo"])
        self.addCleanup(run, ["ip", "address", "del", f"{OUTSIDE}/32", "dev", "lo"])
        return OUTSIDE


class WithContainers(Served):
    def setUp(self):
        super().setUp()
        self.containers = Containers(self.dir / "containers")
        self.addCleanup(self.containers.close)

    def inspect(self, server, name):
        return json.loads(self.containers.skopeo("inspect", "--tls-verify=false", f"docker://{server.host}/{name}"))

    def raw(self, server, name):
        return self.containers.skopeo("inspect", "--tls-verify=false", "--raw", f"docker://{server.host}/{name}")

    def copy_in(self, server, source, name, *options, expect=0):
        target = f"docker://{server.host}/{name}"
        return self.containers.skopeo("copy", "--dest-tls-verify=false", *options, source, target, expect=expect)
