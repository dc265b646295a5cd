"""Persons who do not exist, and whose names show it."""

from datetime import date, timedelta
from random import Random
from typing import Literal

import msgspec

SYLLABLES = tuple(consonant + vowel for consonant in "bdfgjklmnprstvz" for vowel in "aeiou")
NAMES = len(SYLLABLES) ** 3
STRIDE = 104_729  # a prime that does not divide NAMES: neighbours do not sound alike, and no name comes twice

FIRST_NAMES = {
    "F": ("Alice", "Chloé", "Fatou", "Hélène", "Inès", "Jeanne", "Lucie", "Nadia", "Sofia", "Zoé"),
    "M": ("Adrien", "Bruno", "Denis", "Élie", "Hugo", "Karim", "Léo", "Mathieu", "Rémi", "Tiago"),
}
TOWNS = ("13055", "21231", "29019", "31555", "33063", "35238", "42218", "44109", "59350", "67482", "69123", "75056")
YOUNGEST_BORN = date(2000, 1, 1)
AGES_DAYS = 40 * 365


class BirthPlace(msgspec.Struct, frozen=True):
    insee: str


class Identity(msgspec.Struct, frozen=True, kw_only=True):
    """What `POST /v1/persons` takes."""

    birth_name: str
    first_names: tuple[str, ...]
    birth_date: date
    sex: Literal["F", "M"]
    birth_place: BirthPlace


def identity(number: int, dice: Random) -> Identity:
    """The person of that number (from 0, below NAMES); no two numbers share a birth name."""
    sex: Literal["F", "M"] = "F" if dice.random() < 0.27 else "M"
    return Identity(
        birth_name=f"Exemple {_word(number * STRIDE % NAMES).capitalize()}",
        first_names=tuple(dice.sample(FIRST_NAMES[sex], dice.choice((1, 1, 2)))),
        birth_date=YOUNGEST_BORN - timedelta(days=dice.randrange(AGES_DAYS)),
        sex=sex,
        birth_place=BirthPlace(dice.choice(TOWNS)),
    )


def _word(number: int) -> str:
    """Three syllables: the digits of the number in base len(SYLLABLES)."""
    word = ""
    for _ in range(3):
        number, digit = divmod(number, len(SYLLABLES))
        word += SYLLABLES[digit]
    return word
