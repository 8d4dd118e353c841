"""The part of an IMAP server that takes XOAUTH2, as Google and Microsoft document it; pymap and Dovecot as we run them
have none. Its mailbox is empty."""

import base64
import contextlib
import re
import socket
import threading
from types import TracebackType
from typing import BinaryIO, Self

_ANSWERS = {
    "CAPABILITY": "* CAPABILITY IMAP4rev1 AUTH=XOAUTH2\r\n",
    "SELECT": "* 0 EXISTS\r\n* OK [UIDVALIDITY 7] x\r\n* OK [UIDNEXT 1] x\r\n* OK [PERMANENTFLAGS (\\Seen \\*)] x\r\n",
    "UID": "* SEARCH\r\n",
}


class Xoauth2:
    """`valid`: the tokens it takes. logins: (user, token) of each that was taken. cut: ends the connection."""

    def __init__(self, valid: set[str]) -> None:
        self.valid = valid
        self.logins: list[tuple[str, str]] = []
        self.cut = threading.Event()
        self._socket = socket.create_server(("127.0.0.1", 0))
        self.port = self._socket.getsockname()[1]
        self._ended = False
        self._thread = threading.Thread(target=self._serve, daemon=True)

    def __enter__(self) -> Self:
        self._thread.start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._ended = True
        self.cut.set()
        socket.create_connection(("127.0.0.1", self.port)).close()
        self._thread.join(60)
        self._socket.close()

    def _serve(self) -> None:
        while not self._ended:
            client, _ = self._socket.accept()
            gone = contextlib.suppress(OSError, StopIteration)  # the client went away in the middle
            with client, client.makefile("rb") as lines, gone:
                client.sendall(b"* OK ready\r\n")
                self._speak(client, lines)

    def _speak(self, client: socket.socket, lines: BinaryIO) -> None:
        for line in lines:
            tag, _, rest = line.decode().strip().partition(" ")
            word = rest.partition(" ")[0].upper()
            if self.cut.is_set() and self.logins and word != "AUTHENTICATE" and not self._ended:
                self.cut.clear()
                return
            if word == "AUTHENTICATE":
                client.sendall(b"+ \r\n")
                said = base64.b64decode(next(lines)).decode()
                found = re.fullmatch("user=([^\x01]*)\x01auth=Bearer ([^\x01]*)\x01\x01", said)
                if found is None or found[2] not in self.valid:
                    client.sendall(b"+ " + base64.b64encode(b'{"status":"400"}') + b"\r\n")
                    next(lines)  # the client's empty answer
                    client.sendall(f"{tag} NO [AUTHENTICATIONFAILED] Invalid credentials\r\n".encode())
                    continue
                self.logins.append((found[1], found[2]))
            client.sendall(f"{_ANSWERS.get(word, '')}{tag} OK done\r\n".encode())
            if word == "LOGOUT":
                return
