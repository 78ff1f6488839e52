"""`modelkeep serve` without a client: uploads that go on, the examples, what is refused."""

import base64
import json
import os
import re
import shutil

from kept import BINARY, MIB, ROOT, Store, run
from registry import Served, sha256
from trust import Authority, write_accounts


class Uploads(Served):
    def test_an_upload_goes_on_where_it_was_after_the_server_is_killed(self):
        size = 24 * MIB
        data = os.urandom(size)
        server = self.serve()
        status, headers, _ = server.request("POST", "/v2/team/raw/blobs/uploads/", headers={"Content-Length": "0"})
        self.assertEqual(status, 202)
        kept = 5 * MIB + 17
        chunk = {"Content-Type": "application/octet-stream", "Content-Range": f"0-{kept - 1}"}
        status, headers, _ = server.request("PATCH", headers["Location"], data[:kept], chunk)
        self.assertEqual((status, headers["Range"]), (202, f"0-{kept - 1}"))
        location = headers["Location"]

        # The next request sends its body in chunks of unknown number, and the server dies in the middle.
        # More than both sockets hold has gone: some of it was taken.
        connection = server.connection()
        self.addCleanup(connection.close)
        connection.putrequest("PATCH", location)
        connection.putheader("Content-Type", "application/octet-stream")
        connection.putheader("Transfer-Encoding", "chunked")
        connection.endheaders()
        sent = kept
        while sent < size - 2 * MIB:
            piece = data[sent : sent + MIB]
            connection.send(b"%x\r\n%s\r\n" % (len(piece), piece))
            sent += len(piece)
        server.kill()

        server = self.serve()
        status, headers, _ = server.request("GET", location)
        self.assertEqual(status, 204)
        start, end = map(int, headers["Range"].split("-"))
        self.assertEqual(start, 0)
        self.assertGreaterEqual(end + 1, kept, "what was acknowledged is there")
        self.assertLessEqual(end + 1, sent)
        location = headers["Location"]
        rest = {"Content-Type": "application/octet-stream", "Content-Range": f"{end + 1}-{size - 1}"}
        status, headers, _ = server.request("PATCH", location, data[end + 1 :], rest)
        self.assertEqual((status, headers["Range"]), (202, f"0-{size - 1}"))
        location = headers["Location"]
        digest = sha256(data)
        location += ("&" if "?" in location else "?") + f"digest={digest}"
        status, headers, _ = server.request("PUT", location, headers={"Content-Length": "0"})
        self.assertEqual((status, headers["Docker-Content-Digest"]), (201, digest))
        status, _, found = server.request("GET", f"/v2/team/raw/blobs/{digest}")
        self.assertEqual((status, sha256(found)), (200, digest))


class Examples(Served):
    def test_the_command_of_the_systemd_unit_starts_with_the_sample_settings(self):
        place = self.dir / "etc"
        authority = Authority(place)
        for made, name in zip(authority.certify("127.0.0.1"), ("tls.crt", "tls.key"), strict=True):
            made.rename(place / name)
        write_accounts(place / "htpasswd", ada="ada's password", ci="ci's password")
        examples = ROOT / "examples" / "registry"
        shutil.copy(examples / "serve.toml", place)
        unit = (examples / "modelkeep.service").read_text()
        command = re.search(r"^ExecStart=/usr/local/bin/modelkeep serve (.*)$", unit, re.MULTILINE).group(1)
        command = command.replace("/var/lib/modelkeep", str(self.store.home)).replace("/etc/modelkeep", str(place))
        server = self.serve(*command.split())
        basic = base64.b64encode(b"ada:ada's password").decode()
        for headers, status in (({}, 401), ({"Authorization": f"Basic {basic}"}, 200)):
            answer = server.request("GET", "/v2/_catalog", headers=headers, authority=authority.certificate)
            self.assertEqual(answer[0], status)

    def test_a_copy_of_the_store_is_a_backup(self):
        self.serve()
        model = self.small_model()
        self.store.run("push", model, "team/model:1.0")
        backup = self.dir / "backup"
        (backup / "v1").mkdir(parents=True)
        for part in ("format", "v1/repos", "v1/blobs"):
            run(["cp", "-a", self.store.home / part, backup / part])
        Store(backup).run("scrub")
        Store(backup).run("verify", "--all")
        Store(backup).run("pull", "team/model:1.0", "-o", self.dir / "pulled")
        run(["diff", "-r", model, self.dir / "pulled"])


class Refusals(Served):
    def test_an_address_that_others_reach_is_refused_without_accounts(self):
        address = self.outside()
        words = [BINARY, "serve", "--listen", f"{address}:0"]
        refused = run(words, expect=2, env=self.store.environment(), timeout=30)
        self.assertIn("htpasswd", refused.stderr)
        self.assertEqual(refused.stdout, "")

    def test_a_push_makes_no_repository_where_none_may_be_made(self):
        server = self.serve("--create-repositories", "never")
        status, _, body = server.request("POST", "/v2/team/new/blobs/uploads/", headers={"Content-Length": "0"})
        self.assertEqual((status, json.loads(body)["errors"][0]["code"]), (404, "NAME_UNKNOWN"))
