"""What a scenario may say: one type per table, its fields with default, range and description.

The tables follow the main path: ``[data]`` -> ``[model]`` -> ``[federation]`` (ordinary training)
-> ``[audit]`` (the rounds the adversary listens to) -> ``[membership]`` (another question) ->
``[ledger]`` -> ``[report]``. A scenario with ``[sweep]`` is several, one per value of one key
(:func:`privaudit.scenario.load.variants`). What the fields mean is their ``description``:
``privaudit new`` writes it above each, docs/settings.md lists them all.
"""

from __future__ import annotations

from .audit import AuditSection, colluding
from .data import DataSection, ModelSection
from .federation import FederationSection
from .ledger import LedgerSection
from .membership import MembershipSection
from .report import ReportSection
from .scenario import MEMBERSHIP, PROPERTY, Scenario
from .sweep import SweepSection
from .values import Section, table_type

__all__ = [
    "MEMBERSHIP",
    "PROPERTY",
    "AuditSection",
    "DataSection",
    "FederationSection",
    "LedgerSection",
    "MembershipSection",
    "ModelSection",
    "ReportSection",
    "Scenario",
    "Section",
    "SweepSection",
    "colluding",
    "table_type",
]
