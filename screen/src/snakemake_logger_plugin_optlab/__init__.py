"""A quiet screen for Snakemake: one line of progress, failures in short, a dry run to read.

Snakemake's own messages are in its complete log, and on the screen with --verbose, --printshellcmds
or --debug-dag.
"""

import logging
import sys
from typing import Any

from snakemake.logging import ColorizingTextHandler
from snakemake_interface_logger_plugins.base import LogHandlerBase
from snakemake_interface_logger_plugins.common import LogEvent

from snakemake_logger_plugin_optlab import failures
from snakemake_logger_plugin_optlab.plan import Plan
from snakemake_logger_plugin_optlab.progress import Progress

NOTHING = "Nothing to be done"
DRY_RUN_ENDS = "This was a dry-run"
CHATTER = (
    "Building DAG of jobs",
    "Assuming unrestricted shared",
    "Using workflow specific profile",
    "Using profile",
    "Loading profile",
)
# What Snakemake says of a call that ends early, in addition to the reason.
ECHOES = ("Exiting because a job execution failed", "WorkflowError:\nAt least one job did not")
# Of a failed job, whose error follows; and of outputs that there were none of before it.
# What the SLURM plugin says of a setting that is as it should be.
ASIDE = ("RuleException:\nCalledProcessError", "Cannot restore ", "MinJobAge ")
INTERRUPTED = (
    "interrupted: what is finished is kept, and runs continue from their checkpoints; "
    "the same call goes on"
)
ASKED = ("Cancelling snakemake on user request", "Terminating processes on user request")


class LogHandler(LogHandlerBase):
    """Writes what a person wants to see of a call of Snakemake to the standard error."""

    def __post_init__(self) -> None:
        said = self.common_settings
        self._stream = sys.stdout if said.stdout else sys.stderr
        self._everything = said.verbose or said.printshellcmds or said.debug_dag
        self._silent = "all" in {str(one).lower().rpartition(".")[2] for one in said.quiet or ()}
        self._plan = Plan() if said.dryrun else None
        self._progress = Progress(self._stream)
        self._started = self._interrupted = False
        self._failed: set[int] = set()
        if self._everything:
            self._own = ColorizingTextHandler(nocolor=said.nocolor, stream=self._stream)
            self._own.setFormatter(self._default_formatter())
            self._own.addFilter(self._default_filter())

    def _default_formatter(self) -> logging.Formatter:
        from snakemake.logging import DefaultFormatter

        return DefaultFormatter(self.common_settings.quiet, self.common_settings.show_failed_logs)

    def _default_filter(self) -> logging.Filter:
        from snakemake.logging import DefaultFilter

        said = self.common_settings
        shown = (said.quiet, said.debug_dag, said.verbose, said.dryrun, said.printshellcmds)
        return DefaultFilter(*shown)

    @property
    def writes_to_stream(self) -> bool:
        return True

    @property
    def writes_to_file(self) -> bool:
        return False

    @property
    def has_filter(self) -> bool:
        return True

    @property
    def has_formatter(self) -> bool:
        return True

    @property
    def needs_rulegraph(self) -> bool:
        return False

    def emit(self, record: logging.LogRecord) -> None:
        """Show a message; an error in here must not end the workflow."""
        try:
            if self._everything:
                self._own.handle(record)
            elif record.levelno >= logging.WARNING:
                self._error(record)
            elif not self._silent:
                self._news(record)
        except BrokenPipeError:
            raise
        except Exception:
            self.handleError(record)

    def _error(self, record: logging.LogRecord) -> None:
        event, text = getattr(record, "event", None), record.getMessage()
        if self._interrupted:
            self._progress.close()
        elif event == LogEvent.JOB_ERROR:
            self._failed.add(record.__dict__["jobid"])
            self._progress.failed(record.__dict__["jobid"])
            self._say("\n".join(failures.lines(record.__dict__)))
        elif text.startswith(ASKED) or "on user request" in text:
            self._interrupt()
        elif text.startswith(ECHOES):
            self._end()
        elif text.startswith(ASIDE):
            pass
        elif text and text != "None":
            self._say(text)

    def _news(self, record: logging.LogRecord) -> None:
        event, facts = getattr(record, "event", None), record.__dict__
        text = str(record.msg or "")
        if getattr(record, "answer", False):
            self._progress.close()
            self._say(text)
        elif event == LogEvent.WORKFLOW_STARTED:
            self._started = True
        elif self._plan:
            self._dry(self._plan, event, facts, text)
        elif event == LogEvent.RUN_INFO:
            self._progress.expect(facts["stats"])
        elif event == LogEvent.JOB_INFO:
            self._progress.started(facts["jobid"], facts["rule_name"])
        elif event == LogEvent.JOB_FINISHED:
            self._progress.finished(facts["job_id"])
        elif text.startswith(NOTHING):
            self._say("nothing to do: everything that was asked for is there and up to date")
        elif text.startswith(ASKED):
            self._interrupt()
        elif text.startswith("Elapsed time"):
            self._progress.close()
        elif not self._started and event is None and text and not text.startswith(CHATTER):
            self._say(text)

    def _dry(self, plan: Plan, event: Any, facts: dict[str, Any], text: str) -> None:
        if event == LogEvent.JOB_INFO:
            plan.add(facts)
        elif text.startswith(NOTHING):
            self._say("nothing to do: everything that was asked for is there and up to date")
        elif text.startswith(DRY_RUN_ENDS):
            self._say("\n".join(plan.lines()))

    def _interrupt(self) -> None:
        if not self._interrupted:
            self._interrupted = True
            self._say(INTERRUPTED)

    def _end(self) -> None:
        """Say once that jobs have failed, and how to go on."""
        count = len(self._failed)
        if count and not self._interrupted:
            jobs = "1 job" if count == 1 else f"{count} jobs"
            self._say(f"{jobs} failed; the same call tries them again and keeps the rest")
        self._failed.clear()

    def _say(self, text: str) -> None:
        self._progress.clear()
        print(text, file=self._stream, flush=True)
