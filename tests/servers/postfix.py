"""A real Postfix: a private instance with its own configuration and queue on 127.0.0.1, and none of the system's.

Its domains' mailboxes are maildirs (virtual(8)), which a Dovecot beside it may serve. What it thinks of a recipient or
of a mail can be set while it runs: it asks a policy service in this process (SMTPD_POLICY_README).
"""

import os
import pwd
import shutil
import signal
import smtplib
import socketserver
import threading
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from email import message_from_bytes, policy
from email.message import EmailMessage
from pathlib import Path
from typing import Self

from tests.servers import NotAvailable, Server, free_port, short_folder

DAEMONS = ("/usr/lib/postfix/sbin", "/usr/libexec/postfix", "/usr/lib/postfix")
_QUEUE = "active bounce corrupt defer deferred flush hold incoming private saved trace"
# Name, type, private, unprivileged, chroot, wakeup, maxproc, command: a usual master.cf without what only UUCP needs.
_SERVICES = """
127.0.0.1:{port} inet n - n - - smtpd{tls}
pickup     unix n - n 60 1 pickup
cleanup    unix n - n - 0 cleanup
qmgr       unix n - n 300 1 qmgr
tlsmgr     unix - - n 1000? 1 tlsmgr
rewrite    unix - - n - - trivial-rewrite
bounce     unix - - n - 0 bounce
defer      unix - - n - 0 bounce
trace      unix - - n - 0 bounce
verify     unix - - n - 1 verify
flush      unix n - n 1000? 0 flush
proxymap   unix - - n - - proxymap
smtp       unix - - n - - smtp
relay      unix - - n - - smtp
error      unix - - n - - error
retry      unix - - n - - error
discard    unix - - n - - discard
local      unix - n n - - local
virtual    unix - n n - - virtual
anvil      unix - - n - 1 anvil
scache     unix - - n - 1 scache
postlog    unix-dgram n - n - 1 postlogd
"""


def program() -> str:
    """Postfix's master(8). Raises NotAvailable, also where we are not root: it gives rights up that only root has."""
    found = shutil.which("master", path=os.pathsep.join(DAEMONS))
    if found is None:
        raise NotAvailable("Postfix was not found (Debian: apt-get install postfix)")
    if os.geteuid() != 0:
        raise NotAvailable("Postfix starts as root alone")
    return found


@dataclass
class Say:
    """What Postfix does about a recipient, or at the end of a mail: `action` as access(5) has it, so many times. wait:
    before it answers that it is held until the event is set."""

    action: str = "DUNNO"
    times: int = 1_000_000
    wait: threading.Event | None = None


@dataclass
class Policy:
    """The policy service. rules: recipient -> what Postfix does; "." is the end of a mail. asked: what it was asked."""

    rules: dict[str, Say] = field(default_factory=dict)
    asked: list[dict[str, str]] = field(default_factory=list)
    port: int = 0

    def answer(self, asked: Mapping[str, str]) -> str:
        self.asked.append(dict(asked))
        at_end = asked.get("protocol_state") == "END-OF-MESSAGE"
        rule = self.rules.get("." if at_end else asked.get("recipient", ""))
        if rule is None or rule.times < 1:
            return "DUNNO"
        rule.times -= 1
        if rule.wait is not None:
            rule.wait.wait(60)
        return rule.action


class _Asked(socketserver.StreamRequestHandler):
    def handle(self) -> None:
        asked: dict[str, str] = {}
        for raw in self.rfile:
            name, there, value = raw.decode("utf-8", "replace").rstrip("\n").partition("=")
            if there:
                asked[name] = value
                continue
            said = self.server.policy.answer(asked)  # type: ignore[attr-defined]
            asked = {}
            try:
                self.wfile.write(f"action={said}\n\n".encode())
            except OSError:  # it was killed meanwhile
                return


class _Service(socketserver.ThreadingTCPServer):
    daemon_threads = True
    block_on_close = False
    allow_reuse_address = True

    def __init__(self, policy: Policy) -> None:
        super().__init__(("127.0.0.1", 0), _Asked)
        self.policy = policy
        policy.port = self.server_address[1]


