"""The tap on Flower's own messages. Run by test_flower.py, in the environment that has Flower."""

from __future__ import annotations

import math
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
import torch
from flwr.app import ArrayRecord, ConfigRecord, Context, Message, MetricRecord, RecordDict
from flwr.client import ClientApp as LegacyApp
from flwr.client import NumPyClient
from flwr.clientapp import ClientApp
from flwr.clientapp.mod import LocalDpMod
from flwr.common import ndarrays_to_parameters
from flwr.compat.common import recorddict_compat as compat
from flwr.compat.common.typing import FitIns
from flwr.serverapp.strategy import FedAvg
from flwr.supercore.task_identity import TaskIdentity
from torch import nn

from privaudit.errors import UserError
from privaudit.observation.trace import Trace
from privaudit.taps.flower import participant_tap, server_tap
from privaudit.taps.journal import Journal

TaskIdentity.run_id, TaskIdentity.task_id, TaskIdentity.node_id = 1, 1, 1
Call = Callable[[Message, Context], Message]


class Net(nn.Module):
    """With statistics that are sent, too."""

    def __init__(self) -> None:
        super().__init__()
        self.linear, self.norm = nn.Linear(3, 2), nn.BatchNorm1d(2)


def model(number: float) -> dict[str, torch.Tensor]:
    return {n: torch.full_like(t, number) for n, t in Net().state_dict().items()}


def message(content: RecordDict, kind: str = "train", group: str = "") -> Message:
    made = Message(content=content, message_type=kind, dst_node_id=5, group_id=group)
    made.metadata.__dict__["_message_id"] = "x"
    return made


def sent_out(number: int, value: float, kind: str = "train") -> Message:
    config = ConfigRecord({"server-round": number, "rate": 0.5})
    content = {"arrays": ArrayRecord(model(value)), "config": config}
    return message(RecordDict(content), kind)


def context(path: Path | None, **run: str | int) -> Context:
    node = {"privaudit-tap": str(path)} if path else {"partition-id": 0}
    return Context(9, 5, node, RecordDict(), run)


def app(*mods: object, value: float = 1.0) -> ClientApp:
    """Sends parameters of this value, whatever it is sent."""
    made = ClientApp(mods=list(mods))

    @made.train()
    def train(received: Message, context: Context) -> Message:
        metrics = MetricRecord({"num-examples": 8})
        content = {"arrays": ArrayRecord(model(value)), "metrics": metrics}
        return Message(RecordDict(content), reply_to=received)

    @made.evaluate()
    def evaluate(received: Message, context: Context) -> Message:
        return Message(RecordDict({"metrics": MetricRecord({"loss": 1.0})}), reply_to=received)

    return made


def test_off_unless_the_node_switches_it_on(tmp_path: Path) -> None:
    tapped = app(participant_tap())
    tapped(sent_out(1, 0.0), context(None))
    folder = str(tmp_path / "sim")
    on = {"privaudit-tap": folder, "privaudit-tap-partition": 1}
    tapped(sent_out(1, 0.0), context(None, **on))  # another partition
    assert not list(tmp_path.iterdir())
    tapped(sent_out(1, 0.0), context(None, **on | {"privaudit-tap-partition": 0}))
    assert Journal(tmp_path / "sim" / "run-9").numbers("sent") == [1]


def test_what_comes_and_goes_is_kept_and_passed_through(tmp_path: Path) -> None:
    tapped = app(participant_tap(rules={"lr": "rate"}), value=3.0)
    reply = tapped(sent_out(4, 2.0), context(tmp_path))
    assert reply.content.array_records["arrays"].keys() == model(0).keys()
    tapped(sent_out(4, 5.0, "evaluate"), context(tmp_path))
    journal = Journal(tmp_path / "run-9")
    assert (journal.numbers("seen"), journal.numbers("sent")) == ([3, 4], [4])
    assert journal.head().rules == {"lr": 0.5}
    assert next(name for name, _ in journal.head().buffers) == "norm.running_mean"
    tensors, examples = journal.read("sent", 4)
    assert examples == 8
    assert set(tensors["parameters"].tolist()) == {3.0}
    assert set(journal.read("seen", 4)[0]["parameters"].tolist()) == {5.0}


def test_outermost_it_sees_what_leaves_the_node(tmp_path: Path) -> None:
    noisy = LocalDpMod(clipping_norm=1.0, sensitivity=1.0, epsilon=1.0, delta=0.1)
    app(participant_tap(), noisy)(sent_out(1, 0.0), context(tmp_path))
    sent, _ = Journal(tmp_path / "run-9").read("sent", 1)
    assert len(set(sent["parameters"].tolist())) > 4, "noise is in it"


class Legacy(NumPyClient):
    def fit(self, parameters: list[np.ndarray], config: dict) -> tuple:
        return [p + 1 for p in parameters], 7, {}


