"""What stands in which field of an event's `details`: one table by field name for all engines.

All values are strings, also numbers, booleans and epochs, as in the vendor's fixtures. Where engines differ in one
field, the name with the engine before it (`dataGuard.name`) comes first.
"""

from __future__ import annotations

from collections.abc import Mapping

from collector.simulator import values as v
from collector.simulator.values import Value

_SHA1 = v.hexadecimal(40)
_SHA256 = v.hexadecimal(64)
_EPOCH_S = v.number(1_760_000_000, 1_772_000_000)
_EPOCH_MS = v.number(1_760_000_000_000, 1_772_000_000_000)
_COUNT = v.number(0, 40)
_BOOLEAN: Value = ("true", "false")
_MALWARE: Value = ("Trojan:W32/Synthetic.A", "Backdoor:PHP/Synthetic.B", "EICAR_Test_File", "Testfile:JS/Synthetic.D")
_MAILBOX: Value = ("a.virtanen@contoso.example", "k.laine@contoso.example", "payroll@contoso.example")
_COMPANY: Value = ("Fabrikam Oy", "Litware, Inc.", "WithSecure™ Oyj")

_BY_KIND: tuple[tuple[Value, str], ...] = (
    (
        v.path,
        (
            "filePath path object creator container subItem accessorPath contentName targetPath parentPath "
            "installerPath initiator target targetData devicePath backupFolder"
        ),
    ),
    (v.unix_path, "processPath xFence.parentPath xFence.targetPath integrityChecker.path"),
    (v.command_line, "commandLine targetCommandLine parentCommandLine"),
    (_SHA1, "sha1 creatorSha1 containerSha1 accessorHash targetSha1 initiatorHash initiator_hash fingerprint"),
    (_SHA256, "targetSha256 initiatorCertificateHash processHash"),
    (_EPOCH_S, "created modified systemDataTimeCreated"),
    (
        _EPOCH_MS,
        (
            "restoreTimestamp initialDetectionTimestamp itemDateTimeReceived emailScan.created teamsScan.created "
            "oneDriveScan.created sharePointScan.created"
        ),
    ),
    (
        _COUNT,
        (
            "size containerSize prevalence reputation accessFlags targetPrevalence targetReputation parentPrevalence "
            "parentReputation vaultId processId process-id systemDataRecordId systemDataProcessId items "
            "processOperations registryOperations daysFromLastUpdate readableIncidentId itemSize "
            "unsafeUrlCount unsafeAttachmentCount recommendationId remediationEffort totalAssets totalFindings"
        ),
    ),
    (
        _BOOLEAN,
        ("scanOnClose systemWide readOnly rebootRequiredToDelete oldValue newValue isRemoteChange isQuarantineAllowed"),
    ),
    (_MALWARE, "name infectionName"),
    (_MAILBOX, "containerMailbox userPrincipalName"),
    (_COMPANY, "targetFileDescription targetVersionCompanyName targetSignatureSignerName installerSubject"),
    (v.url, "url"),
    (v.identity, "ruleId incidentId serviceId eventId cloudProviderTenantId"),
    (v.address, "localAddress remoteAddress ip sendingServerIP"),
    (v.number(1, 65536), "localPort remotePort port"),
    (
        v.defanged_url,
        (
            "websiteUrl webTrafficScanning.url webTrafficScanning.name browsingProtection.url "
            "reputationBasedBrowsing.url webContentControl.url"
        ),
    ),
)

