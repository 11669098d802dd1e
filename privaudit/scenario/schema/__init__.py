"""What a scenario may say: one type per table, its fields with default, range and description.

The tables follow the main path: ``[data]`` -> ``[model]`` -> ``[federation]`` (ordinary training)
-> ``[audit]`` (the rounds the adversary listens to) -> ``[membership]``, ``[reconstruction]``,
``[public_ledger]`` and ``[whose]`` (other questions) -> ``[ledger]`` -> ``[report]``. A scenario
with ``[sweep]`` is several, one per value of one key (:func:`privaudit.scenario.load.variants`).
What the fields mean is their ``description``:
``privaudit new`` writes it above each, docs/settings.md lists them all.
"""

from __future__ import annotations

from .accounting import AccountingSection
from .audit import NO_DEFENCE, AuditSection, colluding
from .data import DataSection, ModelSection
from .federation import FederationSection
from .ledger import LedgerSection
from .membership import MembershipSection
from .public_ledger import Asked, PublicLedgerSection
from .reconstruction import LABELS, ReconstructionSection, batch_of
from .report import ReportSection
from .scenario import MEMBERSHIP, PROPERTY, PUBLIC_LEDGER, RECONSTRUCTION, WHOSE, Scenario
from .sweep import SweepSection
from .values import Section, table_type
from .whose import Whose, WhoseSection, claims_every

__all__ = [
    "LABELS",
    "MEMBERSHIP",
    "NO_DEFENCE",
    "PROPERTY",
    "PUBLIC_LEDGER",
    "RECONSTRUCTION",
    "WHOSE",
    "AccountingSection",
    "Asked",
    "AuditSection",
    "DataSection",
    "FederationSection",
    "LedgerSection",
    "MembershipSection",
    "ModelSection",
    "PublicLedgerSection",
    "ReconstructionSection",
    "ReportSection",
    "Scenario",
    "Section",
    "SweepSection",
    "Whose",
    "WhoseSection",
    "batch_of",
    "claims_every",
    "colluding",
    "table_type",
]
