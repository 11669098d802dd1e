"""What can be set of what a scenario names: its data set, its model, its attacks."""

from __future__ import annotations

from privaudit.attack.protocol import options_of_attack
from privaudit.attack.registry import load_attack
from privaudit.data.registry import DATASETS, options_type
from privaudit.errors import UserError
from privaudit.models.build import MODELS
from privaudit.options import Setting, settings_of


def data_settings(name: str) -> list[Setting]:
    """Options of a data set; none of one that there is not."""
    return settings_of(options_type(name)) if name in DATASETS else []


def model_settings(name: str) -> list[Setting]:
    """Options of a bundled model; a user's own is not imported for this."""
    return settings_of(MODELS[name].options) if name in MODELS else []


def attack_settings(name: str) -> list[Setting]:
    """Options of an attack; none of one that cannot be loaded."""
    try:
        return options_of_attack(load_attack(name))
    except UserError:
        return []
