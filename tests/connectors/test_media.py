"""What is thought of files that strangers send (security.md S5)."""

import unicodedata

from hypothesis import given
from hypothesis import strategies as st

from connectors import media
from tests.each import each

PNG = b"\x89PNG\r\n\x1a\n\x00\x00\x00\rIHDR\x00\x01\x00\x00\x00\x01\x00\x00"  # says 65,536 x 65,536
ZIP = b"PK\x03\x04\x14\x00"
EICAR = b"X5O!P%@AP[4\\PZX54(P^)7CC)7}$EICAR-STANDARD-ANTIVIRUS-TEST-FILE!$H+H*"


@each(
    "name, data, content_type",
    [
        ("a.png", PNG, "image/png"),
        ("a.jpg", b"\xff\xd8\xff\xe0rest", "image/jpeg"),
        ("not-what-it-says.jpg", PNG, "image/png"),
        ("report.docx", ZIP, media._IN_CONTAINER["application/zip"]["docx"]),
        ("report.zip", ZIP, "application/zip"),
        ("report.pdf", b"%PDF-1.7\n", "application/pdf"),
        ("fake.pdf", b"hello", "text/plain"),
        ("list.csv", "Grüße;1\n".encode(), "text/csv"),
        ("page.txt", b"  <HTML><script>alert(1)</script>", media.OCTETS),
        ("image.png", b'<svg xmlns="http://www.w3.org/2000/svg" onload="x()"/>', media.OCTETS),
        ("latin.txt", b"Gr\xfc\xdfe an alle hier", media.OCTETS),
        ("nothing.txt", b"", media.OCTETS),
        ("clip.mp4", b"\x00\x00\x00\x18ftypmp42", "video/mp4"),
        ("eicar.txt", EICAR, "text/plain"),  # kept and never run; a scanner is another's trade
    ],
)
def test_the_type_is_what_the_bytes_say(name: str, data: bytes, content_type: str) -> None:
    verdict = media.inspect(name, data)
    assert verdict.content_type == content_type
    assert verdict.refused is None


@each(
    "name, data",
    [
        ("setup.exe", b"MZ\x90\x00"),
        ("holiday.jpg", b"MZ\x90\x00"),
        ("run", b"#!/bin/sh\n"),
        ("lib.png", b"\x7fELF\x02"),
        ("photo.jpg.exe", b"hello"),
        ("invoice.pdf.js", b"hello"),
        ("x.SVG", b"hello"),
        ("x.html", b"hello"),
        ("exe.gpj\u202eexe", b"MZ"),
        ("bill\u202efdp.exe", b"hello"),
        ("trick.exe. . ", b"hello"),
        ("trick.exe\u200b", b"hello"),
    ],
)
def test_what_could_run_is_refused_and_has_a_harmless_name(name: str, data: bytes) -> None:
    verdict = media.inspect(name, data)
    assert verdict.refused
    assert verdict.content_type == media.OCTETS
    assert verdict.name.endswith(".bin")


@each(
    "given, safe",
    [
        ("../../etc/passwd", "passwd"),
        ("C:\\Windows\\win.ini", "win.ini"),
        ("..", "file"),
        ("", "file"),
        ("...", "file"),
        (".bashrc", "bashrc"),
        ("a\x00b\r\nc.txt", "abc.txt"),
        ("gpj\u202etxt.doc", "gpjtxt.doc"),
        ('a<b>:"|?*.txt', "a_b______.txt"),
        ("CON.txt", "_CON.txt"),
        ("  two   words .txt", "two words .txt"),
        ("Gru\u0308ße.pdf", "Grüße.pdf"),
        ("a\u2028b.txt", "ab.txt"),
    ],
)
def test_names(given: str, safe: str) -> None:
    assert media.safe_name(given) == safe


def test_a_long_name_keeps_its_ending() -> None:
    name = media.safe_name("ü" * 300 + ".pdf")
    assert name.endswith(".pdf")
    assert len(name.encode()) <= media.NAME_BYTES


@given(name=st.text(max_size=400), data=st.binary(max_size=64))
def test_any_name_becomes_safe(name: str, data: bytes) -> None:
    safe = media.inspect(name, data).name
    assert safe
    assert len(safe.encode()) <= media.NAME_BYTES
    assert not set(safe) & set('/\\<>:"|?*\x00\r\n')
    assert not safe.startswith(".")
    assert all(unicodedata.category(c) not in ("Cc", "Cf", "Cs") for c in safe)
    assert media.safe_name(safe) == safe
