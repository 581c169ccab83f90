"""The dictionary: which keys an extension may hold, of what type and how long.

From the ArcSight extension dictionary (document version 27), producer keys alone: those it marks "consumer" are for
the receiver to set. Lengths are in characters of the value before escaping. A key that is not in here can't be used in
rules and reports of the receivers, so that tables are refused which name one. Beside it stand a few keys that a
vendor's own export has beyond the dictionary: receivers of that export know them, the others keep them as they are.
"""

from __future__ import annotations

from collections.abc import Mapping
from enum import Enum
from types import MappingProxyType


class Kind(Enum):
    """What a key's value must be. `ADDRESS` is IPv4 alone, `TIME` is milliseconds since the epoch."""

    TEXT = "text"
    INTEGER = "integer"
    PORT = "port"
    DIRECTION = "direction"
    ADDRESS = "IPv4 address"
    ADDRESS6 = "IPv6 address"
    TIME = "time"


MAX_LABEL = 1023
MAX_FLEX_LABEL = 128

# The seven fields of the header that have a length.
MAX_VENDOR = MAX_PRODUCT = 63
MAX_VERSION = 31
MAX_SIGNATURE = 1023
MAX_NAME = 512

# Of kind TEXT, by length.
_TEXTS = {
    31: "app proto",
    40: "externalId",
    63: "act outcome",
    100: "dvchost",
    255: "deviceExternalId deviceNtDomain deviceDnsDomain dntdom sntdom fileHash",
    1023: """cat deviceFacility deviceProcessName dhost shost dproc sproc duid suid duser suser dpriv spriv
        fileId filePath fname fileType filePermission flexString1 flexString2 msg reason request
        requestClientApplication requestMethod requestCookies sourceServiceName destinationServiceName""",
    2048: "requestContext",
    4000: "cs1 cs2 cs3 cs4 cs5 cs6",
}
# What ESET's own syslog export has beyond the dictionary: two more custom strings, the process of a threat event
# (spelt so), the device's system. `cs9` goes on where these end, for what other events have in the five they take.
_BEYOND_TEXTS = {
    1023: "sprod ESETProtectDeviceOsName",
    4000: "cs7 cs8 cs9",
}
_OTHERS = {
    Kind.INTEGER: "cn1 cn2 cn3 cnt dpid spid dvcpid fsize in out type",
    Kind.PORT: "dpt spt",
    Kind.DIRECTION: "deviceDirection",
    Kind.ADDRESS: "dst src dvc",
    Kind.ADDRESS6: "c6a1 c6a2 c6a3 c6a4",
    Kind.TIME: "rt start end deviceCustomDate1 deviceCustomDate2 fileCreateTime fileModificationTime",
}
_LABELLED = """cs1 cs2 cs3 cs4 cs5 cs6 cs7 cs8 cs9 cn1 cn2 cn3 c6a1 c6a2 c6a3 c6a4 deviceCustomDate1
    deviceCustomDate2"""
_ALL_TEXTS = (*_TEXTS.items(), *_BEYOND_TEXTS.items())

KEYS: Mapping[str, Kind] = MappingProxyType(
    {key: Kind.TEXT for _, keys in _ALL_TEXTS for key in keys.split()}
    | {key: kind for kind, keys in _OTHERS.items() for key in keys.split()}
)
LENGTHS: Mapping[str, int] = MappingProxyType({key: most for most, keys in _ALL_TEXTS for key in keys.split()})
LABELS: Mapping[str, int] = MappingProxyType(
    dict.fromkeys(_LABELLED.split(), MAX_LABEL) | dict.fromkeys(("flexString1", "flexString2"), MAX_FLEX_LABEL)
)
"""The keys that mean nothing without a label, and how long that may be."""
