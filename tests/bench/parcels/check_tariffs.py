"""Prices, on the limits of the weight classes too."""

import unittest

from tariffs import FAR, HOME, NoTariff, Parcel, base_price, price, receipt


class Prices(unittest.TestCase):
    def test_a_class_holds_its_limit(self) -> None:
        self.assertEqual(base_price(HOME, 1000), 450)
        self.assertEqual(base_price(FAR, 5000), 2190)

    def test_the_next_class_begins_above_it(self) -> None:
        self.assertEqual(base_price(HOME, 1001), 520)

    def test_the_heaviest_is_carried_and_nothing_above(self) -> None:
        self.assertEqual(base_price(HOME, 31_500), 1590)
        with self.assertRaises(NoTariff):
            base_price(HOME, 31_501)

    def test_all_together(self) -> None:
        parcel = Parcel("at", 2000, 60_000, ("fragile", "registered"))
        self.assertEqual(price(parcel), 520 + 400 + 280 + 150)
        self.assertEqual(receipt(parcel)[-1], "total          13.50")
