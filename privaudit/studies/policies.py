"""Which protection with which incentive: every defence of a scenario beside every reward rule.

One audit crosses the defences (``audit.defences``): they share training, and shadows before they
are defended. A second one looks at the same federations with the eyes of the server. What a round
pays changes no delta: reward policies share all of that, and the rounds in which the game
``public-ledger`` measures what their ledgers leak, how far pay is from worth, and what free riders
earn (:mod:`.paid`).
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Literal, TypeVar

from privaudit.accounting.claims import Ceiling, Claim
from privaudit.custody.folder import RunFolder
from privaudit.errors import UserError
from privaudit.evaluation.cells import TableCell, table_cells
from privaudit.evaluation.prices import LOSS_ALLOWED, Price, price
from privaudit.evaluation.rebuilt_cells import RebuiltCell, rebuilt_cells
from privaudit.evaluation.records import Record, parse_records
from privaudit.experiment.executors.protocol import Executor
from privaudit.federation.rewards import VALUED
from privaudit.federation.settling import policy_named
from privaudit.progress import Progress
from privaudit.scenario.load import check_scenario
from privaudit.scenario.schema import NO_DEFENCE, PUBLIC_LEDGER, Scenario
from privaudit.statistics.intervals import Interval
from privaudit.studies.paid import Paid, asked_of, can_be_asked, paid
from privaudit.studies.several import run_audits

Listener = Literal["participant", "server"]
LISTENERS: tuple[Listener, ...] = ("participant", "server")
"""Who listens, and the folders of the runs."""

REWARDS = ("equal", "samples", "contribution", "aligned-novelty-pool-10")
"""Reward policies that defences are crossed with, where nobody names others."""

ASKED = "policies.json"
"""What was asked: reward rules, and the rule by which a policy is chosen."""


@dataclass(frozen=True)
class Asked:
    """What is asked of policies.

    Attributes:
        rewards: reward policies to cross the defences with: rules, or ``RULE-per-N``.
        most_leak: AUC that the whole interval of a leak must lie below, and above 1 - which.
        least_accuracy: of the main task; None: 0.05 below that without a defence.
    """

    rewards: tuple[str, ...] = REWARDS
    most_leak: float = 0.6
    least_accuracy: float | None = None

    def __post_init__(self) -> None:
        """Checked.

        Raises:
            UserError: a rule is unknown or named twice, or a number out of range.
        """
        for name in self.rewards:
            try:
                policy_named(name)
            except UserError as error:
                raise UserError(error.what, where="--rewards", remedy=error.remedy) from error
        if len(set(self.rewards)) < len(self.rewards) or not self.rewards:
            raise UserError("each reward rule once, at least one", where="--rewards")
        if not 0.5 < self.most_leak < 1:
            raise UserError(f"must be in (0.5, 1), got {self.most_leak:g}", where="--max-leak")
        if self.least_accuracy is not None and not 0 <= self.least_accuracy <= 1:
            raise UserError(
                f"must be in [0, 1], got {self.least_accuracy:g}", where="--min-accuracy"
            )


@dataclass(frozen=True)
class Policy:
    """A defence with a reward rule, at one number of participants.

    Attributes:
        defence: its name; empty for none.
        reward: rule by which rounds pay.
        participants: K.
        leaks: (game, who listens) -> the highest AUC of all attacks and questions, everything that
            is sent looked at; none where that listener sees nothing or every attack failed.
        attacks: the attack of each.
        claims: game -> what the defence promises in its rounds, or why nothing; none where there
            is nothing to promise.
        ceilings: of each leak the largest AUC while the promise is kept.
        price: what the defence costs the main task.
        paid: what its ledger leaks and whom it pays; None where no ledger was looked at.
        rebuilt: who listens -> the largest share of the target's batch in an answer, and in a
            guess; none unless the game reconstruction is played.
    """

    defence: str
    reward: str
    participants: int
    leaks: dict[tuple[str, Listener], Interval]
    attacks: dict[tuple[str, Listener], str]
    claims: dict[str, Claim]
    ceilings: dict[tuple[str, Listener], Ceiling]
    price: Price
    rebuilt: dict[Listener, tuple[Interval, Interval]] = field(default_factory=dict)
    paid: Paid | None = None

    @property
    def accuracy(self) -> Interval | None:
        """Of the main task under the defence, over runs; None where it was not measured."""
        return self.price.accuracy

    @property
    def claim(self) -> Claim | None:
        """The first with an ε, else why there is none; None where there is nothing to promise."""
        found = sorted(self.claims.values(), key=lambda claim: claim.epsilon is None)
        return found[0] if found else None

    @property
    def leak(self) -> Interval | None:
        """The largest to a participant, of all games, or to who reads the ledger alone."""
        found = [leak for (_, who), leak in self.leaks.items() if who == "participant"]
        found += [self.paid.leak] if self.paid and self.paid.leak else []
        return max(found, key=lambda leak: leak.value, default=None)

    @property
    def told(self) -> float:
        """How far that is from a blind guess, on either side: 0.5 is all."""
        return abs(self.leak.value - 0.5) if self.leak else 0.0


@dataclass(frozen=True)
class Policies:
    """All policies of a scenario.

    Attributes:
        scenario: what was audited.
        asked: what was asked of it.
        policies: defence by defence.
        impossible: defence and reward rule that do not go together, and why.
        runs: names of the run folders.
    """

    scenario: Scenario
    asked: Asked
    policies: tuple[Policy, ...]
    impossible: tuple[str, ...]
    runs: tuple[str, ...]

    def front(self) -> list[Policy]:
        """Those that no other beats: less leak at no less accuracy, or more at no more leak.

        An AUC as far below 0.5 as another is above leaks as much.
        """
        known = [p for p in self.policies if p.leak and p.accuracy]
        return [p for p in known if not any(_beats(other, p) for other in known)]

    @property
    def least_accuracy(self) -> float:
        """What a policy's accuracy must reach."""
        if self.asked.least_accuracy is not None:
            return self.asked.least_accuracy
        plain = self.undefended
        return max(0.0, plain.accuracy.value - LOSS_ALLOWED) if plain and plain.accuracy else 0.0

    def chosen(self, least_accuracy: float) -> Policy | None:
        """The most accurate whose leak is below what is asked with its whole interval.

        None where none is that also has an accuracy of ``least_accuracy``; of equals the first.
        """
        most_leak = self.asked.most_leak
        fit = [
            p
            for p in self.policies
            if p.leak
            and p.accuracy
            and p.leak.high <= most_leak
            and p.leak.low >= 1 - most_leak
            and p.accuracy.value >= least_accuracy
        ]
        return max(fit, key=lambda p: p.accuracy.value if p.accuracy else 0.0, default=None)

    @property
    def undefended(self) -> Policy | None:
        """The first without a defence."""
        return next((p for p in self.policies if not p.defence), None)


