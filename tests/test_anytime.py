"""Evidence that stays valid under peeking, from its formula."""

import numpy as np
import pytest

from optlab.results import anytime


def test_evidence_is_that_of_the_formula():
    differences = [1.0, 2.0, 3.0, 4.0]
    k, y = 17, (2.5 / (np.std(differences, ddof=1) / 2)) ** 2 / 3
    last = k**-0.5 * ((1 + y) / (1 + y / k)) ** 2
    k, y = 13, (2.0 / (1 / 3**0.5)) ** 2 / 2
    third = k**-0.5 * ((1 + y) / (1 + y / k)) ** 1.5
    assert anytime.p_value(differences) == pytest.approx(1 / max(last, third))
    assert anytime.p_value([0.0] * 9) == 1.0
    assert anytime.p_value([0.5] * 3) == pytest.approx(1 / 13) and anytime.p_value([0.5]) == 1.0
