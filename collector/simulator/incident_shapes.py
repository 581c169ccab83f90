"""What the simulated vendor's incidents and detections look like: the fields of its API, invented values."""

from __future__ import annotations

import uuid
from random import Random
from typing import Any

from collector.simulator.accounts import Organization
from collector.simulator.vendor_time import rfc3339

STATUSES = ("new", "acknowledged", "inProgress", "monitoring", "waitingForCustomer", "closed")
RISKS = ("info", "low", "medium", "high", "severe")
RESOLUTIONS = (
    "unconfirmed",
    "confirmed",
    "falsePositive",
    "merged",
    "autoUnconfirmed",
    "autoFalsePositive",
    "securityTest",
    "acceptedRisk",
    "acceptedBehavior",
)
SOURCES = ("endpoint", "cloud", "customer", "endpointExpert", "identityAzure", "workloadAzure", "workloadAws")

_CATEGORIES = (
    "CREDENTIAL_THEFT",
    "LATERAL_MOVEMENT",
    "MALWARE",
    "PERSISTENCE",
    "PRIVILEGE_ESCALATION",
    "RECON_ACTIVITIES",
    "SCRIPTING_ABUSE",
    "ABNORMAL_PROCESS_EXECUTION",
    "CC_NETWORK_CONNECTION",
    "INJECTION",
    "SENSOR_TAMPER",
)
_CLASSES = ("abnormal_process", "credential_dump", "suspicious_script", "lateral_tool")
_PROGRAMS = ("powershell.exe", "rundll32.exe", "mimi.exe", "wscript.exe")
_USERS = ("CONTOSO\\a.virtanen", "k.laine", "NT AUTHORITY\\SYSTEM")


def new_id(rng: Random) -> str:
    """A random UUID, the same for the same source."""
    return str(uuid.UUID(int=rng.getrandbits(128), version=4))


def incident(rng: Random, number: int, organization: Organization, created_ms: int) -> dict[str, Any]:
    """An incident as it begins."""
    risk = rng.choice(RISKS)
    return {
        "incidentId": new_id(rng),
        "incidentPublicId": f"4411223-{number}",
        "organizationId": organization.id,
        "name": f"Suspicious activity of {rng.choice(_PROGRAMS)}",
        "description": "Several detections on one device | seen = together",
        "status": "new",
        "severity": {"info": "info", "low": "info", "medium": "warning"}.get(risk, "critical"),
        "riskLevel": risk,
        "riskScore": round(rng.uniform(0, 100), 2),
        "resolution": "unconfirmed",
        "categories": rng.sample(_CATEGORIES, rng.randint(1, 3)),
        "sources": ["endpoint"],
        "createdTimestamp": rfc3339(created_ms),
        "updatedTimestamp": rfc3339(created_ms),
        "initialReceivedTimestamp": rfc3339(created_ms - rng.randint(1000, 60_000)),
    }


def detection(rng: Random, incident_id: str, created_ms: int, size: int = 0) -> dict[str, Any]:
    """One detection; `size` bytes of script make it a large one."""
    program = rng.choice(_PROGRAMS)
    context: list[dict[str, Any]] = [
        {"type": "fileAccess", "value": f"C:\\Users\\a.virtanen\\{rng.randrange(999)}.txt"}
    ]
    if size:
        context.append({"type": "script", "value": "x" * size})
    return {
        "detectionId": new_id(rng),
        "incidentId": incident_id,
        "deviceId": new_id(rng),
        "detectionClass": rng.choice(_CLASSES),
        "severity": rng.choice(("info", "warning", "critical")),
        "riskLevel": rng.choice(RISKS),
        "name": f"{program} does what it should not",
        "description": f"{program} was started with unusual arguments",
        "createdTimestamp": rfc3339(created_ms),
        "initialReceivedTimestamp": rfc3339(created_ms - rng.randint(200, 9000)),
        "exePath": f"C:\\Windows\\System32\\{program}",
        "exeName": program,
        "exeHash": f"{rng.getrandbits(160):040x}",
        "cmdl": f'{program} -enc "{rng.getrandbits(64):x}" a=b|c',
        "pid": rng.randrange(4, 65_000),
        "username": rng.choice(_USERS),
        "privileges": "high",
        "activityContext": context,
    }
