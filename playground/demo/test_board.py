import unittest

from timetable import in_words


class Board(unittest.TestCase):
    def test_boat_at_the_pier(self):
        self.assertEqual(in_words(0), "now")

    def test_minutes_alone(self):
        self.assertEqual(in_words(1), "1 min")
        self.assertEqual(in_words(59), "59 min")

    def test_full_hours(self):
        self.assertEqual(in_words(60), "1 h")
        self.assertEqual(in_words(180), "3 h")

    def test_hours_and_minutes(self):
        self.assertEqual(in_words(65), "1 h 05 min")
        self.assertEqual(in_words(130), "2 h 10 min")
