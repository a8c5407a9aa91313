"""Run campaigns at length, or some of their cases.

Examples:
  python tests/campaigns
  python tests/campaigns --campaign studies kills --cases 50 --seed 3
  python tests/campaigns --campaign studies --seed 3 --case 17
"""

import argparse
import importlib
import os
import sys

import core

CAMPAIGNS = ("studies", "data_files", "damage", "commands", "kills", "clusters")


def main() -> int:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--campaign", nargs="+", choices=CAMPAIGNS, default=CAMPAIGNS)
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--cases", type=int, help="number of cases (default: at length)")
    parser.add_argument("--case", type=int, help="this case alone")
    parser.add_argument("--jobs", type=int, default=len(os.sched_getaffinity(0)))
    options = parser.parse_args()
    core.warm_up()
    faults = 0
    for name in options.campaign:
        campaign = importlib.import_module(name)
        if reason := getattr(campaign, "refused", str)():
            print(f"{name}: left out: {reason}")
            continue
        cases = range(options.cases or campaign.LENGTHS[1])
        if options.case is not None:
            cases = range(options.case, options.case + 1)
        jobs = getattr(campaign, "JOBS", options.jobs)
        faults += len(core.conduct(campaign, options.seed, cases, jobs).faults)
    return 1 if faults else 0


if __name__ == "__main__":
    sys.exit(main())
