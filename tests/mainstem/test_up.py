"""`mainstem up` as people meet it: from nothing to ready, one a folder, gone within seconds, nobody left behind."""

import re
import shutil
import signal
import subprocess
import time
from collections.abc import Iterator

import pytest

from tests.mainstem.running import Hub, get, gone, running


@pytest.fixture
def hub() -> Iterator[Hub]:
    with running() as started:
        yield started


@pytest.mark.timeout(300)  # many processes
def test_from_nothing_to_ready_and_away_again(hub: Hub) -> None:
    told = hub.ready()
    assert "Mainstem is ready" in told
    for line in (f"http://127.0.0.1:{hub.port}/chat/main", f"http://127.0.0.1:{hub.desk_port}/login/"):
        assert line in told
    assert "mail/support  switched off" in told
    assert get(f"http://127.0.0.1:{hub.port}/readyz")[0] == 200
    assert get(f"http://127.0.0.1:{hub.desk_port}/readyz")[0] == 200

    # The line that it prints works as it stands, and what it sends is routed.
    curl = next(line for line in told.splitlines() if line.startswith("body="))
    if shutil.which("curl") and shutil.which("openssl"):
        done = subprocess.run(["sh", "-c", curl], cwd=hub.folder, env=hub.env, capture_output=True, text=True)
        assert '"accepted":true' in done.stdout, done.stderr
    anywhere = {"PORT": "", "MAINSTEM_DESK_PORT": ""}  # another terminal, where nobody said them
    assert hub.mainstem("say", "hello there", **anywhere).returncode == 0
    for _ in range(1200):
        metrics = get(f"http://127.0.0.1:{hub.port}/metrics")[1]
        if re.search(r'mainstem_queue_conversations\{queue="\w+",state="waiting"\} [12]\.0', metrics):
            break
        time.sleep(0.05)
    else:
        raise AssertionError(metrics)
    assert 'mainstem_source_up{source="redis"} 1.0' in metrics
    assert get(f"http://127.0.0.1:{hub.desk_port}/metrics")[0] == 200

    second = hub.mainstem("up")
    assert second.returncode == 1
    assert f"already runs over {hub.folder}" in second.stderr
    assert len(second.stderr.splitlines()) == 1
    elsewhere = hub.mainstem("up", MAINSTEM_DATA=str(hub.folder / "other"))
    assert elsewhere.returncode == 1
    assert f"port {hub.port} of 127.0.0.1 is taken by another program: set PORT" in elsewhere.stderr

    alone = hub.mainstem("desk")
    assert alone.returncode == 1
    assert alone.stderr.strip().endswith("set PORT, MAINSTEM_DESK_PORT or MAINSTEM_HOST")
    assert "Traceback" not in alone.stderr
    alone = hub.mainstem("web")
    assert alone.returncode == 1
    assert "is in use by process" in alone.stderr
    assert "Traceback" not in alone.stderr

    family = hub.family()
    assert len(family) == 6  # web, desk, router, worker, clock, and Valkey
    began = time.monotonic()
    hub.process.send_signal(signal.SIGINT)
    assert hub.process.wait(60) == 0
    assert time.monotonic() - began < 20.0  # two seconds, on a machine that does nothing else
    assert gone(family, 10.0) == []
    assert "Traceback" not in hub.told.read_text()
    assert not (hub.folder / "var" / "up.json").exists()
    assert hub.mainstem("ledger", "--json").returncode == 0