def legacy(tap: object) -> LegacyApp:
    return LegacyApp(client_fn=lambda context: Legacy().to_client(), mods=[tap])


def legacy_message() -> Message:
    arrays = [np.zeros((2, 3), "f4"), np.zeros(2, "f4")]
    content = compat.fitins_to_recorddict(FitIns(ndarrays_to_parameters(arrays), {}), True)
    return message(content, group="3")


def test_clients_without_names_need_them(tmp_path: Path) -> None:
    legacy(participant_tap(names=["w", "b"]))(legacy_message(), context(tmp_path / "a"))
    journal = Journal(tmp_path / "a" / "run-9")
    assert journal.head().parameters == [("w", (2, 3)), ("b", (2,))]
    assert journal.read("sent", 3)[1] == 7
    legacy(participant_tap())(legacy_message(), context(tmp_path / "b"))
    assert "names=list(model.state_dict())" in Journal(tmp_path / "b" / "run-9").notes()[0]
    legacy(participant_tap(names=["w"]))(legacy_message(), context(tmp_path / "c"))
    assert "2 tensors are sent, there are 1 names" in Journal(tmp_path / "c" / "run-9").notes()[0]


def masking(received: Message, context: Context, call_next: Call) -> Message:
    """What secaggplus_mod does to the reply."""
    reply = call_next(received, context)
    for record in reply.content.array_records.values():
        record.clear()
    reply.content.config_records["secaggplus_configs"] = ConfigRecord({"v": b"masked"})
    return reply


def test_masked_vectors_are_recognised(tmp_path: Path) -> None:
    app(participant_tap(), masking)(sent_out(1, 0.0), context(tmp_path / "outside"))
    outside = Journal(tmp_path / "outside" / "run-9")
    assert "put the tap after secaggplus_mod" in outside.notes()[0]
    assert outside.numbers("sent") == []
    app(masking, participant_tap())(sent_out(1, 0.0), context(tmp_path / "inside"))
    assert Journal(tmp_path / "inside" / "run-9").numbers("sent") == [1]


def test_nothing_the_tap_meets_stops_the_federation(tmp_path: Path) -> None:
    tapped = app(participant_tap())
    tapped(sent_out(1, 0.0), context(tmp_path))
    other = RecordDict({"arrays": ArrayRecord({"w": torch.zeros(9)})})
    other.config_records["config"] = ConfigRecord({"server-round": 2})
    assert not tapped(message(other), context(tmp_path)).has_error()
    assert "other tensors or shapes" in Journal(tmp_path / "run-9").notes()[0]
    (tmp_path / "file").write_text("")
    assert not tapped(sent_out(1, 0.0), context(tmp_path / "file")).has_error()
    assert not tapped(message(RecordDict({})), context(tmp_path)).has_error()


def replies(number: int, values: list[float]) -> list[Message]:
    found = []
    for node, value in enumerate(values):
        reply = app(value=value)(sent_out(number, 0.0), context(None))
        reply.metadata.__dict__["_src_node_id"] = 2**60 + node
        found.append(reply)
    return found


@pytest.mark.parametrize("view", ["server", "sum"])
def test_the_server_sees_each_or_the_sum(tmp_path: Path, view: str) -> None:
    target = 2**60 + 1 if view == "server" else None
    strategy = FedAvg(min_train_nodes=2, min_available_nodes=2)
    tapped = server_tap(strategy, tmp_path / "t", view=view, target=target, rules={"lr": 0.5})  # type: ignore[arg-type]
    current = ArrayRecord(model(0.0))
    tapped._begin(current)
    for number in (1, 2):
        answers = iter(replies(number, [1.0, 4.0, 7.0]))
        current, _ = tapped.aggregate_train(number, answers)
        tapped._begin(current)
    tapped._writer.close()  # type: ignore[union-attr]
    first, second = trace = Trace.open(tmp_path / "t")
    assert trace.manifest.view == ("server" if view == "server" else "participant")
    assert set(first.after.tolist()) == {4.0}
    assert first.server_round == 1
    assert set(second.global_delta.tolist()) == {0.0}, "4 on average, from 4"
    if view == "server":
        assert set(first.signal.tolist()) == {4.0}, "the target is node 1"
        assert sorted(first.client_deltas) == [1, 2, 3]
    else:
        assert first.client_deltas == {}
        assert math.isclose(float(first.signal[0]), 12.0)
    assert first.buffers is not None


def test_a_target_goes_with_the_server_view_alone(tmp_path: Path) -> None:
    for view, target in (("server", None), ("sum", 3)):
        with pytest.raises(UserError, match="give both"):
            server_tap(FedAvg(), tmp_path / "t", view=view, target=target)  # type: ignore[arg-type]
