"""Stops that are served too late."""

import unittest

from rounds import Round, Stop, late


class Late(unittest.TestCase):
    def route(self, *stops: Stop) -> Round:
        return Round("van 1", stops=list(stops))

    def test_a_round_in_time_has_none(self) -> None:
        self.assertEqual(late(self.route(Stop("inn", 5, 0, until=8 * 60 + 10), Stop("mill", 5, 5))), {})

    def test_the_minutes_are_told(self) -> None:
        self.assertEqual(late(self.route(Stop("mill", 5, 5), Stop("inn", 5, 0, until=8 * 60 + 30))), {"inn": 4})

    def test_the_last_minute_is_in_time(self) -> None:
        self.assertEqual(late(self.route(Stop("inn", 10, 0, until=8 * 60 + 20))), {})
