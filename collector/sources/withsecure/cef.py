"""WithSecure's events as CEF: the names its own Sentinel connector has, so that its users' searches go on working.

Signature IDs are `<engine>.<action>`, names the engines' titles, `cs1` the infected object and `cs2` the malware where
the vendor's connector tells them; an incident is `incident.<status>`, a detection of one `detection.<class>`. Tenant,
organization, rule and details stand behind them.
"""

from __future__ import annotations

from collector.formats.cef import CefTable, Made, Pair, Values
from collector.sources.values import number
from collector.sources.withsecure.engines import ENGINES
from collector.sources.withsecure.normalize_incidents import DETECTION, INCIDENT

_INFECTED = (Pair("cs1", "file.path", label="Infected object"),)
_SUPPRESSED = "withsecure.details.throttledCount"


def _count(values: Values) -> Made | None:
    """This event and those like it that the device suppressed."""
    suppressed = number(values.get(_SUPPRESSED))
    return (suppressed + 1, (_SUPPRESSED,)) if suppressed is not None and suppressed > 0 else None


def _started(values: Values) -> Made | None:
    """The program that was started, where another one started it."""
    program = values.get("process.executable")
    return (program, ("process.executable",)) if program and values.get("process.parent.executable") else None


_PROGRAM_HASH = Pair("fileHash", "process.hash.sha256", "process.hash.sha1", "process.hash.md5")

CEF_TABLE = CefTable(
    names={name: known.engine.title for name, known in ENGINES.items()}
    | {INCIDENT: "Incident", DETECTION: "Detection of an incident"},
    pairs=(
        # Where `event.code` is another number of the event's, the vendor's type of alert stays in the details.
        Pair("cat", "withsecure.details.alertType", "event.code", "event.category"),
        Pair("cnt", make=_count),
        Pair("cs2", "threat.software.name", label="Malware"),
    ),
    variants={
        "fileScanning": _INFECTED,
        "manualScanning": _INFECTED,
        "realtimeScanning": _INFECTED,
        "deepGuard": _INFECTED,
        "AMSI": _INFECTED,
        "webTrafficScanning": (
            Pair("cs1", "url.original", label="Infected object"),
            Pair("cs2", "process.name", label="Malware"),  # the vendor's own choice
        ),
        INCIDENT: (
            Pair("cs1", "withsecure.incident.publicId", label="Incident"),
            Pair("cs2", "withsecure.categories", label="Categories"),
            Pair("reason", "withsecure.resolution"),
        ),
        DETECTION: (
            # The vendor's own choice where a device has no name.
            Pair("shost", "host.name", "host.id"),
            Pair("cs1", "withsecure.incident.id", label="Incident ID"),
            Pair("cs2", "withsecure.incident.name", label="Incident"),
            _PROGRAM_HASH,
        ),
        "applicationControl": (
            Pair("sproc", "process.parent.executable", "process.executable", "process.name"),
            Pair("dproc", make=_started),
        ),
    },
)
