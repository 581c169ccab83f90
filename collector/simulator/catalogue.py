"""Every engine of the vendor's security events with the `details` it sends.

Field names, alert types and enumerations are those of the vendor's fixtures and of its published integrations
[V-FIX, V-SEN, SEKP, EL, MCP1]; which of them come together is a guess.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

from collector.simulator.fields import fields
from collector.simulator.values import Value


@dataclass(frozen=True, slots=True)
class Shape:
    """One engine in one shape: each field of `always` stands in every event, each of `sometimes` in half of them.

    Without a device it is an event of a mailbox or a cloud account.
    """

    engine: str
    group: str
    severities: tuple[str, ...]
    actions: tuple[str, ...]
    always: Mapping[str, Value]
    sometimes: Mapping[str, Value]
    has_device: bool


def _shape(
    engines: str,
    severities: str,
    actions: str,
    alerts: str,
    always: str,
    sometimes: str = "",
    *,
    group: str = "epp",
    has_device: bool = True,
) -> list[Shape]:
    return [
        Shape(
            engine,
            group,
            tuple(severities.split()),
            tuple(actions.split()),
            {**({"alertType": tuple(alerts.split())} if alerts else {}), **fields(engine, always)},
            fields(engine, sometimes),
            has_device,
        )
        for engine in engines.split()
    ]


_DONE = "blocked quarantined deleted renamed none disinfected trashed reportedToUser aborted rebootRequired"
_SCANNED = "alertSource fileScanningType name filePath sha1"
_SCANNED_MORE = (
    "size quarantineId created modified url creator creatorSha1 container containerSha1 containerSize containerMailbox "
    "subItem accessOperation accessFlags accessorPath accessorHash scanOnClose prevalence reputation"
)
_SCANNED_V2_MORE = "object systemWide readOnly rebootRequiredToDelete availableActions recommendedAction"
_V2_ALERTS = (
    "on_access_scanner.file_infection.nothing on_access_scanner.system_infection.block "
    "on_demand_scanner.file_infection.delete"
)
_DEEP_GUARD = (
    "malware admin user modifying_settings modifying_another_process modifying_file_or_folder ransomware "
    "suspicious_behaviour riskware rare network_access exploit unwanted_application"
)
_TARGET = (
    "targetPath targetCommandLine targetSha1 targetSha256 targetPrevalence targetReputation targetFileVersion "
    "targetFileDescription targetProductName targetProductVersion targetVersionCompanyName targetCopyrightText "
    "targetSignatureSignerName parentPath parentCommandLine parentPrevalence parentReputation installerPath "
    "installerSubject errorMessage"
)
_SYSTEM = (
    "description systemDataChannel systemDataLevel systemDataOpcode systemDataRecordId systemDataProcessId "
    "systemDataComputer systemDataTimeCreated systemDataUserInfoUsername systemDataUserInfoDomain "
    "systemDataUserInfoSid"
)
_MONITOR_ALERTS = " ".join(
    f"activity_monitor.server_share_protection.{end}"
    for end in ("detected", "restored", "restored_from_quarantine", "backup_folder_error")
)
_MONITOR = (
    "affectedSharedFolders fullUsername userSid backupFolder items isQuarantineAllowed processOperations "
    "registryOperations"
)
_MAIL = "serviceType serviceId severity category userPrincipalName"
_MAIL_MORE = (
    "eventId itemType itemSender itemSubject itemDateTimeReceived created internetMessageId itemParentFolderName "
    "itemSize sendingServerIP unsafeUrlCount unsafeAttachmentCount urls attachments"
)
_EDR_MORE = "readableIncidentId categories fingerprint initialDetectionTimestamp userSam mergedTo"
_XM_MORE = (
    "recommendationDetails remediationEffort remediationEffortString remediationImpact topAssets totalAssets "
    "topFindings totalFindings"
)


def _alerts(pattern: str, kinds: str) -> str:
    return " ".join(pattern.format(kind) for kind in kinds.split())


SHAPES: tuple[Shape, ...] = (
    *_shape("fileScanning manualScanning", "warning critical", _DONE, "file spyware memory", _SCANNED, _SCANNED_MORE),
    *_shape(
        "fileScanning realtimeScanning",
        "critical",
        _DONE,
        _V2_ALERTS,
        "infectionName infectionType path",
        _SCANNED_V2_MORE,
    ),
    *_shape(
        "AMSI amsi",
        "warning",
        "blocked",
        "amsi.infection.block",
        "infectionName path",
        "appName contentName infectionType sha1",
    ),
    *_shape(
        "deepGuard",
        "warning",
        "blocked allow",
        _alerts("deep_guard.{}.block", _DEEP_GUARD),
        "filePath sha1 rarity",
        "commandLine targetPath reputation exploit",
    ),
    *_shape("deepGuard", "warning", "blocked", "file", "name filePath", "sha1 size"),
    *_shape(
        "firewall",
        "info",
        "blocked",
        "firewall.fs_rule_triggered.block",
        "localAddress localPort remoteAddress remotePort process ipProtocol ruleDirection",
        "ruleName ruleGroupName layerName",
    ),
    *_shape(
        "connectionControl",
        "info",
        "blocked",
        _alerts("connection_control.{}.block", "connection page remote_access"),
        "process ip port",
        "direction path url",
    ),
    *_shape(
        "browsingProtection reputationBasedBrowsing",
        "warning",
        "blocked",
        _alerts("online_safety.{}.block", "harmful_page illegal_page denied_page page"),
        "reason url",
        "process categories",
    ),
    *_shape(
        "webContentControl",
        "warning",
        "blocked",
        "online_safety.category_page.block",
        "reason url categories",
        "process",
    ),
    *_shape(
        "webTrafficScanning",
        "warning",
        "blocked",
        _alerts("web_traffic_scanning.{}.block", "url content_type"),
        "name url",
        "process filePath contentType infectionName",
    ),
    *_shape("webTrafficScanning", "warning", "blocked", "", "name websiteUrl", "computerName filePath"),
    *_shape(
        "applicationControl",
        "info critical",
        "blocked reported",
        _alerts(
            "application_control.{}",
            "application_start.block file_access.report installation_start.block settings.error",
        ),
        "ruleEvent ruleId ruleName",
        _TARGET,
    ),
    *_shape(
        "deviceControl",
        "warning",
        "blocked",
        _alerts("device_control.{}.blocked", "device modification execution"),
        "appliedRule deviceId",
        "deviceName devicePath initiator",
    ),
    *_shape(
        "tamperProtection",
        "warning",
        "blocked",
        _alerts("tamper_protection.{}.block", "file process registry service uninstall"),
        "actionType initiator",
        "requestType path target service command initiatorHash initiator_hash initiatorCertificateHash "
        "initiatorSignerName ipAddress",
    ),
    *_shape(
        "dataGuard",
        "warning",
        "blocked reported",
        _alerts("access_control.file.{}", "block reported"),
        "targetData filePath",
        "vaultId name initiatorHash",
    ),
    *_shape("dataGuard", "warning", "blocked", "", "targetData name", "filePath"),
    *_shape(
        "integrityChecker",
        "critical",
        "deny none",
        _alerts("integrity_protection.{}", "file_modified process_modifying_file"),
        "path",
        "action processId processPath",
    ),
    *_shape(
        "integrityChecker",
        "critical",
        "reported",
        "detection tampering tampering-action",
        "path",
        "process-id detection.description tampering tampering-action",
    ),
    *_shape(
        "systemEventsLog",
        "info warning",
        "reported",
        _alerts("system_events_log.event.{}.added", "info warning"),
        "systemDataEventId systemDataProviderName eventXml",
        _SYSTEM,
    ),
    *_shape(
        "setting",
        "info",
        "reported",
        "product.setting.changed",
        "settingName oldValue newValue",
        "isRemoteChange restoreTimestamp",
    ),
    *_shape("product", "info", "reported", "product.path.excluded", "path", "isRemoteChange"),
    *_shape(
        "xFence",
        "warning",
        "blocked",
        "xfence.blocked",
        "operation processPath",
        "processHash processTeamId parentPath targetPath",
    ),
    *_shape(
        "activityMonitor activityMonitorClientProtection",
        "critical",
        "reported",
        _MONITOR_ALERTS,
        "affectedFiles",
        _MONITOR,
    ),
    *_shape("connector", "warning error", "reported", "pmp.engine.updates.outdated", "daysFromLastUpdate"),
    *_shape(
        "edr",
        "critical",
        "created updated closed merged",
        "",
        "incidentId incidentPublicId risk resolution",
        _EDR_MORE,
        group="edr",
    ),
    *_shape(
        "emailScan collaborationProtectionEmailScan",
        "warning critical",
        "subjectModifiedAndUrlsUnlinked quarantined noneBecauseMissing",
        "",
        _MAIL,
        _MAIL_MORE,
        group="ecp",
        has_device=False,
    ),
    *_shape(
        "teamsScan oneDriveScan sharePointScan",
        "warning",
        "quarantined",
        "",
        f"{_MAIL} fileName verdict location",
        "created",
        group="ecp",
        has_device=False,
    ),
    *_shape("inboxRuleScan", "warning", "reported", "", f"{_MAIL} inboxRuleName", group="ecp", has_device=False),
    *_shape("emailBreach", "warning", "reported", "", _MAIL, group="ecp", has_device=False),
    *_shape(
        "cloudIdentityAzure cloudWorkloadAzure",
        "warning",
        "created",
        "",
        "cloudProvider cloudProviderTenantId",
        group="ecp",
        has_device=False,
    ),
    *_shape(
        "xmRecommendation",
        "info",
        "created updated",
        "",
        "recommendationId recommendationName recommendationStatus",
        _XM_MORE,
        group="xm",
        has_device=False,
    ),
)

GROUPS = frozenset({"epp", "edr", "ecp", "xm"})
# The vendor sends these as well but does not take them as a value of the `engine` parameter.
UNFILTERABLE = frozenset({"manualScanning", "amsi", "collaborationProtectionEmailScan"})
FILTERABLE = frozenset(shape.engine for shape in SHAPES) - UNFILTERABLE
