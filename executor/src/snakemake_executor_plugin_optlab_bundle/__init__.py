"""The executor inside a bundle: Snakemake's local executor, which also reports how each job ended.

Once the outputs of a job have been checked, it appends a line to the report: `done` or `failed`, a
tab, and the job's first output. The executor that submitted the bundle reads the report. A job that
fails while the bundle is being terminated is not reported: SLURM says why the bundle ended.
"""

from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Optional

from snakemake.executors import local
from snakemake_interface_executor_plugins.settings import ExecutorSettingsBase

common_settings = local.common_settings


@dataclass
class ExecutorSettings(ExecutorSettingsBase):
    """Set by the executor that submitted the bundle."""

    report: Optional[Path] = field(  # noqa: UP045 -- Snakemake reads this type
        default=None, metadata={"help": "File that lists the jobs that have ended (internal)."}
    )


class Executor(local.Executor):
    def handle_job_success(self, job: Any) -> None:
        super().handle_job_success(job)
        self._report("done", job)

    def handle_job_error(self, job: Any) -> None:
        super().handle_job_error(job)
        if self.workflow.scheduler._user_kill is None:
            self._report("failed", job)

    def _report(self, word: str, job: Any) -> None:
        settings = self.workflow.executor_settings
        if settings.report:
            with Path(settings.report).open("a", encoding="utf-8") as file:
                file.write(f"{word}\t{job.output[0]}\n")
