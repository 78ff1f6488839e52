"""Signatures over models, with the reference implementation of OpenSSF Model Signing as the other side."""

import base64
import copy
import hashlib
import json
import subprocess

from base import DIGITS, PeerTest
from kept import VENV_PYTHON, run

OMS = [VENV_PYTHON, "-m", "model_signing"]
TYPE = "application/vnd.in-toto+json"


class Signing(PeerTest):
    def setUp(self):
        super().setUp()
        self.key = self.dir / "key.pem"
        self.public = self.dir / "key.pem.pub"
        self.signature = self.dir / "model.sig"
        self.model = DIGITS / "model-1.0"
        self.store.run("keys", "new", self.key, "--no-passphrase")

    def theirs(self, model, signature):
        """Whether the reference takes it."""
        command = [*OMS, "verify", "key", model, "--signature", signature, "--public_key", self.public]
        return subprocess.run([str(word) for word in command], capture_output=True, timeout=60).returncode == 0

    def ours(self, model, signature):
        """Whether we take it. Whatever is refused is a finding, and never an error of another kind."""
        done = self.store.run("verify-signature", model, "--signature", signature, "--key", self.public, expect=None)
        self.assertIn(done.returncode, (0, 5), done.stderr)
        return done.returncode == 0

    def test_the_reference_takes_what_we_signed_from_a_pulled_directory(self):
        self.store.run("push", self.model, "digits:1.0")
        self.store.run("sign", "digits:1.0", "--key", self.key, "--signature", self.signature)
        pulled = self.dir / "pulled"
        self.store.run("pull", "digits:1.0", "-o", pulled)
        self.assertTrue(self.theirs(pulled, self.signature))
        next(path for path in pulled.rglob("*") if path.is_file()).write_bytes(b"changed")
        self.assertFalse(self.theirs(pulled, self.signature))

    def test_we_take_what_the_reference_signed(self):
        command = [*OMS, "sign", "key", self.model, "--signature", self.signature, "--private_key", self.key]
        run([str(word) for word in command])
        self.assertTrue(self.ours(self.model, self.signature))
        self.store.run("push", self.model, "digits:1.0")
        self.assertTrue(self.ours("digits:1.0", self.signature))

    def test_the_reference_signs_with_a_key_of_openssl_that_we_open(self):
        key = self.dir / "openssl.pem"
        run(["openssl", "ecparam", "-name", "prime256v1", "-genkey", "-noout", "-out", key])
        run(["openssl", "ec", "-in", key, "-pubout", "-out", self.public])
        self.store.run("sign", self.model, "--key", key, "--signature", self.signature)
        self.assertTrue(self.theirs(self.model, self.signature))
        self.assertTrue(self.ours(self.model, self.signature))

    def test_variants_are_answered_as_by_the_reference_or_more_strictly(self):
        self.store.run("sign", self.model, "--key", self.key, "--signature", self.signature)
        good = json.loads(self.signature.read_text())
        statement = json.loads(base64.b64decode(good["dsseEnvelope"]["payload"]))
        accepted = {}
        for name, bundle in self.variants(good, statement).items():
            path = self.dir / "variant.sig"
            path.write_text(json.dumps(bundle))
            theirs, ours = self.theirs(self.model, path), self.ours(self.model, path)
            self.assertFalse(ours and not theirs, f"{name}: taken here, refused by the reference")
            accepted[name] = (theirs, ours)
        both = {name for name, answers in accepted.items() if answers == (True, True)}
        self.assertEqual(
            both,
            {"as it is", "hint empty", "hint missing", "high s", "no ignored paths", "no log entries", "other order", "key id", "low s"},
        )
        stricter = {name for name, (theirs, ours) in accepted.items() if theirs and not ours}
        self.assertLessEqual({"twice the same name", "unknown field of the predicate"}, stricter)
        self.assertGreaterEqual(len(accepted), 28)

    def sealed(self, good, statement, sign=None):
        payload = json.dumps(statement).encode()
        message = b"DSSEv1 %d %s %d %s" % (len(TYPE), TYPE.encode(), len(payload), payload)
        done = subprocess.run(
            ["openssl", "dgst", "-sha256", "-sign", str(self.key)], input=message, capture_output=True, check=True, timeout=30
        )
        bundle = copy.deepcopy(good)
        bundle["dsseEnvelope"]["payload"] = base64.b64encode(payload).decode()
        bundle["dsseEnvelope"]["signatures"][0]["sig"] = base64.b64encode((sign or bytes)(done.stdout)).decode()
        return bundle

    def variants(self, good, statement):
        """Bundles that differ from a good one in one thing, by name."""

        def bundle(*path, value):
            changed = copy.deepcopy(good)
            at = changed
            for key in path[:-1]:
                at = at[key]
            at[path[-1]] = value
            return changed

        def lacking(*path):
            changed = copy.deepcopy(good)
            at = changed
            for key in path[:-1]:
                at = at[key]
            del at[path[-1]]
            return changed

        def stated(change, root=False):
            changed = copy.deepcopy(statement)
            change(changed)
            if root:
                digests = b"".join(bytes.fromhex(one["digest"]) for one in changed["predicate"]["resources"])
                changed["subject"][0]["digest"]["sha256"] = hashlib.sha256(digests).hexdigest()
            return self.sealed(good, changed)

        resources = lambda changed: changed["predicate"]["resources"]  # noqa: E731
        serialization = lambda changed: changed["predicate"]["serialization"]  # noqa: E731
        signature = good["dsseEnvelope"]["signatures"][0]
        junk = {"sig": base64.b64encode(b"junk").decode(), "keyid": ""}
        material = ("verificationMaterial", "publicKey")
        return {
            "as it is": good,
            "hint empty": bundle(*material, "hint", value=""),
            "hint missing": bundle(*material, value={}),
            "hint wrong": bundle(*material, "hint", value="0" * 64),
            "no log entries": lacking("verificationMaterial", "tlogEntries"),
            "key id": bundle("dsseEnvelope", "signatures", 0, "keyid", value="some"),
            "high s": self.sealed(good, statement, high_s),
            "low s": self.sealed(good, statement, low_s),
            "raw signature": self.sealed(good, statement, raw),
            "junk first": bundle("dsseEnvelope", "signatures", value=[junk, signature]),
            "junk second": bundle("dsseEnvelope", "signatures", value=[signature, junk]),
            "no signature": bundle("dsseEnvelope", "signatures", value=[]),
            "other media type": bundle("mediaType", value="application/vnd.dev.sigstore.bundle+json;version=0.2"),
            "other payload type": bundle("dsseEnvelope", "payloadType", value="application/json"),
            "unknown field": bundle("extra", value=1),
            "changed payload": bundle("dsseEnvelope", "payload", value=base64.b64encode(json.dumps({}).encode()).decode()),
            "other order": stated(lambda s: resources(s).reverse(), root=True),
            "no ignored paths": stated(lambda s: serialization(s).pop("ignore_paths")),
            "wrong root": stated(lambda s: s["subject"][0]["digest"].update(sha256="0" * 64)),
            "two subjects": stated(lambda s: s["subject"].append(s["subject"][0])),
            "no word on symlinks": stated(lambda s: serialization(s).pop("allow_symlinks")),
            "symlinks": stated(lambda s: serialization(s).update(allow_symlinks=True)),
            "another method": stated(lambda s: serialization(s).update(method="shards")),
            "unknown field of the predicate": stated(lambda s: s["predicate"].update(extra=1)),
            "more digests of the subject": stated(lambda s: s["subject"][0]["digest"].update(sha512="0" * 128)),
            "twice the same name": stated(lambda s: resources(s).append(resources(s)[-1]), root=True),
            "upper case": stated(lambda s: resources(s)[0].update(digest=resources(s)[0]["digest"].upper())),
            "one file less": stated(lambda s: resources(s).pop(), root=True),
            "a file outside": stated(lambda s: resources(s)[0].update(name="../config.json")),
            "old predicate": stated(lambda s: s.update(predicateType="https://model_signing/Digests/v0.1")),
        }


ORDER = 0xFFFFFFFF00000000FFFFFFFFFFFFFFFFBCE6FAADA7179E84F3B9CAC2FC632551


def numbers(der):
    """r and s of an ECDSA signature in DER, each shorter than 128 bytes."""
    length = der[3]
    return int.from_bytes(der[4 : 4 + length]), int.from_bytes(der[6 + length :])


def encoded(r, s):
    integer = lambda n: n.to_bytes(n.bit_length() // 8 + 1)  # noqa: E731
    body = b"".join(b"\x02" + bytes([len(part)]) + part for part in (integer(r), integer(s)))
    return b"\x30" + bytes([len(body)]) + body


def high_s(der):
    r, s = numbers(der)
    return encoded(r, max(s, ORDER - s))


def low_s(der):
    r, s = numbers(der)
    return encoded(r, min(s, ORDER - s))


def raw(der):
    return b"".join(number.to_bytes(32) for number in numbers(der))
