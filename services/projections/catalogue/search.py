"""Finding certifications by words, without accents or case."""

import unicodedata

from contracts.facts import CertificationPublished, given

_LIGATURES = str.maketrans({"œ": "oe", "æ": "ae"})  # Unicode does not take these two apart


def plain(text: str) -> str:
    """The text in lower case without accents; whatever is neither letter nor digit is a blank."""
    parts = unicodedata.normalize("NFKD", text)
    letters = "".join(part for part in parts if not unicodedata.combining(part)).casefold().translate(_LIGATURES)
    return "".join(letter if letter.isalnum() else " " for letter in letters)


def searched(version: CertificationPublished) -> str:
    """What a search looks in: ids, titles and codes of the certification and of its blocs, in plain text."""
    fiche = given(version.rncp)
    texts = [version.certification_id, version.title, given(version.mq_code) or "", *version.rome]
    texts += [text for bloc in version.blocs for text in (bloc.bloc_id, bloc.title)]
    texts += [] if fiche is None else [fiche.code, *fiche.bloc_codes.values()]
    return plain("\n".join(texts))


def finds(words: list[str], text: str) -> bool:
    """Whether every plain word is somewhere in the plain text, be it inside another word."""
    return all(word in text for word in words)
