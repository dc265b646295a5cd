"""A civil identity: its form, and the form in which two spellings of one identity are the same."""

import re
import unicodedata
from datetime import date
from typing import Annotated

import msgspec
from msgspec import UNSET, Meta, UnsetType

from contracts.facts import given

Name = Annotated[str, Meta(max_length=100, pattern=r"^(?=.*\S)[^\x00-\x1f\x7f-\x9f]*$(?!\n)")]
Sex = Annotated[str, Meta(pattern=r"^[FM]$(?!\n)")]
"""A pattern, because a refused Literal is repeated in msgspec's message, and problems name nobody."""

_NOT_LETTERS = re.compile(r"[\s'’ʼ‘`´\-‐‑‒–—]+")
_BESIDE_NFKD = str.maketrans({"œ": "oe", "æ": "ae", "ø": "o", "ł": "l", "đ": "d", "ð": "d", "þ": "th", "ı": "i"})
"""Letters that Unicode does not take apart, though readers do."""


class BirthPlace(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """insee: the commune's code of five characters. country: a code, or a name where there is none."""

    insee: Annotated[str, Meta(pattern=r"^[0-9][0-9ABab][0-9]{3}$(?!\n)")] | UnsetType = UNSET
    country: Name | UnsetType = UNSET


class Identity(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """Who a person is, as posted. It never leaves the vault but to callers who may read it."""

    birth_name: Name
    usual_name: Name | UnsetType = UNSET
    first_names: Annotated[tuple[Name, ...], Meta(min_length=1, max_length=3)]
    birth_date: date
    sex: Sex
    birth_place: BirthPlace
    email: Annotated[str, Meta(max_length=254, pattern=r"^[^@\s]+@[^@\s]+$(?!\n)")] | UnsetType = UNSET
    nir: Annotated[str, Meta(pattern=r"^[0-9](?: ?[0-9AB]){12}(?:(?: ?[0-9]){2})?$(?!\n)")] | UnsetType = UNSET


def folded(name: str) -> str:
    """A name without accents, case, hyphens, apostrophes and spaces: « Œuvrard-D'Aÿ » is « oeuvrardday »."""
    letters = unicodedata.normalize("NFKD", name).casefold().translate(_BESIDE_NFKD)
    return _NOT_LETTERS.sub("", "".join(letter for letter in letters if not unicodedata.combining(letter)))


def civil_identity(identity: Identity) -> bytes:
    """The bytes that two posts of one civil identity have in common, whatever their spelling."""
    place = identity.birth_place
    return msgspec.json.encode(
        [
            folded(identity.birth_name),
            [folded(name) for name in identity.first_names],
            identity.birth_date,
            identity.sex,
            folded(given(place.insee) or ""),
            folded(given(place.country) or ""),
        ]
    )


def nir_digits(identity: Identity) -> bytes | None:
    """The 13 characters of the NIR without its key, None where it is not given."""
    nir = given(identity.nir)
    return None if nir is None else nir.replace(" ", "")[:13].encode()
