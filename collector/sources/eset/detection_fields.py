"""What is known of the keys of a detection: both generations in one table, since no key means two things in them.

v1 has `context` and `networkCommunication`; v2 has the same one level up and as `networkTraffic`, with the device's
name, the process's command line, mails and files beside them.
"""

from __future__ import annotations

from dataclasses import dataclass
from functools import lru_cache

from collector.sources.eset import codes, object_rules
from collector.sources.eset.reading import KEPT, Code, Each, Table
from collector.sources.field_rules import Apply, address, digest, executable, keys, listed, number, path, text, user

# Read elsewhere: what the envelope has.
READ = ("uuid", "occurTime", "category", "severityLevel", "displayName")


@dataclass(frozen=True, slots=True)
class Category:
    """A category: its title, its place in ECS (`event.category`), the field the detection's name gets."""

    title: str
    ecs: str
    named: str = ""


CATEGORIES: dict[str, Category] = {
    "ANTIVIRUS": Category("Antivirus detection", "malware", "threat.software.name"),
    "FIREWALL_RULE": Category("Firewall detection", "intrusion_detection", "rule.name"),
    "NETWORK_INTRUSION": Category("Network intrusion", "intrusion_detection", "rule.name"),
    "HIPS": Category("HIPS detection", "intrusion_detection", "rule.name"),
    "HIPS_RULE": Category("HIPS rule", "intrusion_detection", "rule.name"),
    "CORRELATION_RULE": Category("EDR rule", "intrusion_detection", "rule.name"),
    "EDR_RULE": Category("EDR rule", "intrusion_detection", "rule.name"),
    "SUSPICIOUS_ACTIVITY": Category("Suspicious activity", "intrusion_detection", "rule.name"),
    "WEB_ACCESS": Category("Filtered website", "web"),
    "VULNERABILITY": Category("Vulnerability", "vulnerability"),
    "APPLICATION_PATCH": Category("Application patch", "package"),
}
UNKNOWN_CATEGORY = Category("ESET detection", "intrusion_detection")

_RESPONSE: dict[str, Code | None] = {
    **dict.fromkeys(keys("description displayName protectionName deviceRestartRequired"), KEPT),
    **dict.fromkeys(keys("emailReference fileReference"), KEPT),
    "actionType": codes.OBJECT_ACTION,
}
_FILES: dict[str, Code | None] = {
    **dict.fromkeys(
        keys("path reference hashSha1 hashSha2256 sizeBytes isReadOnly lastEditor", "containedFiles storages"), KEPT
    ),
    "origin": codes.OBJECT_ORIGIN,
}
_STORAGE = keys(
    "uuid displayName archiveReference emailReference cloudDriveUserUuid msSharepointRootSiteUuid msSharepointSiteUuid",
    "msTeamsTeamUuid",
)
_FILE: Table = {
    "path": path,
    "hashSha2256": digest("file.hash"),  # as the vendor spells it
    "hashSha1": digest("file.hash"),
    "sizeBytes": number("file.size"),
    "reference": KEPT,
    "isReadOnly": KEPT,
    "origin": codes.OBJECT_ORIGIN,
    "lastEditor": {"userUuid": KEPT, "userName": KEPT, "email": KEPT},
    "containedFiles": Each(_FILES),  # nested however deep: kept as it is
    "storages": Each(dict.fromkeys(_STORAGE, KEPT)),
}
_EMAIL: Table = {
    "uuid": text("email.local_id"),
    "from": object_rules.mailboxes("email.from.address"),
    "to": object_rules.mailboxes("email.to.address"),
    "cc": object_rules.mailboxes("email.cc.address"),
    "subject": text("email.subject"),
    "internetMessageId": text("email.message_id"),
    "senderIpAddress": address("source.ip"),
    "containedUrls": object_rules.first_url,
    "attachments": Each(_FILES, object_rules.attachments),
    "bodyParts": Each(_FILES),
    "reference": KEPT,
    "headers": KEPT,
    "isReadOnly": KEPT,
    "mailboxUuid": KEPT,
    "mailboxUserUuid": KEPT,
    "origin": codes.OBJECT_ORIGIN,
    "mtaSmtpDetails": {
        "hello": KEPT,
        "sender": text("email.sender.address"),
        "senderIpAddress": address("source.ip"),
        "recipients": KEPT,
    },
}
_PROCESS: Table = {
    "path": executable("process"),
    "commandLine": text("process.command_line"),
    "uuid": text("process.entity_id"),
}
_OF_FILE: Table = {
    "objectName": object_rules.object_name,
    "objectUrl": object_rules.object_url,
    "objectHashSha1": digest("file.hash"),
    "objectSizeBytes": number("file.size"),
}
_OF_OTHER: Table = {
    "objectName": KEPT,
    "objectUrl": object_rules.web_url,
    "objectHashSha1": KEPT,
    "objectSizeBytes": KEPT,
}


def _network(local: str, remote: str) -> Table:
    return {
        "direction": codes.DIRECTION,
        "localIpAddress": address(f"{local}.ip"),
        "localMacAddress": object_rules.hardware_address(f"{local}.mac"),
        "localPort": object_rules.reached_port(f"{local}.port"),
        "remoteIpAddress": address(f"{remote}.ip"),
        "remoteMacAddress": object_rules.hardware_address(f"{remote}.mac"),
        "remotePort": object_rules.reached_port(f"{remote}.port"),
        "protocolName": object_rules.transport,
        "protocolKeyword": object_rules.transport,
    }


# `local` is the device, whoever began: the side that began is the source.
_NETWORK = {True: _network("destination", "source"), False: _network("source", "destination")}
_SCORE: Apply = number("event.risk_score", most=100)


@lru_cache(maxsize=4)
def detection_table(*, is_file: bool, inbound: bool) -> Table:
    """The keys of a detection whose object is a file or not, whose connection the other side began or not."""
    return {
        "device": {"uuid": text("host.id"), "displayName": text("host.name")},
        "context": {
            "circumstances": text("message"),
            "deviceUuid": text("host.id"),
            "process": _PROCESS,
            "userName": user,
        },
        "circumstances": text("message"),
        "process": _PROCESS,
        "userName": user,
        "edrRuleUuid": text("rule.id"),
        "severityScore": _SCORE,
        "cloudOfficeTenantUuid": text("cloud.account.id"),
        "file": _FILE,
        **(_OF_FILE if is_file else _OF_OTHER),
        "objectTypeName": KEPT,
        "typeName": KEPT,
        "email": _EMAIL,
        "networkCommunication": _NETWORK[inbound],
        "networkTraffic": _NETWORK[inbound],
        "responses": Each(_RESPONSE, object_rules.responses),
        "triggeringEvent": {"type": codes.TRIGGERING_EVENT, "data": KEPT},
        "resolved": KEPT,
        "note": KEPT,
        "scanUuid": KEPT,
        "detectionOccurenceUuids": KEPT,
        "groupSize": KEPT,
        "resolvedCount": KEPT,
    }


DEVICE_EXTRA: Table = {
    "uuid": text("host.id"),
    "displayName": text("host.name"),
    "primaryLocalIpAddress": listed("host.ip"),
    "operatingSystem": object_rules.operating_system,
}
"""Of the device, as device management knows it, asked for when the detection was read."""