_TEXTS: Mapping[str, Value] = {
    "alertSource": ("sp.evt.oas.alert", "sp.evt.ods.alert"),
    "fileScanningType": ("fileInfection", "systemInfection", "spyware"),
    "infectionType": ("virus", "spyware", "riskware"),
    "quarantineId": ("77120045", "null", "-1"),
    "accessOperation": ("open-read", "open-execute"),
    "availableActions": "block,disinfect,delete,rename,quarantine",
    "recommendedAction": "block",
    "appName": ("JScript", "PowerShell", "VBA"),
    "rarity": ("unknown", "rare", "common"),
    "deepGuard.reputation": ("unknown", "bad"),
    "deepGuard.name": "Rarity: 2, Reputation: 0",
    "exploit": "heap_spray",
    "process": ("C:\\Windows\\explorer.exe", "chrome.exe", "\\device\\harddiskvolume3\\tools\\curl.exe"),
    "ipProtocol": ("TCP(6)", "IPv4"),
    "ruleDirection": ("inbound", "outbound", "forward"),
    "ruleName": ("Block lab egress", "Block remote tools"),
    "ruleGroupName": "WithSecure Firewall",
    "layerName": "ALE Connect v4 Layer",
    "direction": ("in", "out"),
    "reason": ("BP_Harmful", "BP_Suspicious", "BP_Illegal", "WF_Denied"),
    "webContentControl.reason": "WF_Category",
    "categories": ("gambling,alcoholAndTobacco", "social_networking"),
    "edr.categories": ("CREDENTIAL_THEFT,LATERAL_MOVEMENT", "MALWARE"),
    "contentType": "application/x-msdos-program",
    "computerName": "CN-LT-0417",
    "ruleEvent": ("application_start", "file_access", "installation_start", "settings"),
    "targetFileVersion": ("-1.-1.-1.-1", "10.0.1"),
    "targetProductName": ("Remote Tools™", "WithSecure™ Server"),
    "targetProductVersion": ("-1.-1.-1.-1", "10.0.1"),
    "targetCopyrightText": "© Fabrikam | all rights = reserved",
    "errorMessage": "rule could not be read",
    "appliedRule": "USB Mass Storage Devices",
    "deviceId": "USB\\VID_0000&PID_0001\\SYNTH0001",
    "deviceName": "Synthetic USB Disk",
    "actionType": ("file", "process", "registry", "service", "uninstall"),
    "requestType": ("reg_delete_key", "termainate_process", "delete_file"),
    "service": "fshoster",
    "command": "net stop fshoster",
    "initiatorSignerName": "Microsoft Windows",
    "ipAddress": v.host_addresses,
    "dataGuard.name": "Payroll",
    "action": "deny",
    "detection.description": "a protected file was changed",
    "tampering": "file",
    "tampering-action": "deny",
    "description": "An account failed to log on.\r\n\r\nSubject:\r\n\tAccount Name:\t-",
    "systemDataEventId": ("4625", "1102", "7045"),
    "systemDataProviderName": "Microsoft-Windows-Security-Auditing",
    "systemDataChannel": "Security",
    "systemDataLevel": "Information",
    "systemDataOpcode": "Info",
    "systemDataComputer": "CN-FS-01.contoso.example",
    "systemDataUserInfoUsername": "svc-backup",
    "systemDataUserInfoDomain": "CONTOSO",
    "systemDataUserInfoSid": "S-1-5-18",
    "eventXml": v.event_xml,
    "settingName": "windows.realtime_scanning.scanning_enabled",
    "operation": ("read", "write", "create", "execute", "mount"),
    "processTeamId": "ABCDE12345",
    "affectedFiles": v.file_list,
    "affectedSharedFolders": "\\\\CN-FS-01\\projects",
    "fullUsername": "CONTOSO\\a.virtanen",
    "userSid": "S-1-5-21-1-2-3-1104",
    "incidentPublicId": v.number(1, 9_999_999),
    "risk": ("LOW", "MEDIUM", "HIGH", "SEVERE"),
    "resolution": ("UNCONFIRMED", "MERGED"),
    "userSam": "CONTOSO\\a.virtanen",
    "mergedTo": "4411223-12",
    "serviceType": ("o365-exchange", "o365-teams", "o365-onedrive"),
    "category": ("harmfulContent", "suspiciousContent", "disallowedContent"),
    "inboxRuleScan.category": "suspiciousInboxRule",
    "emailBreach.category": "breachedDomainAccount",
    "severity": ("medium", "high"),
    "itemType": "EmailMessage",
    "itemSender": "billing@sender.example",
    "itemSubject": ("Overdue; please = pay | now", "Lasku erääntynyt: maksa heti", "Re: meeting\tnotes"),
    "internetMessageId": "<20260302091450.synthetic@sender.example>",
    "itemParentFolderName": "Inbox",
    "urls": v.unsafe_urls,
    "attachments": v.attachments,
    "fileName": "macro.xlsm",
    "verdict": "Unsafe",
    "location": "https://contoso.example/personal/a_virtanen/macro.xlsm",
    "inboxRuleName": "fwd all",
    "cloudProvider": ("AWS", "AZURE"),
    "recommendationName": "Disable SMBv1",
    "recommendationDetails": "SMBv1 is <b>on</b>",
    "recommendationStatus": ("open", "closed", "acceptedRisk"),
    "remediationEffortString": "low",
    "remediationImpact": "high",
    "topAssets": '["CN-FS-01"]',
    "topFindings": "[]",
}

_FIELDS: Mapping[str, Value] = {**{name: kind for kind, names in _BY_KIND for name in names.split()}, **_TEXTS}


def fields(engine: str, names: str) -> dict[str, Value]:
    """The values of these fields (names with spaces between) as this engine sends them.

    Raises:
        KeyError: there is no such field.
    """
    return {name: _FIELDS.get(f"{engine}.{name}") or _FIELDS[name] for name in names.split()}
