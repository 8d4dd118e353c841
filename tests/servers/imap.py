"""Real IMAP servers: pymap always, Dovecot where it is installed. Everyone has a mailbox with the password `sesame`.

A test takes a folder of its own (`server.box()`), so that one server serves them all.
"""

import itertools
import os
import shutil
import sys
from collections.abc import Sequence
from datetime import datetime
from pathlib import Path
from typing import Any, Self

import psutil
from imapclient import IMAPClient

from hub.config import Account
from tests.servers import NotAvailable, Server, free_port, short_folder

USER, PASSWORD = "support", "sesame"
_names = itertools.count(1)


class Imap(Server):
    """`name` for messages; `keywords`: whether it keeps marks that it does not know."""

    name = ""
    keywords = True

    def __init__(self) -> None:
        super().__init__(short_folder("ms-i"))
        self.port = free_port()
        self._other: IMAPClient | None = None

    def command(self) -> list[str]:
        raise NotImplementedError

    def start(self) -> Self:
        self.spawn(self.command(), self._answers)
        return self

    def _answers(self) -> bool:
        try:
            self.client().logout()
        except (OSError, IMAPClient.Error):
            return False
        return True

    def client(self, user: str = USER) -> IMAPClient:
        """Another mail program at the same mailbox."""
        client = IMAPClient("127.0.0.1", self.port, ssl=False, timeout=60)
        client.login(user, PASSWORD)
        return client

    @property
    def other(self) -> IMAPClient:
        """A mail program that stays connected: some servers take their time over a password."""
        if self._other is None:
            self._other = self.client()
        return self._other

    def stop(self) -> None:
        self._leave()
        super().stop()

    def kill(self) -> None:
        self._leave()
        super().kill()

    def _leave(self) -> None:
        if self._other is not None:
            self._other.shutdown()
            self._other = None

    def box(self) -> str:
        """A new, empty folder."""
        name = f"Box{next(_names)}"
        self.other.create_folder(name)
        return name

    def put(
        self, folder: str, *mails: bytes, at: datetime | None = None, flags: Sequence[bytes] = ()
    ) -> None:
        """They arrive, one after the other."""
        for mail in mails:
            self.other.append(folder, mail, flags=flags, msg_time=at)

    def flags(self, folder: str) -> dict[int, tuple[bytes, ...]]:
        self.other.select_folder(folder, readonly=True)
        uids = self.other.search()
        said = self.other.get_flags(uids) if uids else {}
        return {uid: tuple(f for f in flags if f != b"\\Recent") for uid, flags in said.items()}


# It hashes the password of everybody who comes, half a second each; there is no option for how long.
_PYMAP = """
import sys
from pysasl.hashing import BuiltinHash
BuiltinHash.__init__.__kwdefaults__["rounds"] = 1
from pymap.main import main
sys.exit(main())
"""


class Pymap(Imap):
    """Pure Python, in memory; keeps no keywords of others, has MOVE and UIDPLUS."""

    name = "pymap"
    keywords = False

    def command(self) -> list[str]:
        return [
            sys.executable, "-c", _PYMAP, "--host", "127.0.0.1", "--port", str(self.port), "--no-tls",
            "--no-service", "admin", "dict", "--demo-user", USER, "--demo-password", PASSWORD,
        ]  # fmt: skip


