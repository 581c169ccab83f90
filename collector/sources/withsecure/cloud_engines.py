"""The engines of EDR, of collaboration protection, of the cloud and of exposure management.

Their events mostly have no device: who is concerned stands in `target`, a mailbox address, or only in the details.
"""

from __future__ import annotations

from collector.sources.field_rules import (
    Rules,
    address,
    digest,
    keys,
    listed,
    lower,
    moment,
    path,
    text,
    user,
)
from collector.sources.withsecure.rules import (
    COMMON,
    Engine,
    attachments,
    first_url,
)

_COLLABORATION: Rules = (
    *COMMON,
    ("serviceType", text("cloud.service.name")),
    ("itemSender", listed("email.from.address")),
    ("itemSubject", text("email.subject")),
    ("internetMessageId", text("email.message_id")),
    ("itemDateTimeReceived", moment("email.delivery_timestamp")),
    ("sendingServerIP", address("source.ip")),
    ("urls", first_url),
    ("attachments", attachments),
    ("fileName", text("file.name")),
    ("location", text("url.original")),
)
_COLLABORATION_KEYS = keys(
    "serviceId category severity eventId itemType created itemParentFolderName itemSize unsafeUrlCount",
    "unsafeAttachmentCount verdict inboxRuleName",
)


def _collaboration(title: str, *category: str) -> Engine:
    return Engine(title, category, ("info",), _COLLABORATION, _COLLABORATION_KEYS)


def _cloud(title: str, category: str) -> Engine:
    rules: Rules = (
        *COMMON,
        ("cloudProvider", lower("cloud.provider")),
        ("cloudProviderTenantId", text("cloud.account.id")),
    )
    return Engine(title, (category,), ("info",), rules)


CLOUD_ENGINES: dict[str, Engine] = {
    "edr": Engine(
        "Endpoint Detection and Response (EDR) event",
        ("intrusion_detection",),
        ("info",),
        (*COMMON, ("userSam", user), ("initialDetectionTimestamp", moment("event.start"))),
        keys("incidentId incidentPublicId readableIncidentId risk categories resolution fingerprint mergedTo"),
    ),
    "emailScan": _collaboration("Email scanning event", "email", "malware"),
    "collaborationProtectionEmailScan": _collaboration("Email scanning event", "email", "malware"),
    "teamsScan": _collaboration("Microsoft Teams scanning event", "malware", "file"),
    "oneDriveScan": _collaboration("Microsoft OneDrive scanning event", "malware", "file"),
    "sharePointScan": _collaboration("Microsoft SharePoint scanning event", "malware", "file"),
    "inboxRuleScan": _collaboration("Inbox rule scanning event", "email"),
    "emailBreach": _collaboration("Email breach event", "iam"),
    "cloudIdentityAzure": _cloud("Cloud identity event", "iam"),
    "cloudWorkloadAzure": _cloud("Cloud workload event", "host"),
    "cloud": _cloud("Cloud event", "host"),
    "xmRecommendation": Engine(
        "Exposure Management recommendation event",
        ("vulnerability",),
        ("info",),
        (
            *COMMON,
            ("recommendationId", text("rule.id")),
            ("recommendationName", text("rule.name")),
            ("recommendationDetails", text("rule.description")),
        ),
        keys(
            "recommendationStatus remediationEffort remediationEffortString remediationImpact topAssets totalAssets",
            "topFindings totalFindings",
        ),
        kind="event",
    ),
}

# Of an engine no table knows only those keys are read whose meaning is the same with all that are known.
UNKNOWN_RULES: Rules = (
    *COMMON,
    ("filePath", path),
    ("sha1", digest("file.hash")),
    ("url", text("url.original")),
    ("infectionName", text("threat.software.name")),
    ("commandLine", text("process.command_line")),
    ("ruleName", text("rule.name")),
)
