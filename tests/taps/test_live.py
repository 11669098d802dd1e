"""Real federations of Flower and NVFlare on this machine: tapped, sealed, checked, judged.

Each framework runs in an environment of its own, which ``make test`` makes.
"""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
import torch
from federations import (
    EXAMPLES,
    environment,
    flower_home,
    flwr_run,
    free_ports,
    records_of,
    settings,
    superlink,
    variables,
)
from ledger_runs import run_command

from privaudit.engine.engine import Engine, Samples
from privaudit.observation.trace import Trace
from privaudit.randomness import Seed
from privaudit.taps.audited_client import AuditedClient, read_truth

CONFIG: dict[str, object] = {"records": 4800, "seed": 1, "property": "serif", "batch-size": 32}
MODEL = ("--model", "audited_app.task:Net")


@pytest.fixture(autouse=True)
def importable_example(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.syspath_prepend(EXAMPLES / "flower")


@pytest.fixture(scope="module")
def flower() -> Path:
    return environment("FLOWER")


def run_inside(place: Path, folder: Path, tests: Path, *which: str) -> str:
    """What pytest says of these tests in the environment of a framework; all of them pass."""
    options = ["-q", "-p", "no:cacheprovider", "--noconftest", "-c", "/dev/null", *which]
    words = [place / "bin" / "python", "-m", "pytest", *options, "--rootdir", folder, tests]
    done = subprocess.run(
        words, env=variables(place, folder), capture_output=True, text=True, check=False
    )
    assert done.returncode == 0, done.stdout[-3000:]
    assert "skipped" not in done.stdout
    return done.stdout


def test_the_tap_on_flowers_own_messages(flower: Path, tmp_path: Path) -> None:
    run_inside(flower, tmp_path, Path(__file__).parent / "inside" / "flower_messages.py")


@pytest.mark.parametrize("framework", ["flower", "nvflare"])
def test_presets_do_what_the_frameworks_classes_do(framework: str, tmp_path: Path) -> None:
    """Tests of tests/defences that are skipped where the framework is not installed."""
    presets = Path(__file__).parents[1] / "defences" / "test_presets.py"
    said = run_inside(environment(framework.upper()), tmp_path, presets, "-k", f"{framework}s")
    assert "2 passed" in said


@pytest.fixture(scope="module")
def simulated(flower: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """What four nodes and 40 rounds of Flower's simulation left, sealed."""
    folder = tmp_path_factory.mktemp("simulated")
    with flower_home(folder / "home") as home:
        config = settings(folder, nodes=4, rounds=40, records=CONFIG["records"])
        flwr_run(flower, home, config, "--federation-config", "num-supernodes=4")
    return sealed(folder, 4)


def sealed(folder: Path, nodes: int, **config: object) -> Path:
    [journal] = (folder / "tap").iterdir()
    more = ["--participants", str(nodes), "--total-examples", str(32 * nodes)]
    assert run_command("seal", str(journal), str(folder / "trace"), *more) == 0
    records_of(EXAMPLES / "flower", folder / "mine.npz", 0, CONFIG | {"nodes": nodes} | config)
    return folder


def judged(folder: Path, trace: str, capsys: pytest.CaptureFixture[str]) -> dict[str, dict]:
    """Attack -> its line."""
    capsys.readouterr()
    words = ["--truth", str(folder / "truth"), "--auxiliary", str(folder / "mine.npz"), *MODEL]
    assert run_command("judge", str(folder / trace), *words, "--json") == 0
    return {row["attack"]: row for row in json.loads(capsys.readouterr().out)}


def test_a_simulation_leaks_to_a_node_and_to_who_sees_the_sum(
    simulated: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """Measured: .95 and .89; 20 rounds of a kind scatter by .04."""
    for trace, least in (("trace", 0.75), ("server", 0.65)):
        found = judged(simulated, trace, capsys)["magnitude-stack"]
        assert (found["with"], found["without"], found["left_out"]) == (20, 20, [[]])
        assert found["auc"][0] > least, (trace, found)


@pytest.mark.usefixtures("simulated")
def test_the_rules_explain_what_the_node_sent(simulated: Path) -> None:
    words = [str(simulated / "trace"), "--auxiliary", str(simulated / "mine.npz"), *MODEL]
    assert run_command("check", *words) == 0
    assert run_command("check", *words, "--set", "lr=0.3") == 1


def test_its_folder_takes_table_report_and_verify(
    simulated: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """What tests/taps/test_live_folder.py does with a made-up federation."""
    words = ["--truth", str(simulated / "truth"), "--auxiliary", str(simulated / "mine.npz")]
    out = str(tmp_path / "run")
    assert run_command("judge", str(simulated / "trace"), *words, *MODEL, "--out", out) == 0
    told = capsys.readouterr().out
    assert run_command("table", out) == run_command("report", out) == 0
    assert capsys.readouterr().out.splitlines()[0] in told
    assert run_command("verify", out, *MODEL) == 0, capsys.readouterr().out


def test_our_simulator_computes_what_flower_did(simulated: Path) -> None:
    """The same batches at the same parameters: the same vectors, but for rounding."""
    from audited_app.task import Net
    from audited_app.task import records_of as held

    engine = Engine(Net())
    nodes = [held(node, CONFIG | {"nodes": 4}) for node in range(4)]
    samples = [Samples.of(own["inputs"], own["labels"].astype(np.int64)) for own in nodes]
    trace = Trace.open(simulated / "trace")
    run, present = trace.manifest.about["run"], nodes[1]["serif"]
    audited = AuditedClient(simulated / "truth", present, batch_size=32, rounds=40, run=run)
    assert len(trace) == 40
    to_the_rounding = 0
    for seen in trace:
        number = seen.server_round
        assert number is not None
        deltas = []
        for node in range(4):
            chosen = audited.batch(number)
            if node != 1:
                rng = np.random.default_rng([CONFIG["seed"], node, number])
                chosen = rng.choice(len(samples[node].labels), 32, replace=False)
            [gradient] = engine.gradients(seen.before, samples[node], [chosen], Seed(0))
            deltas.append(-0.1 * gradient)
        mean = torch.stack(deltas).mean(0)
        off = [seen.own_delta - deltas[0], seen.global_delta - mean]
        # Now and then a unit or a pooled pixel is on the other side of zero by a rounding, and all
        # that depends on it moves by a little.
        assert float(off[0].norm()) < 5e-3 * float(deltas[0].norm())
        assert float(off[1].norm()) < 5e-3 * float(mean.norm())
        # Else weights below 1 are rounded to 6e-8 when a step is added, and when they are averaged.
        to_the_rounding += max(float(one.abs().max()) for one in off) < 3e-7
    assert to_the_rounding >= 30, "of 40 rounds; 38 were seen"


def test_a_superlink_with_three_supernodes(
    flower: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """The node's own configuration switches the tap on; every message is a process of its own."""
    ports = free_ports(4)
    nodes = ['partition-id=0 privaudit-tap="' + str(tmp_path / "tap") + '"']
    nodes += [f"partition-id={number}" for number in (1, 2)]
    small = {"records": 2400, "fraction-evaluate": 0.0}
    config = settings(tmp_path, nodes=3, rounds=11, **small)
    with flower_home(tmp_path / "home", ports[0]) as home, superlink(flower, home, nodes, ports):
        flwr_run(flower, home, config, "here")
    sealed(tmp_path, 3, **small)
    text = capsys.readouterr().out
    assert "10 rounds (1-10 of the server)" in text
    assert "Lost: 1 rounds in which it sent something (11)" in text, "nobody evaluates after it"
    found = judged(tmp_path, "trace", capsys)["magnitude-stack"]
    assert found["with"] + found["without"] == 10
    assert sorted(read_truth(tmp_path / "truth")) == list(range(1, 12))


def test_nvflares_simulator(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    place = environment("NVFLARE")
    words = [place / "bin" / "python", EXAMPLES / "nvflare" / "job.py", tmp_path / "out", "10"]
    done = subprocess.run(
        words,
        env=variables(place, tmp_path),
        capture_output=True,
        text=True,
        timeout=900,
        check=False,
    )
    assert done.returncode == 0, done.stdout[-3000:]
    folder = tmp_path / "out"
    [journal] = (folder / "tap").iterdir()
    more = ["--participants", "3", "--total-examples", "96"]
    assert run_command("seal", str(journal), str(folder / "trace"), *more) == 0
    assert "9 rounds (1-9 of the server)" in capsys.readouterr().out, "the last one is never seen"
    config = CONFIG | {"nodes": 3, "records": 12000}
    records_of(EXAMPLES / "flower", folder / "mine.npz", 0, config)
    found = judged(folder, "trace", capsys)["magnitude-stack"]
    assert found["left_out"] == [[10]]


@pytest.mark.parametrize("framework", ["flower", "nvflare"])
def test_without_the_framework_it_says_what_to_install(framework: str) -> None:
    """These tests' own environment has neither."""
    words = [sys.executable, "-c", f"import privaudit.taps.{framework}"]
    done = subprocess.run(words, capture_output=True, text=True, check=False)
    assert f"pip install 'privaudit[{framework}]'" in done.stderr
