"""Campaigns: short ones, whose faults Hypothesis makes small; and that they see what they seek."""

import json
import os
import signal
import sys
import time
from random import Random

import bases
import commands
import core
import damage
import data_files
import kills
import laboratory
import pytest
import studies
from hypothesis import given, seed, settings
from hypothesis import strategies as st
from test_house import ROOT

SEED = 0
CAMPAIGNS = (studies, data_files, damage, commands, kills)

slow = pytest.mark.slow


@pytest.fixture(scope="module", autouse=True)
def warm():
    core.warm_up()


def end_of(campaign, random):
    """The end of a case, which must be no fault."""
    case = campaign.case(random)
    end = core.judged(campaign, case)
    assert end.kind in core.GOOD, f"{end.kind}: {core.show(case)}\n{end.seen}"


def short(campaign):
    """As many examples as a short pass of the campaign has, the same ones each time."""
    chosen = settings(max_examples=campaign.LENGTHS[0], deadline=None, database=None)
    return lambda test: seed(SEED)(chosen(given(st.randoms(use_true_random=False))(test)))


@slow
@short(studies)
def test_a_study_is_refused_in_one_line_or_trains(random):
    end_of(studies, random)


@slow
@short(data_files)
def test_a_file_of_the_users_own_is_refused_in_one_line_or_trains(random):
    end_of(data_files, random)


def conduct(campaign, part, parts):
    """One of several parts of a short pass."""
    tally = core.conduct(campaign, SEED, range(part, campaign.LENGTHS[0], parts))
    assert not tally.faults, tally.report()


@slow
@pytest.mark.parametrize("part", range(2))
def test_damage_is_told_and_made_good(part):
    conduct(damage, part, 2)


@slow
@pytest.mark.parametrize("part", range(2))
def test_a_command_line_ends_well_or_in_one_line(part):
    conduct(commands, part, 2)


@slow
@pytest.mark.parametrize("study", kills.STUDIES)
def test_a_kill_costs_no_number_and_no_finished_run(study):
    number = kills.LENGTHS[0] // len(kills.STUDIES)
    for index in range(number):
        case = core.one_case(kills, f"{SEED} {study}", index)._replace(study=study)
        end = core.judged(kills, case)
        assert end.kind in core.GOOD, f"{end.kind}: {case.words}\n{end.seen}"


# -- the campaigns themselves ----------------------------------------------------------------------


@pytest.mark.parametrize("name", bases.TEXTS)
def test_a_study_that_is_edited_was_right_before(name, here):
    case = studies.Case(name, bases.TEXTS[name].encode(), trains=False)
    assert core.judged(studies, case) == core.End("planned")


@pytest.mark.parametrize("campaign", CAMPAIGNS, ids=lambda campaign: campaign.__name__)
def test_a_number_and_a_seed_name_a_case(campaign):
    cases = [core.one_case(campaign, 3, index) for index in range(20)]
    assert cases == [core.one_case(campaign, 3, index) for index in range(20)]
    assert len(set(map(str, cases))) > 15


def says(text, status=1):
    def function():
        print(text, file=sys.stderr)
        raise SystemExit(status)

    return function


def sleeps():
    time.sleep(60)


FAULTS = {
    "traceback": lambda: 1 / 0,
    "hang": sleeps,
    "killed": lambda: os.kill(os.getpid(), signal.SIGKILL),
    "no word": says("it is wrong"),
    "long line": says("error: " + "x" * 2000),
    "control characters": says("error: \x1b[31mred"),
}


@pytest.mark.parametrize("kind", FAULTS)
def test_what_a_user_must_not_see_is_seen(kind, here):
    called = core.apart(FAULTS[kind], here, seconds=1 if kind == "hang" else 30)
    assert called.fault and called.fault.kind == kind


def test_what_ends_well_is_no_fault(here):
    assert core.apart(lambda: {"a": 1}, here).value == {"a": 1}
    for end in (says("error: a\nerror: b"), says("done", 0)):
        assert core.apart(end, here).fault is None


def test_a_study_that_passes_and_does_not_train_is_a_late_failure(monkeypatch):
    from optlab.training import loop

    case = studies.Case("", bases.FIT.encode(), trains=True)
    assert core.judged(studies, case).kind == "ran"
    monkeypatch.setattr(loop, "train", lambda *arguments: 1 / 0)
    end = core.judged(studies, case)
    assert end.kind == "late failure" and "train.py" in end.seen


def test_a_plan_that_fails_is_a_fault(monkeypatch):
    from optlab.study import table

    monkeypatch.setattr(table, "skipped", lambda study: 1 / 0)
    end = core.judged(studies, studies.Case("", bases.FIT.encode(), trains=False))
    assert end.kind == "traceback" and "ZeroDivisionError" in end.seen


@pytest.fixture
def finished(here, monkeypatch):
    """A small finished study, made by the programs alone."""
    laboratory.prepared(here, bases.FIT)
    import whole

    assert whole.run(here) is None
    monkeypatch.setattr(laboratory, "finished", lambda name: here)
    return here


def test_damage_without_a_word_is_seen(finished, tmp_path_factory):
    copy = tmp_path_factory.mktemp("copy")
    laboratory.copied("fit", copy)
    assert laboratory.differences(copy, "fit") == []
    (file,) = copy.glob("results/small/runs/fit/momentum/**/metrics.tsv")
    for kind in ("a changed digit", "without its last lines", "gone"):
        damage.KINDS[kind](file, Random(1))
        assert laboratory.differences(copy, "fit") == [str(file.relative_to(copy))]


def test_what_a_kill_leaves_is_seen(finished):
    done = {}
    assert kills.trained_twice(done, finished) == [] and len(done) == 3
    (file,) = finished.glob("results/small/runs/fit/momentum/**/run.json")
    record = json.loads(file.read_text())
    record["seeds"][0]["seconds"] += 1
    file.write_text(json.dumps(record))
    (twice,) = kills.trained_twice(done, finished)
    assert twice.endswith("seed 0") and "momentum" in twice
    assert kills.left_over(finished) == []
    for name in ("results/data/.line-1/x", "results/small/state/a.json", "tmp/optlab-0/socket"):
        (finished / name).parent.mkdir(parents=True, exist_ok=True)
        (finished / name).touch()
    assert len(kills.left_over(finished)) == 3


def test_what_is_left_running_is_seen():
    import subprocess

    environment = {**os.environ, kills.MARK: "abc"}
    process = subprocess.Popen(["sleep", "60"], env=environment)
    try:
        assert [one.pid for one in kills.with_mark("abc")] == [process.pid]
    finally:
        process.kill()
        process.wait()
    assert kills.with_mark("abc") == []


def test_the_readme_names_every_campaign():
    text = (ROOT / "tests/campaigns/README.md").read_text(encoding="utf-8")
    assert all(f"`{campaign.__name__}`" in text for campaign in CAMPAIGNS) and "`clusters`" in text