def measure_policies(
    scenario: Scenario,
    out: Path,
    *,
    asked: Asked,
    server: bool = True,
    data_dir: Path | None = None,
    workers: int | None = None,
    resume: bool = False,
    progress: Progress | None = None,
    device: str = "cpu",
    executor: Executor | None = None,
) -> None:
    """Audit every defence of the scenario for each listener, in a run folder below ``out``.

    Args:
        scenario: with ``audit.defences``.
        out: folder with ``participant/`` and ``server/``.
        asked: reward rules, and the rule by which a policy is chosen.
        server: whether the server's view is measured as well.
        data_dir: where data sets lie.
        workers: processes.
        resume: go on with an interrupted measurement.
        progress: shows how far each stage is.
        device: where models are computed.
        executor: who runs models, training and attacks, as in :func:`run_audit`.

    Raises:
        UserError: the scenario names fewer than two defences.
    """
    plans = policy_plans(scenario, asked.rewards, server=server)
    run_audits(
        plans,
        out,
        data_dir=data_dir,
        workers=workers,
        resume=resume,
        progress=progress,
        device=device,
        executor=executor,
    )
    RunFolder(out).write_json(ASKED, asdict(asked))


def policy_plans(
    scenario: Scenario, rewards: Sequence[str] = REWARDS, *, server: bool = True
) -> dict[str, Scenario]:
    """Folder name -> what is run there; arguments and errors of :func:`measure_policies`."""
    defences = scenario.audit.defences
    if len(defences) < 2:
        raise UserError(
            f"policies are compared: the scenario names {len(defences)} defence",
            where="audit.defences",
            remedy='name several, e.g. --set audit.defences=["none","secure-aggregation"], or use '
            "the scenario defences",
        )
    plans = {"participant": _changed(scenario, "participant", defences, rewards)}
    if server and scenario.audit.alpha is None:
        shown = [name for name in defences if not _hidden(scenario, name)]
        plans["server"] = _changed(scenario, "server", shown)
    return plans


def _changed(
    scenario: Scenario, listener: Listener, defences: Sequence[str], rewards: Sequence[str] = ()
) -> Scenario:
    """``rewards`` of the ledgers that are looked at as well, where they can be."""
    table = scenario.model_dump(mode="json")
    table["audit"] |= {"threat_model": listener, "defences": list(defences), "keep_traces": False}
    table["public_ledger"] = None
    if rewards and can_be_asked(scenario):
        table["public_ledger"] = asked_of(scenario, rewards)
    if listener == "server":
        table["audit"]["colluders"] = 0
    table["ledger"] |= {"enabled": False}
    table["report"]["devices"] = []
    return check_scenario(table, where="policies")


def _hidden(scenario: Scenario, defence: str) -> bool:
    """Whether the server sees no single delta."""
    return any(step.hides_single_deltas for step in scenario.defence(defence))


def _unvalued(scenario: Scenario, defence: str, reward: str) -> bool:
    """Whether a rule asks what a delta was worth, and nobody sees one."""
    return policy_named(reward).rule in VALUED and _hidden(scenario, defence)


