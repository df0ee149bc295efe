"""Weights as people write them."""

import unittest

from weights import BadWeight, read_weight


class ReadWeight(unittest.TestCase):
    def test_grams_and_kilograms(self) -> None:
        self.assertEqual(read_weight("300 g"), 300)
        self.assertEqual(read_weight("1.5 kg"), 1500)

    def test_what_people_write(self) -> None:
        self.assertEqual(read_weight(" 2,25KG "), 2250)

    def test_what_is_no_weight_is_named(self) -> None:
        for text in ("heavy", "3 stone", "0 g", "-1 kg", "32 kg"):
            with self.assertRaisesRegex(BadWeight, text):
                read_weight(text)
