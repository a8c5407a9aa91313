"""Inside a bundle: Snakemake's local executor, which also tells what has become of each job.

After a job's results have been checked, a line is added to the report: `done` or `failed`, a tab,
and the job's first output. The executor that submitted the bundle reads it. A job that fails while
the bundle is being ended has not failed: SLURM says what becomes of the bundle.
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
        default=None, metadata={"help": "File that says what has become of each job (internal)."}
    )


class Executor(local.Executor):
    def handle_job_success(self, job: Any) -> None:
        super().handle_job_success(job)
        self._tell("done", job)

    def handle_job_error(self, job: Any) -> None:
        super().handle_job_error(job)
        if self.workflow.scheduler._user_kill is None:
            self._tell("failed", job)

    def _tell(self, word: str, job: Any) -> None:
        settings = self.workflow.executor_settings
        if settings.report:
            with Path(settings.report).open("a", encoding="utf-8") as file:
                file.write(f"{word}\t{job.output[0]}\n")
