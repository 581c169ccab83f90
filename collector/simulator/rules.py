"""What the vendor refuses, how it says so, and which of its rules a client broke."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping
from dataclasses import dataclass, field

_KEPT = 10_000


class RuleBook:
    """Counts refusals and broken rules.

    A refusal that a well-behaved client may meet (wrong password, a licence that lacks, a token the vendor took back,
    a fault) is no broken rule. `violations` are "rule: detail" in order of occurrence, the first ten thousand of
    them; `broken` counts all by rule; `refused` counts every refusal by HTTP status with its reason.
    """

    def __init__(self) -> None:
        self.violations: list[str] = []
        self.broken: Counter[str] = Counter()
        self.refused: Counter[str] = Counter()

    def broke(self, rule: str, detail: str = "") -> None:
        """A client did what the vendor's documentation forbids."""
        self.broken[rule] += 1
        if len(self.violations) < _KEPT:
            self.violations.append(f"{rule}: {detail}" if detail else rule)


@dataclass(slots=True)
class Refused(Exception):
    """The vendor answers this request with an error.

    `code` is the HTTP status times 1000 plus a number; `details` go into the envelope as they are. `rule` names the
    broken rule, empty where the client did nothing wrong.
    """

    status: int
    message: str
    rule: str = ""
    code: int = 0
    details: Mapping[str, str] = field(default_factory=dict)
    headers: Mapping[str, str] = field(default_factory=dict)

    def envelope(self, transaction: str) -> dict[str, object]:
        """The vendor's error body."""
        body: dict[str, object] = {
            "message": self.message,
            "code": self.code or self.status * 1000,
            "transactionId": transaction,
        }
        return {**body, "details": dict(self.details)} if self.details else body


def bad_format(name: str, value: str) -> Refused:
    """A parameter whose value has the wrong format: code 400001 with the parameter and its value."""
    details = {"invalidParam": name, "invalidValue": value[:200]}
    return Refused(400, f"Parameter {name} has a wrong format", f"wrong value of {name}", 400_001, details)


def bad_request(message: str, rule: str) -> Refused:
    """Parameters that do not go together: code 400000."""
    return Refused(400, message, rule, 400_000)
