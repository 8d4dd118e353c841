"""Certificates for 127.0.0.1 and localhost, made by openssl for the tests of one folder."""

import shutil
import ssl
import subprocess
from pathlib import Path

from tests.servers import NotAvailable

_HERE = "DNS:localhost,IP:127.0.0.1"


def certificate(folder: Path) -> Path:
    """A PEM file with a key and a certificate that signs itself: what a server presents and a client may trust."""
    return _made(folder, "tls", "/CN=localhost", "-addext", f"subjectAltName={_HERE}")


def authority(folder: Path) -> Path:
    """An authority of our own: a PEM file with its key and certificate, which a client may trust."""
    return _made(
        folder, "authority", "/CN=Authority of the tests", "-addext", "keyUsage=critical,keyCertSign"
    )


def issued(folder: Path, by: Path, names: str = _HERE) -> Path:
    """What a server presents: a key and a certificate for these names that an authority has signed."""
    # fmt: off
    return _made(
        folder, f"issued-{len(list(folder.iterdir()))}", "/CN=server of the tests", "-CA", str(by), "-CAkey", str(by),
        "-addext", f"subjectAltName={names}", "-addext", "basicConstraints=critical,CA:FALSE",
    )
    # fmt: on


def _made(folder: Path, name: str, subject: str, *options: str) -> Path:
    if shutil.which("openssl") is None:
        raise NotAvailable("openssl was not found (Debian: apt-get install openssl)")
    key, made = folder / f"{name}.key", folder / f"{name}.pem"
    subprocess.run(
        [
            "openssl", "req", "-x509", "-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:prime256v1", "-nodes",
            "-days", "3650", "-subj", subject, "-keyout", str(key), "-out", str(made), *options,
        ],
        check=True,
        capture_output=True,
    )  # fmt: skip
    made.write_text(key.read_text() + made.read_text())
    return made


def server_context(pem: Path) -> ssl.SSLContext:
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(pem)
    return context
