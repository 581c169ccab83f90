"""Who may log in to the simulated vendor, and whose events they then see."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class Organization:
    """A customer (`company`) or a reseller (`partner`) at the vendor."""

    id: str
    name: str
    type: str = "company"


@dataclass(frozen=True, slots=True)
class Account:
    """One API credential. A partner's sees its own organization with all of `children`, a company's only its own."""

    client_id: str
    client_secret: str
    organization: Organization
    children: tuple[Organization, ...] = ()

    @property
    def organizations(self) -> tuple[Organization, ...]:
        """All that this credential sees, its own first."""
        return (self.organization, *self.children)

    @property
    def organization_ids(self) -> frozenset[str]:
        """The ids of all that this credential sees."""
        return frozenset(organization.id for organization in self.organizations)


CONTOSO = Organization("b1f0c3de-5a0e-4c1b-9a55-0d6f1f2a7c01", "Contoso Nordics Oy")
COMPANY = Account("fusion_00c0ffee00000001", "simulated/secret+of=contoso", CONTOSO)
