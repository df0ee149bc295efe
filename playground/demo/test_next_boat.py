import unittest

from timetable import next_boat

SUNDAY = ["07:30", "12:05", "18:40"]


class NextBoat(unittest.TestCase):
    def test_between_two_boats(self):
        self.assertEqual(next_boat(SUNDAY, "07:31"), "12:05")

    def test_boat_that_casts_off_right_now(self):
        self.assertEqual(next_boat(SUNDAY, "12:05"), "12:05")

    def test_last_boat_at_the_last_minute(self):
        self.assertEqual(next_boat(SUNDAY, "18:40"), "18:40")

    def test_after_the_last_boat(self):
        self.assertIsNone(next_boat(SUNDAY, "18:41"))
