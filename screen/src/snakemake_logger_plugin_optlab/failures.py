"""A job that failed, in at most three lines: its name, the reason, and its log."""

from collections.abc import Mapping
from pathlib import Path
from typing import Any

from snakemake_logger_plugin_optlab.plan import subject

WIDTH = 300  # characters of a reason
TAIL = 20_000  # bytes of a log that are read


def lines(facts: Mapping[str, Any]) -> list[str]:
    """The lines about a job, from the facts of Snakemake's event."""
    outputs = [str(file) for file in facts.get("output") or ()]
    found = [f"failed: {facts['rule_name']} {subject(outputs)}".rstrip()]
    logs = [str(file) for file in facts.get("log") or ()]
    reason = next(filter(None, map(_reason, logs)), "") or _told(facts)
    if reason:
        found.append(f"  {reason[:WIDTH]}")
    if logs:
        found.append(f"  log: {logs[0]}")
    return found


def _told(facts: Mapping[str, Any]) -> str:
    return " ".join(str(facts.get("rule_msg") or "").split())


def _reason(log: str) -> str:
    """The last error that a log names, else its last line."""
    try:
        with Path(log).open("rb") as file:
            file.seek(max(0, Path(log).stat().st_size - TAIL))
            text = file.read().decode(errors="replace")
    except OSError:
        return ""
    found = [line.strip() for line in text.splitlines() if line.strip()]
    errors = [line for line in found if line.startswith("error: ")]
    last = found[-1] if found else "nothing"
    words = errors[-1] if errors else f"it was killed, or ended without a reason, after: {last}"
    return "".join(c for c in words if c.isprintable())