class Dovecot(Imap):
    """What most mailboxes of the world stand on. Any user name, the one password; mailboxes are maildirs in `home`.

    pem: a certificate, with which it takes TLS on `tls_port` and STARTTLS on `port`. introspection: a URL (RFC 7662)
    that knows whose an access token is; then it takes XOAUTH2 as well. `sasl`: where a Postfix asks about logins.
    """

    name = "Dovecot"

    def __init__(self, *, pem: Path | None = None, introspection: str = "") -> None:
        super().__init__()
        self.pem, self.introspection = pem, introspection
        self.tls_port = free_port() if pem else 0
        self.home = self.folder / "home"
        self.sasl = self.folder / "sasl"
        self.program = shutil.which("dovecot") or shutil.which("dovecot", path="/usr/sbin:/usr/local/sbin")
        if self.program is None:
            raise NotAvailable("dovecot was not found (Debian: apt-get install dovecot-imapd)")

    def command(self) -> list[str]:
        root = os.geteuid() == 0
        me = "root" if root else str(psutil.Process().username())
        home = self.home
        home.mkdir(exist_ok=True)
        self.folder.chmod(0o755)
        home.chmod(0o777)
        mails = "uid=nobody gid=nogroup" if root else f"uid={os.getuid()} gid={os.getgid()}"
        internal = "" if root else f"default_internal_user={me}\ndefault_login_user={me}\n"
        free = "" if root else "service anvil {\n chroot =\n}\nservice imap-login {\n chroot =\n}\n"
        (self.folder / "conf").write_text(
            f"""protocols = imap
base_dir = {self.folder}/run
state_dir = {self.folder}/state
log_path = {self.folder}/log
{internal}{self._tls()}disable_plaintext_auth = no
listen = 127.0.0.1
mail_location = maildir:{home}/%u
mail_fsync = never
mail_max_userip_connections = 100
mailbox_list_index = no
auth_mechanisms = plain login{" xoauth2 oauthbearer" if self.introspection else ""}
auth_failure_delay = 0
{self._oauth()}passdb {{
  driver = static
  mechanisms = plain login
  args = password={PASSWORD}
}}
userdb {{
  driver = static
  args = {mails} home={home}/%u
}}
service imap-login {{
  inet_listener imap {{
    port = {self.port}
  }}
  inet_listener imaps {{
    port = {self.tls_port}
    ssl = yes
  }}
}}
service anvil {{
  unix_listener anvil-auth-penalty {{
    mode = 0
  }}
}}
service auth {{
  unix_listener {self.sasl} {{
    mode = 0666
  }}
}}
{free}"""
        )
        return [self.program or "dovecot", "-F", "-c", str(self.folder / "conf")]

    def _tls(self) -> str:
        if self.pem is None:
            return "ssl = no\n"
        return f"ssl = yes\nssl_cert = <{self.pem}\nssl_key = <{self.pem}\n"

    def _oauth(self) -> str:
        """The token decides, and whose it is: the user who is named must be its owner."""
        if not self.introspection:
            return ""
        about = self.folder / "oauth"
        about.write_text(
            f"introspection_mode = post\nintrospection_url = {self.introspection}\nforce_introspection = yes\n"
            "active_attribute = active\nactive_value = true\nusername_attribute = username\nusername_format = %u\n"
        )
        return f"passdb {{\n  driver = oauth2\n  mechanisms = xoauth2 oauthbearer\n  args = {about}\n}}\n"

    def workers(self) -> list[psutil.Process]:
        """The processes that speak to clients who are logged in."""
        assert self.process is not None
        return [
            one for one in psutil.Process(self.process.pid).children(recursive=True) if one.name() == "imap"
        ]

    def said(self) -> str:
        """Its own log: who logged in and how."""
        return (self.folder / "log").read_text(errors="replace")

    def kick(self) -> None:
        """What `doveadm kick` does, harder: every connection's process is gone."""
        self._leave()
        for worker in self.workers():
            worker.kill()


def account(
    server: Imap, folder: str, key: str = "mail/support", port: int | None = None, **imap: Any
) -> Account:
    """An account of that folder. `imap`: further settings."""
    return Account(
        key=key, connector="mail", name=key.partition("/")[2], brand="main", title="Support",
        address="support@example.com",
        settings={
            "imap": {
                "host": "127.0.0.1", "port": port or server.port, "tls": "none", "user": USER, "folder": folder,
                "from": "all", "poll": "2m", **imap,
            }
        },
        secrets={"password": (PASSWORD,), "token": ("t" * 64,)},
        secret_names={"password": ("MAIL_PASSWORD",)},
    )  # fmt: skip
