import unittest

import fares


class Fare(unittest.TestCase):
    def test_under_six(self):
        self.assertEqual(fares.fare(5), 0)

    def test_child(self):
        self.assertEqual(fares.fare(6), 320)

    def test_fifteen_is_still_a_child(self):
        self.assertEqual(fares.fare(15), 320)

    def test_grown_up(self):
        self.assertEqual(fares.fare(16), 640)


class GroupFare(unittest.TestCase):
    def test_small_group_pays_for_all(self):
        self.assertEqual(fares.group_fare([41, 39, 12, 9]), 1920)

    def test_five_get_the_cheapest_ticket_free(self):
        self.assertEqual(fares.group_fare([41, 12, 39, 70, 66]), 2560)

    def test_ten_get_the_two_cheapest_free(self):
        self.assertEqual(fares.group_fare([30] * 8 + [10, 11]), 5120)

    def test_babies_are_not_among_the_five(self):
        self.assertEqual(fares.group_fare([41, 39, 70, 66, 30, 2]), 2560)
