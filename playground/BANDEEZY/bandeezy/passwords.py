"""Passwords: hashed with scrypt, each with its own salt and its cost."""

from __future__ import annotations

import hashlib
import hmac
import secrets

COST = 2**14
SHORTEST = 8


def hash_password(password: str, cost: int = COST) -> str:
    """Hash a password; COST is scrypt's work factor, a power of two, and is kept with the hash."""
    salt = secrets.token_bytes(16)
    return f"scrypt${cost}${salt.hex()}${digest(password, salt, cost).hex()}"


def matches(password: str, stored: str) -> bool:
    """Tell in constant time whether PASSWORD is the one that was hashed."""
    _, cost, salt, expected = stored.split("$")
    return hmac.compare_digest(digest(password, bytes.fromhex(salt), int(cost)), bytes.fromhex(expected))


def digest(password: str, salt: bytes, cost: int) -> bytes:
    """Return the 32 bytes that scrypt makes of a password."""
    return hashlib.scrypt(password.encode(), salt=salt, n=cost, r=8, p=1, dklen=32)
