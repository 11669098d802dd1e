"""Canaries: clients of the auditor that train nothing, put in to see how well they are hidden."""

from privaudit.canaries.canaries import Canaries
from privaudit.canaries.reading import Reading, read_record
from privaudit.canaries.record import CanaryRecord

__all__ = ["Canaries", "CanaryRecord", "Reading", "read_record"]
