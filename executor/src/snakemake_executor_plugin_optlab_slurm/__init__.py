"""The SLURM executor plugin with bundles: one SLURM job, one Snakemake, one or many jobs.

Jobs with a small resource `predicted_seconds` are collected for a moment and share a submission;
every other job is a bundle by itself. In a bundle, one Snakemake runs the jobs with its local
executor and reports each one's end (`snakemake_executor_plugin_optlab_bundle`). The plugin treats a
bundle like a job: it submits it, polls its state and reports its end. This module decides what that
means for each member.
"""

import asyncio
import itertools
import json
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

from . import bundles, calls, held, refusals
from .bundles import Bundle
from .exclusion import Excluded

common_settings = slurm.common_settings
GATHER_SECONDS = 1.0  # that the first short job waits for others
LOOK_SECONDS = 1.0  # between two readings of the reports, which are files: SLURM is not asked
CONFIRM_SECONDS = 30.0  # that SLURM is polled without a pause after a report says "end"


async def _states(command: str, logger: Any) -> tuple[dict[str, str] | None, float | None]:
    """The state of each job as one word.

    SLURM reports a job that somebody has cancelled as "CANCELLED by 0". The plugin (2.8.0) takes
    this for a running job and waits forever. A job that is held because its node did not start it
    counts as failed by its node.
    """
    states, seconds = await _query(command, logger)
    if not states:
        return states, seconds
    found = {job: state.split()[0] for job, state in states.items() if state}
    pending = [job for job, state in found.items() if state == "PENDING"]
    return found | dict.fromkeys(held.cancel(pending), "NODE_FAIL"), seconds


_query, slurm.query_job_status = slurm.query_job_status, _states


def _setting(default: int, text: str) -> Any:
    return field(default=default, metadata={"help": text, "env_var": False, "required": False})


@dataclass
class ExecutorSettings(slurm.ExecutorSettings):
    """The settings of the plugin and of bundles."""

    together_seconds: int = _setting(
        300, "Jobs predicted to take at most this many seconds share a submission; 0: none does."
    )
    together_cpus: int = _setting(8, "Most processors of a shared submission.")
    together_minutes: int = _setting(10, "Most minutes predicted for a shared submission.")


