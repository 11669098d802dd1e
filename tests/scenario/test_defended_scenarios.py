"""Defences in scenarios: what goes together, which cells there are, and what is promised."""

from __future__ import annotations

import json
import tomllib

import pytest

from privaudit.accounting.claims import ceiling_over
from privaudit.accounting.gaussian import epsilon_at
from privaudit.errors import UserError
from privaudit.scenario.claims import ceiling_of, claim_of, training_claim
from privaudit.scenario.grid import Cell, cells_of
from privaudit.scenario.load import check_scenario, load_scenario
from privaudit.scenario.schema import Scenario
from privaudit.scenario.write import as_toml

PRIVATE = 'defences.private=[{kind="dp-fedavg", bound=0.1, multiplier=2.0}]'
LOCAL = 'defences.local=[{kind="clip", bound=0.1}, {kind="noise", deviation=0.05}]'
RECORDS = 'defences.records=[{kind="dp-sgd", bound=1.0, multiplier=4.0}]'
AUDITED = 'audit.defences=["private"]'
ALL = ("audit.fractions=[1.0]", 'audit.rules=["all"]', 'audit.properties=["bold"]', "runs=1")


def scenario(*settings: str) -> Scenario:
    return load_scenario("quickstart", [*ALL, *settings])


def only(made: Scenario, game: str = "property") -> Cell:
    return next(cell for cell in cells_of(made) if cell.game == game)


@pytest.mark.parametrize(
    ("settings", "message"),
    [
        (['audit.defences=["sgn"]'], "unknown defence 'sgn'; did you mean 'sign'?"),
        (['audit.defences=["clip"]'], "defence 'clip' needs settings: name it in [defences]"),
        (['defences.x=[{kind="clp", bound=1.0}]'], "unknown kind of defence 'clp'; did you mean"),
        (['defences.x=[{kind="clip"}]'], "'defences.x.0.clip.bound' is missing"),
        (['defences.x=[{kind="clip", bound=-1.0}]'], "greater than or equal to 0.000000001"),
        (
            ['defences.x=[{kind="clip", bound=1.0, bond=1.0}]'],
            "unknown key 'defences.x.0.clip.bond'; did you mean",
        ),
        (["defences.x=[]"], "defences.x"),
        (['defences.none=[{kind="sign"}]'], "'none' is what no defence is called"),
        (['defences."A b"=[{kind="sign"}]'], "defences"),
        (['audit.defences=["sign", "sign"]'], "names a value twice"),
        (['audit.defences=["sign"]'], "'sign' does not go with audit.trajectory = 'common'"),
        (
            [PRIVATE, AUDITED, "federation.clip_norm=1.0"],
            "'private' does not go with federation.clip_norm and noise",
        ),
        (
            [RECORDS, 'audit.defences=["records"]', 'local.client_update="mine:update"'],
            "'records' does not go with local.client_update, whose steps are its own",
        ),
        (
            ['audit.defences=["secure-aggregation"]', "audit.threat_model=server"],
            "does not go with audit.threat_model = 'server': the server sees no single delta",
        ),
        (
            ['audit.defences=["secure-aggregation"]', "federation.norm_bound=1.0"],
            "federation.norm_bound: the server cannot tell",
        ),
        (
            [
                'defences.x=[{kind="dp-sgd",bound=1.0,multiplier=1.0},'
                '{kind="dp-sgd",bound=2.0,multiplier=1.0}]'
            ],
            "2 steps that train",
        ),
        (["accounting.delta=0.25"], "accounting.delta 0.25 must be below 1 / 5"),
        (["accounting.delta=1.5"], "accounting.delta"),
        (
            [PRIVATE, AUDITED, "accounting.budget=30.0"],
            "accounting.budget: ε = 30 is spent in round 22 of 45",
        ),
        (
            [PRIVATE, "federation.defence=private", "accounting.budget=1.0"],
            "(federation.defence 'private', training",
        ),
        (["federation.sampler=poisson"], "sampler 'poisson' needs"),
        (
            ["federation.sampler=poisson", "federation.cohort=3"],
            "needs one that averages over a fixed number of clients, such as dp-fedavg",
        ),
        (
            ['defences.x=[{kind="dp-adaptive", multiplier=1.0, count_deviation=0.4}]'],
            "count_deviation must be above 0.5",
        ),
        (['defences.x=[{kind="share", rule="largst", fraction=0.1}]'], "did you mean 'largest'?"),
    ],
)
def test_what_does_not_go_together_gets_one_line(settings: list[str], message: str) -> None:
    with pytest.raises(UserError) as refused:
        scenario(*settings)
    assert message in str(refused.value)
    assert "\n" not in str(refused.value)


def test_a_scenario_without_defences_is_written_as_ever() -> None:
    table = json.loads(load_scenario("quickstart").model_dump_json())
    assert "defences" not in table
    assert "accounting" not in table
    assert not {"defence", "sampler"} & set(table["federation"])
    assert "defences" not in table["audit"]


def test_defences_are_crossed_with_the_rest_and_come_back_from_what_is_written() -> None:
    made = load_scenario(
        "quickstart",
        [
            "runs=1",
            PRIVATE,
            'audit.defences=["none", "quantise", "private"]',
        ],
    )
    cells = cells_of(made)
    assert len(cells) == 3 * len(cells_of(load_scenario("quickstart", ["runs=1"])))
    assert {cell.defence for cell in cells} == {"", "quantise", "private"}
    assert len({(cell.run, cell.name) for cell in cells}) == len(cells)
    assert cells[0].name == "bold_largest_0.1_k5"
    assert cells[1].name == "bold_largest_0.1_k5_quantise"
    assert check_scenario(tomllib.loads(as_toml(made)), where="again") == made
    assert Scenario.model_validate_json(made.model_dump_json()) == made


