"""SLURM's executor plugin, with jobs in bundles: one SLURM job, one Snakemake, one or many jobs.

Jobs whose resource `predicted_seconds` is small wait for a moment for others like them and share a
submission; every other job is a bundle of its own. In a bundle, one Snakemake runs the jobs with
its local executor and reports on each (`snakemake_executor_plugin_optlab_bundle`). To the plugin a
bundle looks like a job: it is submitted, watched and its end is told by the plugin; what the end
means for each member is decided here.
"""

import asyncio
import json
import os
import shlex
import subprocess
import threading
import time
from collections.abc import AsyncGenerator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import snakemake_executor_plugin_slurm as slurm
from snakemake_interface_executor_plugins.executors.base import SubmittedJobInfo

from . import bundles, refusals
from .bundles import Bundle

common_settings = slurm.common_settings
GATHER_SECONDS = 1.0  # for which the first short job waits for others
LOOK_SECONDS = 1.0  # between two looks at the bundles' reports, which cost SLURM nothing
CONFIRM_SECONDS = 30.0  # for which SLURM is asked after a bundle that seems to have ended


async def _states(command: str, logger: Any) -> tuple[dict[str, str] | None, float | None]:
    """What SLURM says of each job, in one word.

    It says "CANCELLED by 0" of a job that somebody has cancelled, which the plugin (2.8.0) takes
    for running, and waits for ever.
    """
    states, seconds = await _query(command, logger)
    return states and {job: state.split()[0] for job, state in states.items() if state}, seconds


_query, slurm.query_job_status = slurm.query_job_status, _states


def _setting(default: int, text: str) -> Any:
    return field(default=default, metadata={"help": text, "env_var": False, "required": False})


@dataclass
class ExecutorSettings(slurm.ExecutorSettings):
    """The plugin's settings, and those of bundles."""

    together_seconds: int = _setting(
        300, "Jobs predicted to take at most so many seconds share a submission; 0: none does."
    )
    together_cpus: int = _setting(8, "Processors of a shared submission, at most.")
    together_minutes: int = _setting(10, "What a shared submission is predicted to take, at most.")


