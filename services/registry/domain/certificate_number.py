"""Certificate numbers that the registry makes: `<family>-<year>-<8 random letters and digits>-<check>` (A4)."""

ALPHABET = "0123456789ABCDEFGHJKMNPQRSTVWXYZ"
"""Crockford's base 32: no I, L, O, U."""

RANDOM_LENGTH = 8

_MOD_37_36 = "0123456789ABCDEFGHIJKLMNOPQRSTUVWXYZ"


def check_character(text: str) -> str:
    """The check character of ISO 7064, MOD 37,36, over the letters and digits of a text; others are passed over."""
    product = 36
    for character in text.upper():
        if character in _MOD_37_36:
            total = (product + _MOD_37_36.index(character)) % 36 or 36
            product = total * 2 % 37
    return _MOD_37_36[(37 - product) % 36]


def made_number(family: str, year: int, draw: str) -> str:
    """The number of that family and year for a random draw."""
    stem = f"{family}-{year}-{draw}"
    return f"{stem}-{check_character(stem)}"
