"""BANDEEZY: bands offer evenings, venues book them."""
