"""No secret in anything the process writes, at debug level, when everything goes wrong."""

from __future__ import annotations

import base64
from datetime import UTC, datetime, timedelta
from pathlib import Path
from urllib.parse import quote, quote_plus

from collector.simulator import BAD_DAY, Fault
from collector.simulator.eset import BAD_DAY as ESET_BAD_DAY
from tests.e2e import eset
from tests.e2e.harness import QUICK, Setup, account, arrived, daemon, simulator


async def test_canary_secrets_appear_nowhere(tmp_path: Path) -> None:
    vendor = simulator(2)
    now = datetime.now(UTC)
    vendor.cloud.fill(300, now - timedelta(hours=1), now, mix=QUICK)
    vendor.faults.switch_on_all(BAD_DAY)
    vendor.faults.switch_on("http_502", Fault(0.3, count=3, on_login=True))
    vendor.faults.switch_on("forbidden", Fault(count=1, client_ids=frozenset({account(1).client_id})))
    async with vendor.serve() as base_url, daemon(Setup(tmp_path, base_url, 2)) as running:
        await running.start()
        status = await running.until(lambda status: status["feeds"][0]["events"] > 0)
        await arrived(vendor, running, seconds=5)
        await running.kill()
        await running.start()
        await running.until(lambda status: status["feeds"][0]["last_success"] is not None)
        await running.stop()

    written = running.output.read_text() + str(status) + running.setup.database.read_bytes().decode("latin-1")
    for number in range(2):
        secret, client = account(number).client_secret, account(number).client_id
        basic = base64.b64encode(f"{client}:{secret}".encode()).decode()
        for form in (secret, quote(secret, safe=""), basic, base64.b64encode(secret.encode()).decode()):
            assert form not in written
    assert "Bearer " not in written


async def test_canary_secrets_of_eset_appear_nowhere(tmp_path: Path) -> None:
    vendor = eset.eset_simulator(2)
    now = datetime.now(UTC)
    vendor.cloud.fill(300, now - timedelta(hours=1), now, mix=eset.QUICK)
    vendor.incidents.fill(10, now - timedelta(hours=1), now)
    vendor.faults.switch_on_all(ESET_BAD_DAY)
    vendor.logins.expires_in = 4  # so that tokens are refreshed
    vendor.faults.switch_on("http_502", Fault(0.3, count=3, on_login=True))
    source = {"feeds": ["detections", "incidents"]}
    setup = eset.detections_setup(tmp_path, "", 2, source=source)
    async with vendor.serve() as setup.base_url, daemon(setup) as running:
        await running.start()
        status = await running.until(lambda status: status["feeds"][0]["events"] > 0)
        await arrived(vendor, running, seconds=8)
        await running.kill()
        await running.start()
        await running.until(lambda status: status["feeds"][0]["last_success"] is not None)
        await running.stop()

    written = running.output.read_text() + str(status) + running.setup.database.read_bytes().decode("latin-1")
    tokens = {*vendor.logins._access, *vendor.logins._refresh}
    passwords = {eset.api_user(number).password for number in range(2)}
    assert any(grant == "refresh_token" for _, grant in vendor.logins.granted)
    for secret in passwords | tokens:
        for form in (secret, quote(secret, safe=""), quote_plus(secret), base64.b64encode(secret.encode()).decode()):
            assert form not in written
    assert "Bearer " not in written