class Postfix(Server):
    """`with Postfix({"shop.example": ("support",)}) as server`. Mail to these addresses lands in `boxes`/address, a
    maildir; every other recipient of these domains is unknown, and every other domain is relayed for nobody.

    boxes: where they lie. sasl: a Dovecot's socket; who logs in through it may send everywhere that it knows a way to.
    strips: fields that it takes out of every mail, as bad relays do.
    proves: sender domains for which it writes that DMARC passed, as `mx.example`. relays: domain -> port of 127.0.0.1.
    pem: a certificate, with which it offers STARTTLS. size: the largest mail, in bytes.
    """

    def __init__(
        self,
        domains: Mapping[str, Sequence[str]],
        *,
        boxes: Path | None = None,
        sasl: Path | None = None,
        strips: Sequence[str] = (),
        proves: Sequence[str] = (),
        relays: Mapping[str, int] | None = None,
        pem: Path | None = None,
        size: int = 10_240_000,
    ) -> None:
        self._master = program()
        super().__init__(short_folder("ms-p"))
        self.port = free_port()
        self.domains, self.proves, self.relays = domains, proves, dict(relays or {})
        self.boxes = boxes or self.folder / "boxes"
        self.pem, self.size, self.sasl, self.strips = pem, size, sasl, strips
        self.policy = Policy()
        self._service = _Service(self.policy)

    def start(self) -> Self:
        if not (self.folder / "conf").exists():
            self._prepare()
            threading.Thread(target=self._service.serve_forever, args=(0.05,), daemon=True).start()
        self.spawn([self._master, "-c", str(self.folder / "conf"), "-s"], self._answers)
        return self

    def close(self) -> None:
        for rule in self.policy.rules.values():
            if rule.wait is not None:
                rule.wait.set()
        self._service.shutdown()
        self._service.server_close()
        super().close()

    # -------------------------------------------------------------------------------------------------- its folder

    def _prepare(self) -> None:
        owner = pwd.getpwnam("postfix")
        self.folder.chmod(0o755)
        conf, queue = self.folder / "conf", self.folder / "queue"
        for place in (conf, queue):
            place.mkdir()
        for name in _QUEUE.split():
            (queue / name).mkdir(mode=0o700)
            os.chown(queue / name, owner.pw_uid, 0)
        for name, mode in (("pid", 0o755), ("public", 0o710), ("maildrop", 0o730)):
            (queue / name).mkdir()
            os.chown(queue / name, 0 if name == "pid" else owner.pw_uid, _group("postdrop"))
            (queue / name).chmod(mode)
        data = self.folder / "data"
        data.mkdir(mode=0o700)
        os.chown(data, owner.pw_uid, owner.pw_gid)
        self.boxes.mkdir(exist_ok=True)
        self.boxes.chmod(0o777)
        self._write_tables(conf)
        (conf / "main.cf").write_text(self._main(conf, queue, data))
        tls = " -o smtpd_tls_security_level=may" if self.pem else ""
        (conf / "master.cf").write_text(_SERVICES.format(port=self.port, tls=tls).lstrip())

    def _write_tables(self, conf: Path) -> None:
        boxes = [
            f"{user}@{domain} {user}@{domain}/" for domain, users in self.domains.items() for user in users
        ]
        (conf / "boxes").write_text("\n".join(boxes) + "\n")
        proves = [
            f"{domain} PREPEND Authentication-Results: mx.example; dmarc=pass header.from={domain}"
            for domain in self.proves
        ]
        (conf / "proves").write_text("\n".join(proves) + "\n")
        strips = [f"/^{name}:/ IGNORE" for name in self.strips]
        (conf / "strips").write_text("\n".join(strips) + "\n")
        ways = [f"{domain} smtp:[127.0.0.1]:{port}" for domain, port in self.relays.items()]
        (conf / "ways").write_text("\n".join(ways) + "\n")

    def _main(self, conf: Path, queue: Path, data: Path) -> str:
        asks = f"check_policy_service inet:127.0.0.1:{self.policy.port}"
        sasl = (
            f"smtpd_sasl_auth_enable = yes\nsmtpd_sasl_type = dovecot\nsmtpd_sasl_path = {self.sasl}\n"
            if self.sasl
            else ""
        )
        tls = f"smtpd_tls_chain_files = {self.pem}\n" if self.pem else ""
        return f"""compatibility_level = 3.6
queue_directory = {queue}
data_directory = {data}
daemon_directory = {Path(self._master).parent}
maillog_file = {self.folder}/log
maillog_file_prefixes = {self.folder}
myhostname = mx.example
mydestination =
alias_maps =
alias_database =
local_recipient_maps =
inet_interfaces = 127.0.0.1
inet_protocols = ipv4
mynetworks = 127.0.0.0/8
smtp_dns_support_level = disabled
message_size_limit = {self.size}
virtual_mailbox_limit = 0
virtual_mailbox_domains = {" ".join(self.domains)}
virtual_mailbox_maps = texthash:{conf}/boxes
virtual_mailbox_base = {self.boxes}
virtual_minimum_uid = 1
virtual_uid_maps = static:{pwd.getpwnam("nobody").pw_uid}
virtual_gid_maps = static:{_group("nogroup")}
relay_domains = {" ".join(self.relays)}
transport_maps = texthash:{conf}/ways
header_checks = regexp:{conf}/strips
smtpd_relay_restrictions = permit_sasl_authenticated, permit_auth_destination, reject
smtpd_recipient_restrictions = {asks}, reject_unlisted_recipient
smtpd_data_restrictions = check_sender_access texthash:{conf}/proves
smtpd_end_of_data_restrictions = {asks}
smtpd_policy_service_timeout = 60s
smtpd_error_sleep_time = 0
smtpd_client_connection_count_limit = 0
in_flow_delay = 0
service_throttle_time = 1s
minimal_backoff_time = 5s
queue_run_delay = 5s
{sasl}{tls}"""

    def _answers(self) -> bool:
        try:
            with smtplib.SMTP("127.0.0.1", self.port, timeout=60) as client:
                return client.noop()[0] == 250
        except (OSError, smtplib.SMTPException):
            return False

    def log(self) -> str:
        path = self.folder / "log"
        return super().log() + (path.read_text(errors="replace") if path.exists() else "")

    # -------------------------------------------------------------------------------------------------- its mailboxes

    def raw(self, address: str) -> list[bytes]:
        """What was delivered to that address, the eldest first, as it lies there."""
        found = [
            one for part in ("cur", "new") for one in (self.boxes / address / part).glob("*") if one.is_file()
        ]
        return [one.read_bytes() for one in sorted(found, key=lambda one: (one.stat().st_mtime_ns, one.name))]

    def empty(self, address: str) -> None:
        shutil.rmtree(self.boxes / address, ignore_errors=True)

    def mails(self, address: str) -> list[EmailMessage]:
        return [message_from_bytes(one, policy=policy.default) for one in self.raw(address)]

    def settled(self) -> bool:
        """Is nothing under way any more?"""
        queue = self.folder / "queue"
        return not any(
            one.is_file() for name in ("incoming", "active", "maildrop") for one in (queue / name).rglob("*")
        )

    def crash(self) -> None:
        """The processes that speak to clients die at once, in whatever they are doing."""
        for process in Path("/proc").glob("[0-9]*"):
            try:
                said = (process / "cmdline").read_bytes()
                parent = int((process / "stat").read_text().rsplit(")", 1)[1].split()[1])
            except (OSError, ValueError, IndexError):
                continue
            if self.process is not None and parent == self.process.pid and said.startswith(b"smtpd\x00"):
                os.kill(int(process.name), signal.SIGKILL)


def _group(name: str) -> int:
    import grp

    return grp.getgrnam(name).gr_gid
