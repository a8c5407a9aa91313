"""The screen of a call: one line of progress, failures in short, and a dry run that can be read."""

import io
import logging
import re
from types import SimpleNamespace

import pytest
from snakemake_interface_logger_plugins.common import LogEvent

from snakemake_logger_plugin_optlab import LogHandler, failures, plan
from snakemake_logger_plugin_optlab.progress import Progress

RUN = "results/tiny/runs/fit/{}/line+linear/lr={}/epochs=2/{}"
PARAMS = "Params have changed since last execution: Union of exclusive params before and now across"


class Screen:
    """What the plugin writes of messages as Snakemake sends them."""

    def __init__(self, monkeypatch, terminal=False, **settings):
        self.stream = io.StringIO()
        self.stream.isatty = lambda: terminal
        monkeypatch.setattr("sys.stderr", self.stream)
        flags = ("printshellcmds", "debug_dag", "verbose", "stdout", "dryrun", "show_failed_logs")
        usual = {**dict.fromkeys(flags, False), "nocolor": True, "quiet": None}
        self.handler = LogHandler(SimpleNamespace(**{**usual, **settings}), None)

    def say(self, text, level=logging.INFO, **facts):
        record = logging.LogRecord("snakemake", level, "", 0, text, None, None)
        record.__dict__.update(facts)
        if all(
            one(record) if callable(one) else one.filter(record) for one in self.handler.filters
        ):
            self.handler.emit(record)

    @property
    def told(self):
        return self.stream.getvalue()

    def call(self, rules):
        """The messages at the beginning of a call."""
        self.say("Building DAG of jobs...")
        self.say("banner", event=LogEvent.WORKFLOW_STARTED)
        self.say("Provided cores: 2", event=LogEvent.RESOURCES_INFO)
        stats = {**rules, "total": sum(rules.values())}
        self.say("Job stats:\n...", event=LogEvent.RUN_INFO, stats=stats)

    def job(self, number, rule="train", **facts):
        usual = {"input": [], "output": [RUN.format("sgd", number, "metrics.tsv")], "log": []}
        self.say(
            "info", event=LogEvent.JOB_INFO, jobid=number, rule_name=rule, **{**usual, **facts}
        )


def test_a_call_is_one_line_of_progress(monkeypatch):
    screen = Screen(monkeypatch)
    screen.call({"train": 3, "tables": 1})
    for number in range(3):
        screen.job(number)
        screen.say("Finished", event=LogEvent.JOB_FINISHED, job_id=number)
    screen.say("Elapsed time: 0:00:01")
    assert screen.told == "3 of 4 jobs done, after 0 s\n"


def test_a_terminal_has_a_line_that_is_written_over(monkeypatch):
    clock = iter(float(t) for t in range(100))
    monkeypatch.setattr("time.monotonic", lambda: next(clock))
    screen = Screen(monkeypatch, terminal=True)
    screen.call({"train": 4})
    screen.job(0)
    screen.job(1)
    screen.say("Finished", event=LogEvent.JOB_FINISHED, job_id=0)
    assert screen.told.count("\n") == 0 and screen.told.count("\r") == 3
    last = screen.told.rpartition("\r")[2].removesuffix("\x1b[K")
    assert re.fullmatch(r"1 of 4 jobs done, 1 running, about \d+ s left", last)


def test_the_time_that_is_left_follows_the_work_and_not_the_number_of_jobs(monkeypatch):
    now = [0.0]
    monkeypatch.setattr("time.monotonic", lambda: now[0])
    progress = Progress(io.StringIO())
    progress.expect({"train": 10, "tables": 2, "total": 12})
    assert progress._seconds_left() is None
    for number in range(5):
        progress.started(number, "train")
        now[0] += 10
        progress.finished(number)
    progress.started(5, "tables")
    now[0] += 1
    progress.finished(5)
    # Five trainings of 10 s and tables of 1 s in 51 s, one after the other: as many are left.
    assert progress._seconds_left() == pytest.approx(51)


LOG = "seed 1/3 epoch 2\nTraceback (most recent call last):\n  x\nerror: not enough memory: 3 GB\n"


@pytest.mark.parametrize(
    ("log", "reason"),
    [
        (LOG, "error: not enough memory: 3 GB"),
        ("seed 1/3\n", "it was killed, or ended without a reason, after: seed 1/3"),
        ("", "it was killed, or ended without a reason, after: nothing"),
        ("error: \x1b[31mred\x07\n", "error: [31mred"),
        (b"\xff\xfe\n", "it was killed, or ended without a reason, after: ��"),
        (None, None),
    ],
)
def test_a_failure_takes_three_lines(monkeypatch, here, log, reason):
    if log is not None:
        (here / "job.log").write_bytes(log if isinstance(log, bytes) else log.encode())
    screen = Screen(monkeypatch)
    screen.call({"train": 2})
    screen.job(7)
    output = [RUN.format("sgd", 7, file) for file in ("metrics.tsv", "run.json")]
    facts = {"rule_name": "train", "rule_msg": None, "output": output, "log": ["job.log"]}
    command = "RuleException:\nCalledProcessError in file x"
    screen.say(command, logging.ERROR, event=LogEvent.ERROR, exception="RuleException")
    screen.say("Error in rule", logging.ERROR, event=LogEvent.JOB_ERROR, jobid=7, **facts)
    screen.say("Exiting because a job execution failed. Look", logging.ERROR)
    screen.say("WorkflowError:\nAt least one job did not complete", logging.ERROR)
    screen.say("Elapsed time: 0:00:01")
    expected = ["failed: train fit/sgd/line+linear/lr=7/epochs=2"]
    expected += [f"  {reason}"] if reason else []
    expected += ["  log: job.log"]
    expected += ["1 job failed; the same call tries them again and keeps the rest"]
    assert screen.told.splitlines()[:-1] == expected
    assert screen.told.splitlines()[-1].startswith("0 of 2 jobs done, 1 failed")