@pytest.mark.parametrize(
    ("settings", "reason"),
    [
        ([PRIVATE, AUDITED, "audit.threat_model=server"], "before it adds noise to their sum"),
        (['audit.defences=["quantise"]'], "no noise is added"),
        (['defences.x=[{kind="noise", deviation=1.0}]', 'audit.defences=["x"]'], "nothing bounds"),
        (
            [LOCAL, 'audit.defences=["local"]', "audit.fractions=[0.5]", 'audit.rules=["largest"]'],
            "what comes after the noise (50 % of the values sent (largest))",
        ),
        (
            [LOCAL, 'audit.defences=["local"]', "federation.norm_bound=9.0"],
            "a refused delta changes what the others count",
        ),
        (
            [
                'defences.x=[{kind="dp-fedavg", bound=0.1, multiplier=2.0}, {kind="quantise"}]',
                'audit.defences=["x"]',
            ],
            "can make a delta longer again",
        ),
    ],
)
def test_no_epsilon_and_why(settings: list[str], reason: str) -> None:
    made = scenario(*settings)
    claim = claim_of(made, only(made))
    assert claim is not None
    assert claim.epsilon is None
    assert reason in claim.none
    assert ceiling_of(made, only(made)) is None


def test_no_epsilon_of_training_and_why() -> None:
    weighed = scenario(LOCAL, "federation.defence=local")
    assert "weights go by the clients' records" in training_claim(weighed).none
    drawn = scenario(PRIVATE, "federation.defence=private", "federation.cohort=3")
    assert "no Poisson sample" in training_claim(drawn).none
    whole = scenario(PRIVATE, "federation.defence=private", "federation.rounds=10")
    assert training_claim(whole).epsilon == pytest.approx(7.5113, abs=1e-3)  # dp-accounting 0.6
    assert training_claim(whole).neighbours == "add-or-remove"
    assert training_claim(scenario()) is None


def test_what_is_promised_and_how_much_an_attack_can_tell_at_most() -> None:
    """One round where the property comes and goes; all where it stays, or of training."""
    made = scenario(PRIVATE, AUDITED)
    claim = claim_of(made, only(made))
    assert (claim.multiplier, claim.rounds, claim.neighbours) == (2.0, 45, "replace-one")
    assert ceiling_of(made, only(made)) == ceiling_over(2.0, 1)
    stays = scenario(PRIVATE, AUDITED, "audit.schedule=dataset", "runs=4")
    assert ceiling_of(stays, only(stays)) == ceiling_over(2.0, 45)
    member = scenario(PRIVATE, AUDITED, "membership={candidates=20}", "federation.rounds=7")
    assert ceiling_of(member, only(member, "membership")) == ceiling_over(2.0, 7)
    comes = scenario(PRIVATE, AUDITED, "audit.schedule=episodes", "runs=4")
    assert ceiling_of(comes, only(comes)) is None


def test_what_is_promised_to_single_records() -> None:
    """Every pass over a client's records is a use of each; nothing follows for a property."""
    member = ("membership={candidates=20}", "federation.rounds=7", "federation.local_epochs=3")
    made = scenario(RECORDS, 'audit.defences=["records"]', *member)
    claim = claim_of(made, only(made, "membership"))
    assert (claim.unit, claim.neighbours, claim.rounds, claim.uses) == (
        "record",
        "replace-one",
        7,
        3,
    )
    assert claim.epsilon == pytest.approx(epsilon_at(2 * 21**0.5 / 4.0, claim.delta))
    assert ceiling_of(made, only(made, "membership")) == ceiling_over(4.0, 21)
    of_a_property = claim_of(made, only(made))
    assert "says nothing of a property" in of_a_property.none
    assert ceiling_of(made, only(made)) is None
    trained = scenario(RECORDS, "federation.defence=records", *member[1:])
    assert training_claim(trained) == claim
    with pytest.raises(UserError, match=r"is spent in round 4 of 7.*run 3 rounds"):
        scenario(RECORDS, 'audit.defences=["records"]', *member, "accounting.budget=8.0")


def test_a_participant_is_promised_more_than_its_records() -> None:
    both = RECORDS[:-1] + ', {kind="dp-fedavg", bound=0.1, multiplier=2.0}]'
    made = scenario(
        both, 'audit.defences=["records"]', "membership={candidates=20}", "federation.rounds=7"
    )
    member = only(made, "membership")
    assert claim_of(made, member).unit == "participant"
    assert ceiling_of(made, member) == ceiling_over(4.0, 7 * made.federation.local_epochs)


def test_noise_of_clients_adds_up_among_the_honest_ones() -> None:
    def multiplier(*settings: str) -> float:
        made = scenario(LOCAL, 'audit.defences=["local"]', *settings)
        return claim_of(made, only(made)).multiplier

    assert multiplier("federation.participants=10") == pytest.approx(0.5 * 9**0.5)
    assert multiplier("federation.participants=10", "audit.colluders=4") == pytest.approx(
        0.5 * 5**0.5
    )
    assert multiplier("audit.threat_model=server") == pytest.approx(0.5)
    assert multiplier("federation.cohort=3") == pytest.approx(0.5 * 2**0.5), "in every cohort"


def test_masks_before_the_sum_keep_the_noise_of_the_server() -> None:
    made = load_scenario(
        "quickstart",
        ["runs=1", PRIVATE, AUDITED, "audit.fractions=[0.1]", 'audit.properties=["bold"]'],
    )
    assert claim_of(made, only(made)).multiplier == 2.0
