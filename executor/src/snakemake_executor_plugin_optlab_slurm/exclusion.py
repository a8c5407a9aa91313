"""The nodes that the plugin leaves out of submissions, since they have failed."""

import re

NAMES = re.compile(r"[\w.,\[\]-]+")  # of a node, or of several in SLURM's form


class Excluded(set[str]):
    """A set of nodes that takes nothing but names of nodes.

    Of a job that waits again after its node has failed, sacct says "None assigned". The plugin
    (2.8.0) passes that on to sbatch, which then refuses every submission until all retries are
    used up: https://github.com/snakemake/snakemake-executor-plugin-slurm/issues/485
    """

    def add(self, name: str) -> None:
        """Add what is a name; ignore anything else."""
        if NAMES.fullmatch(name):
            super().add(name)
