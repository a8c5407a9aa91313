"""Random faults of the cluster: a short pass of the campaign in `tests/campaigns/clusters.py`."""

import clusters
import core
import pytest

pytestmark = pytest.mark.slurm


@pytest.mark.parametrize("index", range(clusters.LENGTHS[0]))
def test_a_fault_of_the_cluster_costs_no_number_and_no_finished_run(index, cluster):
    case = core.one_case(clusters, 0, index)
    end = core.judged(clusters, case)
    assert end.kind in core.GOOD, f"{end.kind}: {case.words}\n{end.seen}"
