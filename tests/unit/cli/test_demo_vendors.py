"""The vendors of the demo, and what their judge says of the files."""

from __future__ import annotations

from pathlib import Path

import orjson
import pytest
import yaml

from collector.cli.demo.play import Score
from collector.cli.demo.stage import write_config
from collector.cli.demo.vendors import STRANGER, TENANTS, BaseUrls, Vendors, api_user, client_id
from collector.config import load_config
from collector.simulator.oracle import Verdict


def line(vendor: str, feed: str, kind: str, key: str, raw: bytes, comments: object = ()) -> bytes:
    flags = []
    try:
        orjson.loads(raw)
    except orjson.JSONDecodeError:
        flags, raw = ["repaired"], b"{}"
    head = orjson.dumps({"id": key, "vendor": vendor, "feed": feed, "kind": kind, "flags": flags, "comments": comments})
    return head[:-1] + b',"raw":' + raw + b"}\n"


def everything(vendors: Vendors) -> list[bytes]:
    """What a faultless daemon delivers of all that is visible now."""
    events = vendors.withsecure.ledger(hashes=False).items()
    detections = vendors.eset.ledger().items()
    incidents = vendors.withsecure.cloud.incidents.report().items()
    states = vendors.eset.incidents.report().items()
    lines = [line("WithSecure", "security_events", "security_event", key, entry["raw"]) for key, entry in events]
    lines += [line("ESET", "detections", "detection", key, entry["raw"]) for key, entry in detections]
    for key, entry in incidents:
        lines.append(line("WithSecure", "incidents", "incident", key, entry["states"][-1]["raw"]))
        lines += [
            line("WithSecure", "incidents", "detection", name, each["raw"])
            for name, each in entry["detections"].items()
        ]
    lines += [line("ESET", "incidents", "incident", key, s[-1]["raw"], s[-1]["comments"]) for key, s in states]
    return lines


@pytest.fixture
def vendors() -> Vendors:
    return Vendors(60)


async def test_all_is_well_when_everything_is_there_once(vendors: Vendors, tmp_path: Path) -> None:
    lines = everything(vendors)
    (tmp_path / "all.ndjson").write_bytes(b"".join(lines))

    verdict = await vendors.judge(tmp_path)

    wrong = [*verdict.missing, *verdict.doubled, *verdict.strange, *verdict.altered, *verdict.torn]
    assert verdict.events == len(lines)
    assert not wrong


@pytest.mark.parametrize("feed", ["security_events", "detections", "incidents"])
async def test_what_is_missing_or_double_is_found_in_every_feed(vendors: Vendors, tmp_path: Path, feed: str) -> None:
    lines = everything(vendors)
    of_feed = [index for index, each in enumerate(lines) if f'"feed":"{feed}"'.encode() in each]
    gone, twice = of_feed[0], of_feed[-1]
    (tmp_path / "all.ndjson").write_bytes(b"".join([*lines[:gone], *lines[gone + 1 :], lines[twice]]))

    verdict = await vendors.judge(tmp_path)

    assert len(verdict.missing) == 1
    assert len(verdict.doubled) == 1


async def test_lines_of_a_feed_that_nobody_has_are_strange(vendors: Vendors, tmp_path: Path) -> None:
    lines = everything(vendors)
    (tmp_path / "all.ndjson").write_bytes(b"".join([*lines, line("ESET", "audit", "detection", "x", b"{}")]))

    verdict = await vendors.judge(tmp_path)

    assert verdict.strange
    assert not verdict.good


def test_the_configuration_is_one_that_the_program_takes(
    vendors: Vendors, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    for name, secret in vendors.secrets.items():
        monkeypatch.setenv(name, secret)
    path = write_config(tmp_path, BaseUrls("http://127.0.0.1:1", "http://127.0.0.1:2"), [*TENANTS, STRANGER])

    assert set(load_config(path).tenants) == {*TENANTS, STRANGER}
    written = yaml.safe_load(path.read_text())
    assert all(len(tenant["sources"]) == 2 for tenant in written["tenants"].values())


def test_no_vendor_knows_the_stranger(vendors: Vendors) -> None:
    assert client_id(STRANGER) not in vendors.withsecure.cloud.accounts
    assert api_user(STRANGER).username not in vendors.eset.cloud.accounts


@pytest.mark.parametrize(
    ("score", "good"),
    [
        (Score(stranger=["denied"] * 4), True),
        (Score(), False),
        (Score(stranger=["denied", "ok"]), False),
        (Score(stranger=["denied"], violations=["rule"]), False),
        (Score(stranger=["denied"], verdict=Verdict(missing=["x"])), False),
        (Score(stranger=["denied"], exit_status=1), False),
    ],
    ids=["denied", "no word", "one feed runs", "rule broken", "missing", "bad end"],
)
def test_the_demo_is_good_when_all_arrived_and_the_stranger_was_told(score: Score, good: bool) -> None:
    assert score.good is good
