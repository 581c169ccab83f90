"""The engines of the endpoint products: their titles, their place in ECS, the meaning of their keys.

Keys are the union seen in the vendor's fixtures, its Sentinel connector and peers' tests (2021 to 2026); payloads
have two generations (v1, v2) that name the same thing differently: malware is `name` else `infectionName`, the object
`filePath` else `object` else `path`.
"""

from __future__ import annotations

from collector.sources.field_rules import (
    Rules,
    digest,
    executable,
    keys,
    lower,
    moment,
    number,
    path,
    port,
    text,
    user,
)
from collector.sources.field_rules import address as ip
from collector.sources.withsecure.rules import (
    COMMON,
    Details,
    Engine,
    direction,
    host_addresses,
    is_inbound,
    malware,
    protocol,
)

_OBJECT: Rules = (("filePath", path), ("object", path), ("path", path), ("sha1", digest("file.hash")))

_ACCESSOR: Rules = (("accessorPath", executable("process")), ("accessorHash", digest("process.hash")))
_CREATOR: Rules = (("creator", executable("process")), ("creatorSha1", digest("process.hash")))
_SCANNING: Rules = (
    *_OBJECT,
    ("name", malware),
    ("infectionName", malware),
    ("size", number("file.size")),
    ("created", moment("file.created")),
    ("modified", moment("file.mtime")),
    ("url", text("url.original")),
)
_SCANNING_KEYS = keys(
    "fileScanningType alertSource quarantineId container containerSha1 containerSize containerMailbox subItem",
    "accessorPath accessorHash creator creatorSha1 accessOperation accessFlags scanOnClose prevalence reputation",
    "infectionType systemWide readOnly rebootRequiredToDelete availableActions recommendedAction",
)


def _scanning(details: Details) -> Rules:
    # The program that touched the file, else the one that made it; never the path of one with the hash of the other.
    accessed = "accessorPath" in details or "accessorHash" in details
    return (*COMMON, *_SCANNING, *(_ACCESSOR if accessed else _CREATOR))


def _scanner(title: str) -> Engine:
    return Engine(title, ("malware", "file"), ("info",), _scanning, _SCANNING_KEYS)


def _sides(local: str, remote: str) -> Rules:
    return (
        ("localAddress", ip(f"{local}.ip")),
        ("localPort", port(f"{local}.port")),
        ("remoteAddress", ip(f"{remote}.ip")),
        ("remotePort", port(f"{remote}.port")),
    )


_FIREWALL: Rules = (
    *COMMON,
    ("process", executable("process")),
    ("ipProtocol", protocol),
    ("ruleName", text("rule.name")),
    ("ruleGroupName", text("rule.ruleset")),
    ("ruleDirection", direction),
)
_FIREWALL_IN: Rules = (*_FIREWALL, *_sides("destination", "source"))
_FIREWALL_OUT: Rules = (*_FIREWALL, *_sides("source", "destination"))


def _firewall(details: Details) -> Rules:
    return _FIREWALL_IN if is_inbound(details.get("ruleDirection")) else _FIREWALL_OUT


_CONNECTION: Rules = (
    *COMMON,
    ("path", executable("process")),
    ("process", executable("process")),
    ("url", text("url.original")),
    ("direction", direction),
)
# Whose port an inbound connection's is, no source tells: it stays under the vendor's name.
_CONNECTION_IN: Rules = (*_CONNECTION, ("ip", ip("source.ip")))
_CONNECTION_OUT: Rules = (*_CONNECTION, ("ip", ip("destination.ip")), ("port", port("destination.port")))


def _connection(details: Details) -> Rules:
    return _CONNECTION_IN if is_inbound(details.get("direction")) else _CONNECTION_OUT


_BROWSING = Engine(
    "Browsing Protection event",
    ("network", "web"),
    ("access",),
    (*COMMON, ("url", text("url.original")), ("reason", text("event.reason")), ("process", executable("process"))),
    keys("categories"),
    verdict=True,
)


