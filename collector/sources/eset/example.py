"""A made-up detection, in the vendor's own words, for trying out the way to a SIEM."""

from __future__ import annotations

from datetime import datetime
from uuid import NAMESPACE_URL, uuid5

import orjson

from collector.model import Record
from collector.timestamps import format_utc

_TITLE = "edr-collector test event: nothing has happened"
_DEVICE = "00000000-0000-4000-8000-000000000000"


def example(number: str, at: datetime) -> tuple[str, Record]:
    """(feed, record) of a detection that never was; `number` makes its id unique."""
    detection = {
        "uuid": str(uuid5(NAMESPACE_URL, f"edr-collector-test:{number}")),
        "occurTime": format_utc(at),
        "category": "DETECTION_CATEGORY_ANTIVIRUS",
        "severityLevel": "SEVERITY_LEVEL_HIGH",
        "displayName": _TITLE,
        "typeName": "Test file",
        "objectName": "eicar.com",
        "objectTypeName": "File",
        "objectUrl": "file:///C:/edr-collector-test/eicar.com",
        "objectHashSha1": "3395856CE81F2B7382DEE72602F798B642F14140",  # of the EICAR test file
        "context": {
            "circumstances": _TITLE,
            "deviceUuid": _DEVICE,
            "process": {"path": "C:\\edr-collector-test\\test.exe"},
            "userName": "EXAMPLE\\edr-collector-test",
        },
    }
    extra = {"device": {"displayName": "edr-collector-test", "primaryLocalIpAddress": "192.0.2.1"}}
    return "detections", Record(str(detection["uuid"]), 0, at, orjson.dumps(detection), orjson.dumps(extra))
