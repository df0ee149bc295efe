import pytest
from tea import BLACK, GREEN, OOLONG, leaves


@pytest.mark.parametrize(
    ("tea", "litres", "grams"),
    [(GREEN, 1, 10), (BLACK, 0.5, 6), (OOLONG, 0.25, 3.5), (BLACK, 0.3, 3.5), (GREEN, 0.33, 3.5), (BLACK, 0.77, 9)],
)
def test_leaves_are_weighed_in_half_grams(tea, litres, grams):
    assert leaves(tea, litres) == grams
