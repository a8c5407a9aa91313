"""The final refusals of SLURM, each explained in one line with its cure."""

import re

SITE = "set it in profiles/slurm/config.yaml"
# Pattern of SLURM's message -> cure. A retry helps against none of these.
CURES = {
    r"account \S+ appears to be invalid|Invalid account": f"wrong slurm_account; {SITE}",
    r"invalid partition": f"wrong slurm_partition; {SITE} (`sinfo -s` lists yours)",
    r"Invalid qos": f"wrong qos; {SITE}",
    r"Invalid feature": f"wrong constraint; {SITE}",
    r"Requested node configuration is not available|Invalid generic resource|node count": (
        "no node has this many GPUs (or processors, or this much memory); "
        "lower `gpus` in the study, or " + SITE.replace("set it", "correct gpus_per_node")
    ),
    r"[Mm]emory specification can not be satisfied|Requested time limit is invalid": (
        "more memory or time than the partition allows; " + SITE.replace("set it", "name another")
    ),
}


def reason(message: str) -> str | None:
    """One line about a final refusal; None if a retry may help."""
    for pattern, cure in CURES.items():
        if found := re.search(pattern, message):
            line = next(line for line in message.splitlines() if found[0] in line)
            return f"error: SLURM refuses the job: {line.strip()} -> {cure}"
    return None
