import pytest
import tea


@pytest.mark.parametrize(("number", "seconds"), [(1, 45), (2, 60), (3, 75), (6, 120)])
def test_each_infusion_takes_fifteen_seconds_more(number, seconds):
    assert tea.infusion(tea.OOLONG, number) == seconds


def test_there_is_no_infusion_before_the_first():
    with pytest.raises(ValueError, match="infusion 0"):
        tea.infusion(tea.OOLONG, 0)
