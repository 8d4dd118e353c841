"""A certificate for 127.0.0.1 and localhost, made by openssl for the tests of one folder."""

import shutil
import ssl
import subprocess
from pathlib import Path

from tests.servers import NotAvailable


def certificate(folder: Path) -> Path:
    """A PEM file with a key and a certificate that signs itself: what a server presents and a client may trust."""
    if shutil.which("openssl") is None:
        raise NotAvailable("openssl was not found (Debian: apt-get install openssl)")
    key, made = folder / "key.pem", folder / "tls.pem"
    subprocess.run(
        [
            "openssl", "req", "-x509", "-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:prime256v1", "-nodes",
            "-days", "3650", "-subj", "/CN=localhost", "-addext", "subjectAltName=DNS:localhost,IP:127.0.0.1",
            "-keyout", str(key), "-out", str(made),
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
