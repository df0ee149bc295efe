from tea import clock


def test_clock_has_two_digits_of_seconds():
    assert [clock(90), clock(5), clock(600)] == ["1:30", "0:05", "10:00"]
