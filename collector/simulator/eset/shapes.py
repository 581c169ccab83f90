"""What stands in a detection of each category, in v1 and in v2 of the API [SPEC, ELASTIC, LIVE].

v1 has `context` and `networkCommunication`, v2 `device`, `process`, `userName`, `networkTraffic` and much more; 64-bit
integers of v2 are strings at times. Names of threats, files and people are invented.
"""

from __future__ import annotations

from dataclasses import dataclass
from random import Random
from typing import Any

_USERS = ("ACME\\m.novak", "nt authority\\system", "nt authority\\local service", "ACME\\žofie.krátká", "root", "")
_PATHS = (
    "C:\\Program Files\\Browser\\browser.exe",
    "%PROGRAMFILES%\\web\\srv.exe",
    "%SYSTEM%\\svchost.exe",
    "/opt/app/worker",
    "C:\\Users\\m.novak\\Downloads\\přehled|=2026.exe",
)
_RESPONSES = ("Cleaned by deleting", "Connection terminated", "Blocked", "Retained")
_PROTECTIONS = ("Real-time file system protection", "Network protection", "HIPS", "ESET Inspect")


@dataclass(frozen=True, slots=True)
class Subject:
    """Which detection it is, when (as written), and where."""

    uuid: str
    occurred: str
    device_uuid: str
    device_name: str


@dataclass(frozen=True, slots=True)
class Shape:
    """One kind of detection; `category` is v1's, `category_v2` v2's where it differs."""

    name: str
    category: str
    types: tuple[str, ...]
    severities: tuple[str, ...]
    circumstances: tuple[str, ...]
    names: tuple[str, ...]
    has_file: bool = False
    has_network: bool = False
    inspect: bool = False
    category_v2: str = ""


SHAPES = (
    Shape(
        "antivirus",
        "ANTIVIRUS",
        ("Trojan", "Test file", "Potentially unwanted application"),
        ("MEDIUM", "HIGH"),
        ("Event occurred on a newly created file", "Event occurred during an attempt to run the file"),
        ("Win32/Sample.Agent.QX", "Eicar", "JS/Sample.Redirector.B"),
        has_file=True,
    ),
    Shape(
        "firewall",
        "FIREWALL_RULE",
        ("Security vulnerability exploitation attempt", "Blocked by an internal IDS rule"),
        ("LOW", "INFORMATIONAL"),
        ("Exploitation attempt blocked",),
        ("", "Block remote desktop"),
        has_network=True,
    ),
    Shape(
        "intrusion",
        "NETWORK_INTRUSION",
        ("TCP Port Scanning attack", "Botnet.CnC.Generic"),
        ("MEDIUM", "LOW"),
        ("Detected a port scanning attack",),
        ("TCP Port Scanning attack",),
        has_network=True,
    ),
    Shape(
        "rule",
        "CORRELATION_RULE",
        ("nil", ""),
        ("HIGH", "MEDIUM", "LOW"),
        ("Rule triggered",),
        ("Shell started by office application [Z0101]", "Process accessed LSASS memory [T1003.001]"),
        has_file=True,
        inspect=True,
        category_v2="EDR_RULE",
    ),
    Shape("hips", "HIPS", ("HIPS",), ("MEDIUM",), ("Attempt to run a suspicious object",), ("Suspicious attempt",)),
    Shape("hips rule", "HIPS_RULE", ("HIPS rule",), ("LOW",), ("Rule applied",), ("Deny child processes | =",)),
    Shape(
        "web",
        "WEB_ACCESS",
        ("Blocked by internal blacklist",),
        ("LOW", "MEDIUM"),
        ("Access to the address was blocked",),
        ("http://bad.example/a?b=c",),
        has_network=True,
    ),
    Shape("vulnerability", "VULNERABILITY", ("Vulnerability",), ("INFORMATIONAL",), ("",), ("CVE-2026-0001",)),
    Shape("patch", "APPLICATION_PATCH", ("Patch",), ("DIAGNOSTIC",), ("",), ("Browser 141.0",)),
    Shape("suspicious", "SUSPICIOUS_ACTIVITY", ("Ransomware shield",), ("HIGH",), ("Encrypts",), ("Filecoder.Sample",)),
    Shape("new", "SOMETHING_NEW", ("?",), ("UNSPECIFIED", "CRITICAL"), ("",), ("unknown to everybody",)),
)
CLOUD_OFFICE = Shape(
    "mail", "ANTIVIRUS", ("Phishing",), ("MEDIUM", "HIGH"), ("Message moved",), ("HTML/Phishing.Sample",)
)


def v2_record(shape: Shape, subject: Subject, rng: Random) -> dict[str, Any]:
    """The richer record; `v1_record` is made of it."""
    severity = rng.choice(shape.severities)
    record: dict[str, Any] = {
        "uuid": subject.uuid,
        "occurTime": subject.occurred,
        "category": f"DETECTION_CATEGORY_{shape.category_v2 or shape.category}",
        "severityLevel": f"SEVERITY_LEVEL_{severity}",
        "severityScore": {"HIGH": 72, "MEDIUM": 55}.get(severity, 20),
        "displayName": rng.choice(shape.names),
        "typeName": rng.choice(shape.types),
        "circumstances": rng.choice(shape.circumstances),
        "resolved": False,
        "note": "",
        "scanUuid": "",
        "responses": _responses(rng),
    }
    if shape is CLOUD_OFFICE:
        return record | _mail(rng)
    return record | {
        "device": {"uuid": subject.device_uuid, "displayName": subject.device_name},
        "userName": rng.choice(_USERS),
        "process": {
            "uuid": f"p-{rng.getrandbits(32):x}",
            "path": rng.choice(_PATHS),
            "commandLine": 'cmd /c "whoami"' if shape.inspect else "",
        },
        **_object(shape, rng),
        "networkTraffic": _traffic(shape, rng),
        **(_inspect(rng) if shape.inspect else {}),
    }


