"""Measure what a passive participant of federated learning can infer about the others."""

from importlib.metadata import version

__version__ = version("privaudit")
