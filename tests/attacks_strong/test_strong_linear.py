"""A ridge in the row space of its rows is the same ridge."""

from __future__ import annotations

import numpy as np
import pytest
from sklearn.linear_model import Ridge

from privaudit_attacks.linear import in_row_space


@pytest.mark.parametrize("columns", [5, 40, 300])
def test_predictions_do_not_depend_on_the_basis(columns: int) -> None:
    rng = np.random.default_rng(columns)
    train = rng.standard_normal((40, columns))
    seen = rng.standard_normal((7, columns))
    labels = rng.standard_normal(40)
    expected = Ridge(alpha=3.0).fit(train, labels).predict(seen)
    basis, projected = in_row_space(train, seen)
    assert basis.shape[1] <= min(40, columns)
    found = Ridge(alpha=3.0).fit(basis, labels).predict(projected)
    assert found == pytest.approx(expected, rel=1e-6, abs=1e-6)