def read_policies(out: Path) -> Policies:
    """What a finished measurement found, from its records alone.

    Raises:
        UserError: no such measurement in this folder, or a run has no records yet.
    """
    runs = {who: RunFolder.open(out / who) for who in LISTENERS if _is_there(out, who)}
    if "participant" not in runs or not (out / ASKED).is_file():
        raise UserError(
            "no finished measurement of policies", where=str(out), remedy="privaudit policies"
        )
    asked = _asked(out)
    scenario = runs["participant"].scenario()
    records = {
        who: parse_records(
            folder.read_lines("records.jsonl"), where=str(folder.file("records.jsonl"))
        )
        for who, folder in runs.items()
    }
    impossible = [
        f"{name} with {reward}: nobody can tell what one delta was worth"
        for name in scenario.audit.defences
        for reward in asked.rewards
        if _unvalued(scenario, name, reward)
    ]
    found = tuple(_policies(scenario, asked.rewards, records))
    return Policies(scenario, asked, found, tuple(impossible), tuple(runs))


def _asked(out: Path) -> Asked:
    table = RunFolder(out).read_json(ASKED)
    try:
        return Asked(**(table | {"rewards": tuple(table["rewards"])}))
    except (TypeError, LookupError) as error:
        raise UserError(
            f"not what was asked of policies: {error}", where=str(out / ASKED)
        ) from error


def _is_there(out: Path, who: str) -> bool:
    return (out / who / "scenario.json").is_file()


def is_measurement(out: Path) -> bool:
    """Whether a folder is of a measurement of policies."""
    return (out / ASKED).is_file() or all(_is_there(out, who) for who in LISTENERS)


def _policies(
    scenario: Scenario, rewards: Sequence[str], records: dict[Listener, list[Record]]
) -> Iterator[Policy]:
    cells = {who: table_cells(of) for who, of in records.items()}
    rebuilt = {who: rebuilt_cells(of) for who, of in records.items()}
    for participants in scenario.participants:
        every = [r for r in records["participant"] if r.participants == participants]
        plain = [r for r in every if r.game != PUBLIC_LEDGER]
        for name in scenario.audit.defences:
            at = ("" if name == NO_DEFENCE else name), participants
            own = {who: _under(at, of) for who, of in cells.items()}
            best = {
                (game, who): found
                for who, of in own.items()
                for game in dict.fromkeys(cell.game for cell in of if cell.game != PUBLIC_LEDGER)
                if (found := _best([cell for cell in of if cell.game == game]))
            }
            costs = price(_under(at, plain), [r for r in plain if not r.defence] if at[0] else [])
            answers = {who: _most_rebuilt(_under(at, of)) for who, of in rebuilt.items()}
            for reward in rewards:
                if _unvalued(scenario, name, reward):
                    continue
                yield Policy(
                    defence=at[0],
                    reward=reward,
                    participants=participants,
                    leaks={key: cell.auc for key, cell in best.items() if cell.auc},
                    attacks={key: cell.attack for key, cell in best.items()},
                    claims=_claims(own["participant"]),
                    ceilings={key: cell.ceiling for key, cell in best.items() if cell.ceiling},
                    price=costs,
                    rebuilt={who: found for who, found in answers.items() if found},
                    paid=paid(scenario, own["participant"], _under(at, every), reward),
                )


Placed = TypeVar("Placed", TableCell, RebuiltCell, Record)


def _under(at: tuple[str, int], found: Sequence[Placed]) -> list[Placed]:
    """What belongs to one defence and number of participants."""
    return [one for one in found if (one.defence, one.participants) == at]


def _claims(cells: Sequence[TableCell]) -> dict[str, Claim]:
    """Game -> its promise, which all its cells have."""
    return {cell.game: cell.claim for cell in cells if cell.claim and cell.game != PUBLIC_LEDGER}


def _best(cells: Sequence[TableCell]) -> TableCell | None:
    """The cell with the highest AUC at the largest share."""
    most = max(cell.fraction for cell in cells)
    known = [cell for cell in cells if cell.fraction == most and cell.auc is not None]
    return max(known, key=lambda c: c.auc.value if c.auc else 0.0, default=None)


def _most_rebuilt(cells: Sequence[RebuiltCell]) -> tuple[Interval, Interval] | None:
    """Share of the batch in the best answer at the largest share of values, and in a guess."""
    most = max((cell.fraction for cell in cells), default=0.0)
    known = [
        (cell.found, cell.guess)
        for cell in cells
        if cell.fraction == most and cell.found and cell.guess
    ]
    return max(known, key=lambda pair: pair[0].value, default=None)


def _beats(one: Policy, other: Policy) -> bool:
    assert one.accuracy
    assert other.accuracy
    gains = other.told - one.told, one.accuracy.value - other.accuracy.value
    return min(gains) >= 0 and max(gains) > 0