class Executor(slurm.Executor):
    def __post_init__(self, test_mode: bool = False) -> None:
        super().__post_init__(test_mode)
        self._failed_nodes = Excluded(vars(self)["_failed_nodes"])
        self._gathered: list[Any] = []
        self._gathering = threading.Lock()
        self._timer: threading.Timer | None = None
        self._numbers = itertools.count(1)  # of bundles, which two threads submit
        self._ends = False
        # If the profile names none, SLURM's defaults hold; the plugin would guess and warn.
        self._fallback_account_arg = self._fallback_partition = ""
        self._note = Path(".snakemake", "optlab-slurm.json").absolute()
        calls.begin(self._note, self.run_uuid)

    # -- submission --------------------------------------------------------------------------

    def run_jobs(self, jobs: list[Any]) -> None:
        scheduler = self.workflow.scheduler
        if scheduler.subsample:
            # A cluster accepts all ready jobs, and a bundle is made of many.
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
        except Exception as error:  # a thread would drop it
            self.workflow.scheduler.executor_error_callback(error)

    def format_job_exec(self, job: Any) -> str:
        """The shell command of a SLURM job: a program that reads the long rest from a file."""
        if not isinstance(job, Bundle):
            return super().format_job_exec(job)
        file = Path(self.tmpdir, f"bundle-{next(self._numbers)}.json")
        job.report = file.with_suffix(".report")
        content = {"command": self._command(job), "targets": [*job.open], "report": str(job.report)}
        file.write_text(json.dumps(content), encoding="utf-8")
        python = [self.get_python_executable(), "-m", "snakemake_executor_plugin_optlab_bundle"]
        factory = self.workflow.spawned_job_args_factory
        before = factory.precommand(executor_common_settings=self.common_settings)
        return (f"{before} && " if before else "exec ") + shlex.join([*python, str(file)])

    def _command(self, bundle: Bundle) -> list[str]:
        """The command line that runs a bundle's jobs, without `python` and their names.

        Jobs are named by their outputs: one readable command line for any number of jobs, which
        does not depend on how `--target-jobs` encodes wildcards.
        """
        factory = self.workflow.spawned_job_args_factory
        general = factory.general_args(executor_common_settings=self.common_settings)
        inputs = sorted({file for job in bundle.members for file in job.get_wait_for_files()})
        awaited = bundle.report.with_suffix(".inputs")
        awaited.write_text("".join(f"{file}\n" for file in inputs), encoding="utf-8")
        return [
            *("-m", "snakemake", "--snakefile", str(self.get_snakefile()), *shlex.split(general)),
            *("--executor", "optlab-bundle", "--optlab-bundle-report", str(bundle.report)),
            *("--mode", "remote", "--keep-going", "--cores", str(bundle.threads)),
            *("--attempt", str(bundle.attempt), "--force-use-threads"),
            *("--resources", f"gpu={bundle.resources.get('gpu') or 0}"),
            *("--wait-for-files-file", str(awaited)),
            *("--allowed-rules", *sorted({rule for job in bundle.members for rule in job.rules})),
        ]

    def _report_job_error_threadsafe(self, job_info: SubmittedJobInfo, msg: str) -> None:
        """A submission failed. After a final refusal the jobs are not tried again."""
        bundle = job_info.job
        members = bundle.members if isinstance(bundle, Bundle) else [bundle]
        reason = refusals.reason(msg)
        if reason and self._failed_nodes:
            # They may be up again, and the others too few: a retry is submitted to all.
            self._failed_nodes.clear()
        elif reason:
            self.logger.error(reason)
            for member in members:
                member.attempt = max(member.attempt, member.restart_times + 1)
        if isinstance(bundle, Bundle):
            self.logger.error(f"{_count(members)} could not be submitted: {msg}")
            for member in members:
                self.workflow.scheduler.error_callback(member)
        else:
            super()._report_job_error_threadsafe(job_info, msg)

    # -- ends of jobs ------------------------------------------------------------------------

    async def check_active_jobs(
        self, active_jobs: list[SubmittedJobInfo]
    ) -> AsyncGenerator[SubmittedJobInfo, None]:
        for info in active_jobs:
            self._report_members(info)
        left = [j for j in active_jobs if not isinstance(j.job, Bundle) or j.job.open]
        async for info in super().check_active_jobs(left):
            yield info

    def _report_members(self, info: SubmittedJobInfo) -> None:
        if not isinstance(info.job, Bundle):
            return
        for member, succeeded in info.job.news():
            member_info = SubmittedJobInfo(member, info.external_jobid, info.aux)
            if succeeded:
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
        """Report all members of a bundle that has ended; those not in its report have failed."""
        bundle = info.job
        end = time.monotonic() + self.workflow.execution_settings.latency_wait
        self._report_members(info)
        while bundle.open and how.startswith("has ended") and time.monotonic() < end:
            time.sleep(0.5)
            self._report_members(info)
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
        """Report members until SLURM is to be polled: at its time, or when a bundle has ended."""
        start = time.monotonic()
        while self.wait:
            await asyncio.sleep(LOOK_SECONDS)
            with self.lock:
                active = list(self.active_jobs)
            for info in active:
                self._report_members(info)
            now = time.monotonic()
            if now - start >= self.next_seconds_between_status_checks or any(
                info.job.open and info.job.ended and now - info.job.ended < CONFIRM_SECONDS
                for info in active
                if isinstance(info.job, Bundle)
            ):
                return

    # -- end of the call ---------------------------------------------------------------------

    def cancel(self) -> None:
        self._ends = True
        if self._timer:
            self._timer.cancel()
        self._job_submission_executor.shutdown(wait=True, cancel_futures=True)
        super().cancel()

    def cancel_jobs(self, active_jobs: list[SubmittedJobInfo]) -> None:
        """Cancel all jobs of this call by the name that they share."""
        if self._submitted_job_clusters:
            super().cancel_jobs(active_jobs)
        else:
            subprocess.run(["scancel", f"--name={self.run_uuid}"], timeout=60, check=False)

    def shutdown(self) -> None:
        super().shutdown()
        self._note.unlink(missing_ok=True)


def _count(jobs: Any) -> str:
    return f"{len(jobs)} job{'s' * (len(jobs) != 1)}"
