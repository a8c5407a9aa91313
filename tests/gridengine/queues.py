"""What Grid Engine says of its jobs."""

import subprocess
from pathlib import Path

from lab import wait_until

CLUSTER = Path(__file__).with_name("cluster.sh")


def told_by(*command):
    done = subprocess.run(command, capture_output=True, text=True, check=True, timeout=60)
    return done.stdout.splitlines()


class Jobs:
    """The jobs that were submitted after this was made."""

    def __init__(self):
        self.before = self._ended()

    def queue(self):
        """State by job number, of jobs that wait or run."""
        return {row.split()[0]: row.split()[4] for row in told_by("qstat", "-u", "*")[2:]}

    def delete(self):
        if left := self.queue():
            subprocess.run(["qdel", *left], capture_output=True, check=False)
        wait_until(lambda: not self.queue(), 30, "an empty queue")

    def ended(self):
        """The accounts of jobs that have ended, in their order: lines of names and values."""
        wait_until(lambda: not self.queue(), 30, "an empty queue")
        return [facts for number, facts in sorted(self._ended().items())
                if number not in self.before]  # fmt: skip

    def _ended(self):
        try:
            lines = told_by("qacct", "-j", "*")
        except subprocess.CalledProcessError:  # nothing has ended yet
            return {}
        found, facts = {}, {}
        for line in lines:
            if line.startswith("===="):
                facts = {}
                continue
            name, _, value = line.partition(" ")
            facts[name] = value.strip()
            if name == "jobnumber":
                found[int(value)] = facts
        return found