def v1_record(shape: Shape, subject: Subject, v2: dict[str, Any]) -> dict[str, Any]:
    """The same detection as v1 shows it: less of it, and elsewhere."""
    traffic = v2["networkTraffic"]
    names = ("displayName", "typeName", "objectName", "objectTypeName", "objectUrl", "objectHashSha1")
    return {
        "uuid": subject.uuid,
        "occurTime": subject.occurred,
        "category": f"DETECTION_CATEGORY_{shape.category}",
        "severityLevel": v2["severityLevel"],
        **{name: v2[name] for name in names},
        "context": {
            "circumstances": v2["circumstances"],
            "deviceUuid": subject.device_uuid,
            "process": {"path": v2["process"]["path"]},
            "userName": v2["userName"],
        },
        "networkCommunication": {
            "direction": traffic["direction"].replace("NETWORK_TRAFFIC", "NETWORK_COMMUNICATION"),
            "localIpAddress": traffic["localIpAddress"],
            "localPort": traffic["localPort"],
            "protocolName": traffic["protocolKeyword"] or "0",
            "remoteIpAddress": traffic["remoteIpAddress"],
            "remotePort": traffic["remotePort"],
        },
        "responses": [
            {name: value for name, value in response.items() if name != "actionType"} for response in v2["responses"]
        ],
    }


def _responses(rng: Random) -> list[dict[str, Any]]:
    lot = rng.random()
    if lot < 0.3:
        return []
    if lot < 0.35:
        return [{}]
    return [
        {
            "description": "",
            "deviceRestartRequired": rng.random() < 0.1,
            "displayName": rng.choice(_RESPONSES),
            "protectionName": rng.choice(_PROTECTIONS),
            "actionType": rng.choice(("OBJECT_ACTION_TYPE_DELETE", "OBJECT_ACTION_TYPE_NO_ACTION")),
        }
    ]


def _object(shape: Shape, rng: Random) -> dict[str, Any]:
    if not shape.has_file:
        return {"objectName": "", "objectTypeName": "", "objectUrl": "", "objectHashSha1": "", "objectSizeBytes": "0"}
    name = rng.choice(("invoice_1142.exe", "setup.js", "výpis.docm"))
    size = rng.getrandbits(24)
    return {
        "objectName": name,
        "objectTypeName": rng.choice(("File", "Memory")),
        "objectUrl": rng.choice((f"file:///C:/Users/m.novak/Downloads/{name}", "script", f"/tmp/{name}")),  # noqa: S108
        "objectHashSha1": f"{rng.getrandbits(160):040X}",
        "objectSizeBytes": str(size) if rng.random() < 0.8 else size,
    }


def _traffic(shape: Shape, rng: Random) -> dict[str, Any]:
    if not shape.has_network:
        return {
            "direction": "NETWORK_TRAFFIC_DIRECTION_UNSPECIFIED",
            "localIpAddress": "",
            "localPort": 0,
            "remoteIpAddress": "",
            "remotePort": 0,
            "protocolKeyword": "",
        }
    local, remote = ("2001:db8::10", "2001:db8:ffff::53") if rng.random() < 0.2 else ("10.4.1.20", "203.0.113.77")
    return {
        "direction": f"NETWORK_TRAFFIC_DIRECTION_{rng.choice(('INBOUND', 'OUTBOUND'))}",
        "localIpAddress": local,
        "localMacAddress": "02:00:5e:10:00:01",
        "localPort": rng.randrange(1, 65536),
        "remoteIpAddress": remote,
        "remotePort": rng.randrange(1, 65536),
        "protocolKeyword": rng.choice(("TCP", "UDP")),
    }


def _inspect(rng: Random) -> dict[str, Any]:
    kind = rng.choice(("CHILD_PROCESS_STARTED", "REGISTRY_KEY_VALUE_SET", "DNS_RESOLVED", "AMSI_TRIGGERED"))
    return {
        "edrRuleUuid": f"1c1c-{rng.randrange(400):04d}",
        "triggeringEvent": {"type": f"TRIGGERING_EVENT_TYPE_{kind}", "data": {"parent": "winword.exe", "depth": 2}},
    }


def _mail(rng: Random) -> dict[str, Any]:
    number = rng.getrandbits(32)
    return {
        "cloudOfficeTenantUuid": "c0-tenant-1",
        "email": {
            "uuid": f"m-{number}",
            "from": "billing@sender.example",
            "to": "desk@acme.example",
            "cc": "",
            "subject": rng.choice(("Overdue", "Faktura po splatnosti | = ", "Re: meeting")),
            "internetMessageId": f"<{number}@sender.example>",
            "senderIpAddress": "198.51.100.8",
            "origin": rng.choice(("OBJECT_ORIGIN_MS_OFFICE365", "OBJECT_ORIGIN_GOOGLE_WORKSPACE")),
            "headers": ["Received: x"],
            "containedUrls": ["http://bad.example/a"],
            "attachments": [{"path": "/inv.html", "hashSha1": "AA", "hashSha2256": "BB", "sizeBytes": "2048"}],
            "mtaSmtpDetails": {"hello": "mx", "sender": "billing@sender.example", "recipients": ["desk@acme.example"]},
        },
    }