class Executor(slurm.Executor):
    def __post_init__(self, test_mode: bool = False) -> None:
        super().__post_init__(test_mode)
        self._gathered: list[Any] = []
        self._gathering = threading.Lock()
        self._timer: threading.Timer | None = None
        self._submitted = 0
        self._ends = False
        # Where the profile names none, SLURM has defaults; the plugin would guess, and complain.
        self._fallback_account_arg = self._fallback_partition = ""
        self._replace_dead_call()

    # -- submission --------------------------------------------------------------------------

    def run_jobs(self, jobs: list[Any]) -> None:
        scheduler = self.workflow.scheduler
        if scheduler.subsample:
            # A cluster takes all jobs that are ready, and bundles are made of many.
            scheduler.subsample = None
            scheduler._open_jobs.release()
        limit = self.workflow.executor_settings.together_seconds
        short = []
        for job in jobs:
            if job.is_group():
                super().run_jobs([job])
                continue
            self.run_job_pre(job)
            if limit and bundles.is_short(job, limit):
                short.append(job)
            else:
                self._job_submission_executor.submit(self.run_job, Bundle([job], job.threads))
        with self._gathering:
            self._gathered += short
            if short and self._timer is None:
                self._timer = threading.Timer(GATHER_SECONDS, self._submit_gathered)
                self._timer.daemon = True
                self._timer.start()

    def _submit_gathered(self) -> None:
        with self._gathering:
            jobs, self._gathered, self._timer = self._gathered, [], None
        settings = self.workflow.executor_settings
        try:
            packed = bundles.pack(jobs, settings.together_cpus, 60 * settings.together_minutes)
            for bundle in packed:
                if not self._ends:
                    self._job_submission_executor.submit(self.run_job, bundle)
        except Exception as error:  # in a thread: nobody else would hear of it
            self.workflow.scheduler.executor_error_callback(error)

    def format_job_exec(self, job: Any) -> str:
        """The shell command of a SLURM job: a program that is told the rest, long, by a file."""
        if not isinstance(job, Bundle):
            return super().format_job_exec(job)
        self._submitted += 1
        file = Path(self.tmpdir, f"bundle-{self._submitted}.json")
        job.report = file.with_suffix(".report")
        content = {"command": self._command(job), "targets": [*job.open], "report": str(job.report)}
        file.write_text(json.dumps(content), encoding="utf-8")
        python = [self.get_python_executable(), "-m", "snakemake_executor_plugin_optlab_bundle"]
        factory = self.workflow.spawned_job_args_factory
        before = factory.precommand(executor_common_settings=self.common_settings)
        return (f"{before} && " if before else "exec ") + shlex.join([*python, str(file)])

    def _command(self, bundle: Bundle) -> list[str]:
        """What follows `python` where a bundle's jobs are run, their names left out.

        They are named by their outputs: Snakemake's own way, `--target-jobs`, cannot name a job
        that has a comma in a wildcard.
        """
        factory = self.workflow.spawned_job_args_factory
        general = factory.general_args(executor_common_settings=self.common_settings)
        inputs = sorted({file for job in bundle.members for file in job.get_wait_for_files()})
        waited_for = bundle.report.with_suffix(".inputs")
        waited_for.write_text("".join(f"{file}\n" for file in inputs), encoding="utf-8")
        return [
            *("-m", "snakemake", "--snakefile", str(self.get_snakefile()), *shlex.split(general)),
            *("--executor", "optlab-bundle", "--optlab-bundle-report", str(bundle.report)),
            *("--mode", "remote", "--keep-going", "--cores", str(bundle.threads)),
            *("--attempt", str(bundle.attempt), "--force-use-threads"),
            *("--resources", f"gpu={bundle.resources.get('gpu') or 0}"),
            *("--wait-for-files-file", str(waited_for)),
            *("--allowed-rules", *sorted({rule for job in bundle.members for rule in job.rules})),
        ]

    def report_job_submission(self, job_info: SubmittedJobInfo, register_job: bool = True) -> None:
        bundle = job_info.job
        if not isinstance(bundle, Bundle):
            super().report_job_submission(job_info, register_job)
            return
        for member in bundle.members:
            member.register(external_jobid=job_info.external_jobid)
        with self.lock:
            self.active_jobs.append(job_info)

    def _report_job_error_threadsafe(self, job_info: SubmittedJobInfo, msg: str) -> None:
        """A submission failed; where trying again cannot help, it is not tried again."""
        bundle = job_info.job
        members = bundle.members if isinstance(bundle, Bundle) else [bundle]
        if reason := refusals.reason(msg):
            self.logger.error(reason)
            for member in members:
                member.attempt = max(member.attempt, member.restart_times + 1)
        if isinstance(bundle, Bundle):
            self.logger.error(f"{_count(members)} could not be submitted: {msg}")
            for member in members:
                self.workflow.scheduler.error_callback(member)
        else:
            super()._report_job_error_threadsafe(job_info, msg)

    # -- what becomes of the jobs ------------------------------------------------------------

    async def check_active_jobs(
        self, active_jobs: list[SubmittedJobInfo]
    ) -> AsyncGenerator[SubmittedJobInfo, None]:
        for info in active_jobs:
            self._tell_news(info)
        left = [j for j in active_jobs if not isinstance(j.job, Bundle) or j.job.open]
        async for info in super().check_active_jobs(left):
            yield info

    def _tell_news(self, info: SubmittedJobInfo) -> None:
        if not isinstance(info.job, Bundle):
            return
        for member, well in info.job.news():
            member_info = SubmittedJobInfo(member, info.external_jobid, info.aux)
            if well:
                super().report_job_success(member_info)
            else:
                super().report_job_error(member_info)

    def report_job_success(self, job_info: SubmittedJobInfo) -> None:
        if isinstance(job_info.job, Bundle):
            self._end_bundle(job_info, "has ended, but")
        else:
            super().report_job_success(job_info)

    def report_job_error(
        self, job_info: SubmittedJobInfo, msg: str | None = None, **more: Any
    ) -> None:
        if isinstance(job_info.job, Bundle):
            self._end_bundle(job_info, f"has failed ({msg}), and")
        else:
            super().report_job_error(job_info, msg, **more)

    def _end_bundle(self, info: SubmittedJobInfo, how: str) -> None:
        """Settle the members of a bundle that is no more; those without a word are lost."""
        bundle = info.job
        end = time.monotonic() + self.workflow.execution_settings.latency_wait
        self._tell_news(info)
        while bundle.open and how.startswith("has ended") and time.monotonic() < end:
            time.sleep(0.5)
            self._tell_news(info)
        if not bundle.open:
            return
        names = [*bundle.open][:5] + ["…"] * (len(bundle.open) > 5)
        log = (info.aux or {}).get("slurm_logfile")
        self.logger.error(
            f"SLURM job {info.external_jobid} {how} {_count(bundle.open)} of its "
            f"{len(bundle.members)} not finished: {', '.join(names)}; its log: {log}"
        )
        for member in bundle.open.values():
            self.workflow.scheduler.error_callback(member)
        bundle.open = {}

    async def sleep(self) -> None:
        """Tell news until the next question to SLURM is due, or a bundle seems to have ended."""
        start = time.monotonic()
        while self.wait:
            await asyncio.sleep(LOOK_SECONDS)
            with self.lock:
                active = list(self.active_jobs)
            for info in active:
                self._tell_news(info)
            now = time.monotonic()
            if now - start >= self.next_seconds_between_status_checks or any(
                info.job.open and info.job.ended and now - info.job.ended < CONFIRM_SECONDS
                for info in active
                if isinstance(info.job, Bundle)
            ):
                return

    # -- the end -----------------------------------------------------------------------------

    def cancel(self) -> None:
        self._ends = True
        if self._timer:
            self._timer.cancel()
        self._job_submission_executor.shutdown(wait=True, cancel_futures=True)
        super().cancel()

    def cancel_jobs(self, active_jobs: list[SubmittedJobInfo]) -> None:
        """Cancel by the one name that all jobs of this call have."""
        if self._submitted_job_clusters:
            super().cancel_jobs(active_jobs)
        else:
            subprocess.run(["scancel", f"--name={self.run_uuid}"], timeout=60, check=False)

    def shutdown(self) -> None:
        super().shutdown()
        self._note.unlink(missing_ok=True)

    def _replace_dead_call(self) -> None:
        """End what a call of Snakemake in this folder that was killed has left in the queue.

        Its jobs would go on beside those of this call, which plans anew what is not finished.
        """
        self._note = Path(".snakemake", "optlab-slurm.json").absolute()
        host = os.uname().nodename
        try:
            dead = json.loads(self._note.read_text(encoding="utf-8"))
            lives = dead["host"] == host and Path(f"/proc/{dead['pid']}").exists()
        except (OSError, ValueError, KeyError):
            lives, dead = True, {}
        if not lives:
            name = f"--name={dead['name']}"
            subprocess.run(["scancel", name], timeout=60, check=False)
            end = time.monotonic() + 60
            while (
                time.monotonic() < end
                and subprocess.run(
                    ["squeue", "--noheader", "--format=%i", name], capture_output=True, check=False
                ).stdout.strip()
            ):
                time.sleep(0.5)
        note = {"host": host, "pid": os.getpid(), "name": self.run_uuid}
        self._note.write_text(json.dumps(note), encoding="utf-8")


def _count(jobs: Any) -> str:
    return f"{len(jobs)} job{'s' * (len(jobs) != 1)}"
