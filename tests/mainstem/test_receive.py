"""`mainstem receive`: the server behind a webhook account, for a try."""

import threading
import time
import urllib.error
import urllib.request

import pytest

from connectors import signing
from mainstem.commands.receive import listen

BODY = b'{"to":"mailto:ann@example.com","text":"It left today."}'


def post(url: str, signature: str, key: str = "1", body: bytes = BODY) -> int:
    headers = {signing.HEADER: signature, "Idempotency-Key": key}
    try:
        with urllib.request.urlopen(urllib.request.Request(url, data=body, headers=headers)) as answer:
            return int(answer.status)
    except urllib.error.HTTPError as error:
        with error:
            return error.code


def test_what_is_signed_is_printed_once_and_the_forged_refused(capsys: pytest.CaptureFixture[str]) -> None:
    now = int(time.time())
    with listen(0, ["theirs"]) as server:
        threading.Thread(target=server.serve_forever, daemon=True).start()
        url = f"http://127.0.0.1:{server.server_port}"
        good = signing.sign("theirs", BODY, now)
        assert post(url, good) == 200
        assert post(url, good) == 409
        assert post(url, good, key="2") == 200
        assert post(url, signing.sign("another", BODY, now)) == 401
        assert post(url, signing.sign("theirs", b"rubbish", now), key="3", body=b"rubbish") == 400
        server.shutdown()
    told = capsys.readouterr().out.splitlines()
    assert told[0] == "signed  mailto:ann@example.com  'It left today.'"
    assert len([line for line in told if "signed" in line]) == 2
    assert "refused" in told[2]