def test_an_interrupted_call_says_what_is_kept_and_nothing_of_failures(monkeypatch):
    screen = Screen(monkeypatch)
    screen.call({"train": 2})
    screen.job(7)
    screen.say("Terminating processes on user request, this might take some time.", logging.ERROR)
    facts = {"rule_name": "train", "rule_msg": None, "output": [], "log": []}
    screen.say("Error in rule", logging.ERROR, event=LogEvent.JOB_ERROR, jobid=7, **facts)
    screen.say("WorkflowError:\nAt least one job did not complete", logging.ERROR)
    assert "the same call goes on" in screen.told and "WorkflowError" not in screen.told
    assert "failed" not in screen.told


def test_other_errors_and_warnings_are_shown(monkeypatch):
    screen = Screen(monkeypatch)
    screen.say("LockException:\nit is locked", logging.ERROR, event=LogEvent.ERROR)
    screen.say("take care", logging.WARNING)
    assert screen.told == "LockException:\nit is locked\ntake care\n"


def test_quiet_means_errors_only_and_verbose_all_of_snakemake(monkeypatch):
    quiet = Screen(monkeypatch, quiet={"all"})
    quiet.call({"train": 1})
    quiet.say("nothing", answer=True)
    assert quiet.told == ""
    loud = Screen(monkeypatch, printshellcmds=True)
    loud.say("Building DAG of jobs...")
    assert loud.told == "Building DAG of jobs...\n"


def test_a_message_that_is_not_as_expected_ends_nothing(monkeypatch, capsys):
    monkeypatch.setattr(logging, "raiseExceptions", False)
    screen = Screen(monkeypatch)
    screen.say("info", event=LogEvent.JOB_INFO)
    screen.say("still here", answer=True)
    assert screen.told == "still here\n"


# -- dry runs --------------------------------------------------------------------------------


def planned(monkeypatch, jobs):
    """The lines of a dry run of these jobs: rule, outputs, reason."""
    screen = Screen(monkeypatch, dryrun=True)
    screen.call({"train": len(jobs)})
    for number, (rule, output, reason) in enumerate(jobs):
        screen.job(number, rule, output=output, reason=reason)
    screen.say("This was a dry-run (flag -n). The order of jobs")
    return screen.told.splitlines()


def train(rate, reason="Missing output files: results/x", optimizer="sgd"):
    outputs = [f"{RUN.format(optimizer, rate, f)} (update)" for f in ("metrics.tsv", "run.json")]
    return "train", outputs, reason


def test_a_dry_run_names_each_job_once_with_its_reason(monkeypatch):
    follows = "Input files updated by another job: results/a, results/b"
    told = planned(
        monkeypatch,
        [
            train(0.1),
            train(0.2, f"{PARAMS} all output: before: '{'0' * 16}' now: '{'1' * 16}'"),
            train(0.3, f"{PARAMS} all output: before: '{{\"lr\": 1}}' now: '{{\"lr\": 2}}'"),
            train(0.4, "Updated input files: my/net.py"),
            ("tables", ["results/tiny/tables/runs.tsv", "results/tiny/tables/best.tsv"], follows),
            ("all", [], follows),
        ],
    )
    assert told == [
        "5 jobs would run:",
        "  train fit/sgd/line+linear/lr=0.1/epochs=2: not made yet",
        "  train fit/sgd/line+linear/lr=0.2/epochs=2: code changed",
        "  train fit/sgd/line+linear/lr=0.3/epochs=2: settings changed",
        "  train fit/sgd/line+linear/lr=0.4/epochs=2: its input changed (net.py)",
        "  tables: follows from the jobs above",
        "This was a dry run: nothing was changed.",
    ]


@pytest.mark.parametrize("optimizers", [1, 20, 200])
def test_a_dry_run_of_many_runs_is_short_and_counts_them(monkeypatch, optimizers):
    jobs = [train(rate, optimizer=f"o{n}") for n in range(optimizers) for rate in range(100)]
    told = planned(monkeypatch, jobs)
    assert len(told) <= 60 and max(map(len, told)) < 250
    counts = [int(count) for count in re.findall(r"\((\d+) jobs", "\n".join(told))]
    assert sum(counts) == len(jobs)


def test_what_a_job_is_about():
    assert plan.subject(["results/data/digits-12.json", "results/data/digits-12.pt"]) == "digits-12"
    assert plan.subject(["results/tiny/study.yaml"]) == "results/tiny/study.yaml"
    assert plan.subject([]) == ""
    assert failures.lines({"rule_name": "x"}) == ["failed: x"]