def _controlled(prefix: str) -> Rules:
    return (
        ("targetSha1", digest(f"{prefix}.hash")),
        ("targetSha256", digest(f"{prefix}.hash")),
        ("targetFileVersion", text(f"{prefix}.pe.file_version")),
        ("targetFileDescription", text(f"{prefix}.pe.description")),
        ("targetProductName", text(f"{prefix}.pe.product")),
        ("targetVersionCompanyName", text(f"{prefix}.pe.company")),
        ("targetSignatureSignerName", text(f"{prefix}.code_signature.subject_name")),
    )


_RULE: Rules = (("ruleId", text("rule.id")), ("ruleName", text("rule.name")), ("errorMessage", text("error.message")))
_STARTED: Rules = (
    *COMMON,
    *_RULE,
    *_controlled("process"),
    ("targetPath", executable("process")),
    ("targetCommandLine", text("process.command_line")),
    ("parentPath", executable("process.parent")),
    ("parentCommandLine", text("process.parent.command_line")),
)
_ACCESSED: Rules = (
    *COMMON,
    *_RULE,
    *_controlled("file"),
    ("targetPath", path),
    ("parentPath", executable("process")),
    ("parentCommandLine", text("process.command_line")),
)


def _application(details: Details) -> Rules:
    # In `file_access` the target is the file and the "parent" the program that reached for it.
    return _ACCESSED if details.get("ruleEvent") == "file_access" else _STARTED


_TAMPER: Rules = (
    *COMMON,
    ("initiator", executable("process")),
    ("initiatorHash", digest("process.hash")),
    ("initiator_hash", digest("process.hash")),
    ("initiatorSignerName", text("process.code_signature.subject_name")),
    ("initiator_signer_name", text("process.code_signature.subject_name")),
    ("command", text("process.command_line")),
    ("ipAddress", host_addresses),
)
_TAMPER_FILE: Rules = (*_TAMPER, ("path", path))
_TAMPER_REGISTRY: Rules = (*_TAMPER, ("path", text("registry.path")))


def _tamper(details: Details) -> Rules:
    return _TAMPER_REGISTRY if details.get("actionType") == "registry" else _TAMPER_FILE


_SHARES = Engine(
    "Server Share Protection event",
    ("intrusion_detection", "file"),
    ("change",),
    (*COMMON, ("fullUsername", user), ("userSid", text("user.id"))),
    keys(
        "affectedFiles affectedSharedFolders backupFolder items isQuarantineAllowed processOperations",
        "registryOperations",
    ),
)
_SETTINGS = Engine(
    "Setting event",
    ("configuration",),
    ("change",),
    (*COMMON, ("path", path)),
    keys("settingName oldValue newValue isRemoteChange restoreTimestamp"),
    kind="event",
)

