"""A made-up security event, in the vendor's own words, for trying out the way to a SIEM."""

from __future__ import annotations

from datetime import datetime

import orjson

from collector.model import Record
from collector.timestamps import format_utc

_TITLE = "edr-collector test event: nothing has happened"


def example(number: str, at: datetime) -> tuple[str, Record]:
    """(feed, record) of a detection that never was; `number` makes its id unique."""
    moment = format_utc(at)
    event = {
        "id": f"edr-collector-test-{number}",
        "engine": "fileScanning",
        "action": "blocked",
        "severity": "critical",
        "clientTimestamp": moment,
        "serverTimestamp": moment,
        "persistenceTimestamp": moment,
        "acknowledged": False,
        "device": {"id": "00000000-0000-4000-8000-000000000000", "name": "edr-collector-test"},
        "target": {"id": "00000000-0000-4000-8000-000000000000", "name": "edr-collector-test"},
        "userName": "EXAMPLE\\edr-collector-test",
        "description": _TITLE,
        "message": _TITLE,
        "details": {
            "alertType": "file",
            "fileScanningType": "fileInfection",
            "infectionName": "EICAR_Test_File",
            "filePath": "C:\\edr-collector-test\\eicar.com",
            "sha1": "3395856ce81f2b7382dee72602f798b642f14140",  # of the EICAR test file
            "hostIpAddress": "192.0.2.1/24",
        },
    }
    return "security_events", Record(str(event["id"]), 0, at, orjson.dumps(event))
