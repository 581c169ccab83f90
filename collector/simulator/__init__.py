"""The vendors' cloud APIs on loopback, with seeded events and faults: for `collector demo`, tests and benchmarks.

Nothing of the product but `cli` imports this package, and of the product it imports `clock` alone.
"""

from collector.simulator.accounts import COMPANY, CONTOSO, Account, Organization
from collector.simulator.cloud import Drip
from collector.simulator.events import Mix, generate
from collector.simulator.faults import BAD_DAY, Fault
from collector.simulator.withsecure import WithSecureSimulator

__all__ = [
    "BAD_DAY",
    "COMPANY",
    "CONTOSO",
    "Account",
    "Drip",
    "Fault",
    "Mix",
    "Organization",
    "WithSecureSimulator",
    "generate",
]
