"""``[sweep]`` in a scenario and ``--over``: what they may say, and what becomes of it."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest
import torch

from privaudit.engine.engine import Engine, LocalRule, Samples
from privaudit.errors import UserError
from privaudit.models.text_cnn import TextCNN
from privaudit.randomness import Seed
from privaudit.scenario.load import (
    IN_A_SWEEP,
    bundled,
    check_scenario,
    load_scenario,
    load_sweep,
    variants,
)
from privaudit.scenario.schema import Scenario

SWEEPS = {
    "active": "audit.alpha",
    "by-dropout": "model.dropout",
    "by-epoch": "federation.rounds",
    "by-share": "audit.property_share",
    "by-vocabulary": "data.vocabulary",
    "membership-by-batch": "membership.candidates",
    "membership-by-vocabulary": "data.vocabulary",
}


def at(scenario: Scenario, key: str) -> object:
    found = scenario.model_dump(mode="json")
    for part in key.split("."):
        found = found[part]
    return found


def over(text: str, *overrides: str) -> Scenario:
    return load_sweep("quickstart", overrides, text)


@pytest.mark.parametrize("name", bundled())
def test_a_scenario_has_a_sweep_or_no_trace_of_one(name: str) -> None:
    """Records, manifests and hashes of scenarios without a sweep stay what they were."""
    table = load_scenario(name).model_dump(mode="json")
    assert ("sweep" in table) == (name in SWEEPS)
    assert json.loads(load_scenario(name).model_dump_json()) == table


@pytest.mark.parametrize(("name", "key"), SWEEPS.items())
def test_bundled_sweeps_vary_one_thing(name: str, key: str) -> None:
    scenario = load_scenario(name)
    assert scenario.sweep is not None
    assert scenario.sweep.key == key
    found = variants(scenario)
    assert [at(variant, key) for variant in found] == scenario.sweep.values
    assert all(variant.sweep is None for variant in found)
    tables = [variant.model_dump(mode="json") for variant in found]
    section, option = key.split(".")
    for table in tables:
        del table[section][option]
    assert all(table == tables[0] for table in tables)


def test_audits_of_a_sweep_keep_no_ledger() -> None:
    for variant in variants(over("audit.rounds=4,8", "audit.keep_traces=true")):
        assert {key: at(variant, key) for key in IN_A_SWEEP} == IN_A_SWEEP


@pytest.mark.parametrize(
    ("text", "values"),
    [
        ("federation.rounds=0,5,10", [0, 5, 10]),
        ("federation.norm_bound=null, 2.5", [None, 2.5]),
        ("federation.partition=iid,dirichlet", ["iid", "dirichlet"]),
        ('audit.rules=["largest"],["random", "largest"]', [["largest"], ["random", "largest"]]),
        ("federation.partition='iid',\"by-group\"", ["iid", "by-group"]),
        ("model.hidden=8,16", [8, 16]),
    ],
)
def test_values_are_read_as_set_reads_them(text: str, values: list[object]) -> None:
    scenario = over(text)
    assert scenario.sweep is not None
    assert scenario.sweep.values == values
    key = scenario.sweep.key
    assert [at(variant, key) for variant in variants(scenario)] == values
    assert check_scenario(scenario.model_dump(mode="json"), where="x") == scenario


def test_over_replaces_the_sweep_of_the_scenario() -> None:
    scenario = load_sweep("by-dropout", [], "audit.rounds=4,8")
    assert scenario.sweep is not None
    assert (scenario.sweep.key, scenario.sweep.values) == ("audit.rounds", [4, 8])


BAD = [
    ("federation.rounds", "--over: 'federation.rounds' is not key=v1,v2"),
    ("=1,2", "--over: '=1,2' is not key=v1,v2"),
    ("federation.rounds=5", "2 to 50 values, got 1"),
    ("federation.rounds=", "2 to 50 values, got 1"),
    ("federation.rounds=1,", "federation.rounds"),
    ("federation.rounds=5,5", "5 is there twice"),
    ("federation.lr=1,1.0", "1.0 is there twice, or means the same"),
    ("federation.rounds=5,-1", "federation.rounds: Input should be greater than or equal to 0"),
    ("federation.rounds=5,many", "federation.rounds"),
    ("federation.lr=0.1,nan", "must be a finite number"),
    ("federation.round=1,2", "unknown key 'federation.round'; did you mean 'federation.rounds'?"),
    ("fedration.rounds=1,2", "unknown key 'fedration'"),
    ("federation=1,2", "'federation' is a table"),
    ("attack_options=1,2", "'attack_options' is a table"),
    ("federation.rounds.more=1,2", "'rounds' of 'federation.rounds.more' is a value"),
    ("audit.rounds={},{a=1}", "must not be a table"),
    ("federation..rounds=1,2", "must be a dotted key"),
    ("name=a,b", "'name' cannot be swept"),
    ("seed=1,2", "'seed' cannot be swept"),
    ("sweep.key=a,b", "'sweep' cannot be swept"),
    ("ledger.reward=equal,samples", "'ledger' cannot be swept"),
    ("audit.fractions=[0.5],[2.0]", "less than or equal to 1"),
    (f"audit.rounds={','.join(str(n) for n in range(4, 60))}", "2 to 50 values, got 56"),
]


@pytest.mark.parametrize(("text", "message"), BAD)
def test_a_sweep_that_cannot_be_is_one_line(text: str, message: str) -> None:
    with pytest.raises(UserError) as caught:
        over(text)
    assert message in str(caught.value)
    assert str(caught.value).startswith("--over: ")
    assert "\n" not in str(caught.value)


@pytest.mark.parametrize(
    ("table", "message"),
    [
        ('key = "federation.rounds"', "mine.toml: 'sweep.values' is missing"),
        ("values = [1, 2]", "mine.toml: 'sweep.key' is missing"),
        ('key = "federation.rounds"\nvalues = [1]', "sweep.values"),
        ('key = "federation.rounds"\nvalues = 3', "sweep.values"),
        ('key = "federation.rounds"\nvalues = [1, 1]', "sweep.values: 1 is there twice"),
        ('key = "federation.rounds"\nvalues = [1, -1]', "mine.toml: sweep: federation.rounds"),
        ('key = "federation.rouds"\nvalues = [1, 2]', "did you mean 'federation.rounds'?"),
        ('key = "sweep.key"\nvalues = [1, 2]', "sweep.key"),
        ("key = 3\nvalues = [1, 2]", "sweep.key"),
        ('key = "federation.rounds"\nvalues = [1, 2]\nfirst = 1', "unknown key 'sweep.first'"),
        ('key = "federation.rounds"\nvalues = [1, 2]\npublished = [0.5]', "published has 1 values"),
    ],
)
def test_a_file_with_such_a_sweep_is_refused(tmp_path: Path, table: str, message: str) -> None:
    file = tmp_path / "mine.toml"
    file.write_text(f'name = "mine"\n[audit]\nproperties = ["bold"]\n[sweep]\n{table}\n')
    with pytest.raises(UserError) as caught:
        load_scenario(str(file))
    assert message in str(caught.value)
    assert "\n" not in str(caught.value)


def test_dropout_is_the_same_for_clients_and_for_shadows() -> None:
    """Given the seed, the delta a client sends is -lr times the gradient a shadow would be."""

    def made(dropout: float) -> Engine:
        with torch.random.fork_rng(devices=[]):
            torch.manual_seed(0)
            sizes = {"num_classes": 2, "vocabulary_size": 30, "embedding": 4, "filters": 8}
            return Engine(TextCNN(**sizes, dropout=dropout))

    engine = made(0.5)
    rng = np.random.default_rng(0)
    samples = Samples.of(rng.integers(1, 30, (12, 9)).astype(np.int32), np.arange(12) % 2)
    batch, start = [np.arange(12)], engine.initial

    def sent(seed: int) -> torch.Tensor:
        return engine.train(start, samples, batch, rule=LocalRule(1.0, 0.0), seed=Seed(seed)).delta

    def shadow(seed: int) -> torch.Tensor:
        return engine.gradients(start, samples, batch, Seed(seed))[0]

    torch.testing.assert_close(sent(1), -shadow(1), rtol=1e-4, atol=1e-6)
    assert not torch.equal(shadow(1), shadow(2))
    whole = made(0.0).gradients(start, samples, batch, Seed(1))[0]
    assert not torch.allclose(whole, shadow(1), atol=1e-4)
