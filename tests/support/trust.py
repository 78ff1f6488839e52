"""What a server needs for accounts and TLS, made for the day.

`htpasswd` and `openssl`.
"""

from kept import run


def write_accounts(path, **passwords):
    """A file of accounts by bcrypt, at the lowest cost that `htpasswd` has."""
    lines = [run(["htpasswd", "-nbB", "-C", "4", name, password]).stdout.strip() for name, password in passwords.items()]
    path.write_text("\n".join(lines) + "\n")
    path.chmod(0o600)
    return path


class Authority:
    """A certificate authority of our own."""

    def __init__(self, directory):
        self.dir = directory
        self.dir.mkdir()
        self.certificate, self.key = self.dir / "ca.crt", self.dir / "ca.key"
        self.make(self.certificate, self.key, "/CN=Test authority")

    def make(self, certificate, key, subject, *words):
        run([
            "openssl", "req", "-x509", "-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:P-256", "-nodes", "-days", "2",
            "-keyout", key, "-out", certificate, "-subj", subject, *words,
        ])  # fmt: skip

    def certify(self, *addresses):
        """A certificate for IP addresses, and its key."""
        certificate, key = self.dir / "server.crt", self.dir / "server.key"
        names = ",".join(f"IP:{address}" for address in addresses)
        self.make(
            certificate, key, "/CN=registry", "-CA", self.certificate, "-CAkey", self.key,
            "-addext", f"subjectAltName={names}", "-addext", "basicConstraints=critical,CA:FALSE",
        )  # fmt: skip
        return certificate, key