ENDPOINT_ENGINES: dict[str, Engine] = {
    "fileScanning": _scanner("File Scanning event"),
    "manualScanning": _scanner("Manual Scanning event"),
    "realtimeScanning": _scanner("Real - time Scanning event"),
    "AMSI": Engine(
        "Antimalware Scan Interface (AMSI) event",
        ("malware", "file"),
        ("info",),
        (*COMMON, *_OBJECT, ("infectionName", malware)),
        keys("appName contentName infectionType"),
    ),
    "deepGuard": Engine(
        "DeepGuard event",
        ("intrusion_detection", "process"),
        ("info",),
        (
            *COMMON,
            *_OBJECT,
            ("filePath", executable("process")),
            ("commandLine", text("process.command_line")),
            ("name", malware),
            ("size", number("file.size")),
        ),
        keys("rarity reputation prevalence targetPath exploit"),
        verdict=True,
    ),
    "firewall": Engine(
        "Firewall event",
        ("network",),
        ("connection",),
        _firewall,
        keys("layerName localAddress localPort remoteAddress remotePort"),
        verdict=True,
    ),
    "connectionControl": Engine(
        "Network connection event", ("network",), ("connection",), _connection, keys("ip port"), verdict=True
    ),
    "browsingProtection": _BROWSING,
    "reputationBasedBrowsing": _BROWSING,
    "webContentControl": Engine(
        "Web Content Control event", _BROWSING.category, _BROWSING.types, _BROWSING.rules, _BROWSING.known, verdict=True
    ),
    "webTrafficScanning": Engine(
        "Web Traffic Scanning event",
        ("network", "web", "malware"),
        ("info",),
        (
            *COMMON,
            ("url", text("url.original")),
            ("websiteUrl", text("url.original")),
            ("name", text("url.original")),
            ("infectionName", malware),
            ("process", executable("process")),
            ("filePath", executable("process")),
            ("contentType", text("http.response.mime_type")),
            ("computerName", text("host.hostname")),
        ),
        keys("reason categories"),
    ),
    "applicationControl": Engine(
        "Application Control event",
        ("intrusion_detection", "process"),
        ("info",),
        _application,
        keys(
            "ruleEvent targetPath targetCommandLine targetPrevalence targetReputation targetProductVersion",
            "targetCopyrightText parentPath parentCommandLine parentPrevalence parentReputation installerPath",
            "installerSubject",
        ),
        verdict=True,
    ),
    "deviceControl": Engine(
        "Device Control event",
        ("intrusion_detection", "host"),
        ("info",),
        # deviceId is the USB device, not the endpoint.
        (*COMMON, ("appliedRule", text("rule.name")), ("initiator", executable("process"))),
        keys("deviceId deviceName devicePath"),
        verdict=True,
    ),
    "tamperProtection": Engine(
        "Tamper Protection event",
        ("intrusion_detection",),
        ("info",),
        _tamper,
        keys(
            "actionType requestType path target service initiatorCertificateHash initiator_certificate_hash",
        ),
        verdict=True,
    ),
    "dataGuard": Engine(
        "DataGuard event",
        ("intrusion_detection", "file"),
        ("access",),
        (
            *COMMON,
            ("targetData", path),
            ("filePath", executable("process")),
            ("initiatorHash", digest("process.hash")),
        ),
        keys("vaultId name"),
        verdict=True,
    ),
    "integrityChecker": Engine(
        "Integrity Checker event",
        ("file",),
        ("change",),
        (
            *COMMON,
            ("path", path),
            ("action", text("event.action")),
            ("processId", number("process.pid")),
            ("process-id", number("process.pid")),
            ("processPath", executable("process")),
            ("detection.description", text("event.reason")),
        ),
    ),
    "systemEventsLog": Engine(
        "System event",
        ("host",),
        ("info",),
        (
            ("systemDataEventId", text("event.code")),
            *COMMON,
            ("description", text("message")),
            ("systemDataComputer", text("host.hostname")),
            ("systemDataProcessId", number("process.pid")),
            ("systemDataLevel", lower("log.level")),
        ),
        keys(
            "systemDataProviderName systemDataChannel systemDataOpcode systemDataRecordId systemDataTimeCreated",
            "systemDataUserInfo eventXml",
        ),
        kind="event",
    ),
    "setting": _SETTINGS,
    "product": Engine("Product event", _SETTINGS.category, _SETTINGS.types, _SETTINGS.rules, _SETTINGS.known, "event"),
    "xFence": Engine(
        "XFENCE event",
        ("intrusion_detection", "file"),
        ("access",),
        (
            *COMMON,
            ("processPath", executable("process")),
            ("processHash", digest("process.hash")),
            ("processTeamId", text("process.code_signature.team_id")),
            ("parentPath", executable("process.parent")),
            ("targetPath", path),
        ),
        keys("operation"),
        verdict=True,
    ),
    "activityMonitor": _SHARES,
    "activityMonitorClientProtection": _SHARES,
    "connector": Engine(
        "Elements Connector event", ("configuration",), ("info",), COMMON, keys("daysFromLastUpdate"), kind="event"
    ),
}
