"""Whose signatures a checkpoint must have to be believed: a policy file (c2sp.org/tlog-policy)."""

import re
from collections.abc import Collection, Iterable, Mapping, Sequence
from typing import NamedTuple

from services.projections.transparency.note import COSIGNATURE, ED25519, NoteRefused, Verifier, read_note

NONE = "none"
LINES_MAX = 1_000

_URL = re.compile(r"https?://[^\s?#]+").fullmatch


class PolicyRefused(ValueError):
    """Not a policy; the message names the line."""


class Witness(NamedTuple):
    """A witness: its name in the policy, the key of its cosignatures, and the prefix that checkpoints are posted to.

    url: without the last slash; None when only its signatures are known.
    """

    name: str
    verifier: Verifier
    url: str | None


class Group(NamedTuple):
    """Witnesses and groups of them, of which so many must have signed."""

    threshold: int
    members: Sequence[str]


class Policy(NamedTuple):
    """quorum: the name of a witness or a group, or `none`. logs: keys of the logs it is for; none for any."""

    logs: Sequence[Verifier] = ()
    witnesses: Mapping[str, Witness] = {}
    groups: Mapping[str, Group] = {}
    quorum: str = NONE

    def satisfied_by(self, note: str) -> bool:
        """Whether enough witnesses have signed a checkpoint. NoteRefused when the signature of one is wrong."""
        _, signers = read_note(note, [witness.verifier for witness in self.witnesses.values()])
        return self.reached_by([name for name, witness in self.witnesses.items() if witness.verifier in signers])

    def reached_by(self, witnesses: Collection[str]) -> bool:
        """Whether these witnesses, by name, are enough."""
        return self.quorum == NONE or self._reached(self.quorum, witnesses)

    def _reached(self, name: str, witnesses: Collection[str]) -> bool:
        if (group := self.groups.get(name)) is None:
            return name in witnesses
        return sum(self._reached(member, witnesses) for member in group.members) >= group.threshold


NO_POLICY = Policy()


def parse_policy(text: str) -> Policy:
    """The policy of a file. Raises PolicyRefused."""
    reading = _Reading()
    lines = text.split("\n")
    if len(lines) > LINES_MAX:
        raise PolicyRefused(f"the policy has more than {LINES_MAX} lines")
    for number, line in enumerate(lines, 1):
        words = line.split()
        if words and not words[0].startswith("#"):
            try:
                reading.take(words)
            except (NoteRefused, PolicyRefused) as error:
                raise PolicyRefused(f"line {number}: {error}") from error
    return reading.policy()


class _Reading:
    """A policy, as far as it has been read. A line only speaks of what the lines before it have named."""

    def __init__(self) -> None:
        self._logs: list[Verifier] = []
        self._witnesses: dict[str, Witness] = {}
        self._groups: dict[str, Group] = {}
        self._grouped: set[str] = set()
        self._quorum: str | None = None

    def take(self, words: Sequence[str]) -> None:
        match words:
            case ["log", vkey] | ["log", vkey, _]:
                self._logs.append(_of_kind(ED25519, vkey, (log.public_key for log in self._logs)))
            case ["witness", name, vkey]:
                self._witness(name, vkey, None)
            case ["witness", name, vkey, url]:
                if not _URL(url):
                    raise PolicyRefused(f"{url} is no http or https address")
                self._witness(name, vkey, url.rstrip("/"))
            case ["group", name, threshold, *members] if members:
                self._group(name, threshold, members)
            case ["quorum", name] if self._quorum is None:
                if name != NONE:
                    self._known(name)
                self._quorum = name
            case _:
                raise PolicyRefused(f"this is no line of a policy, or one too many: {words[0]}")

    def policy(self) -> Policy:
        if self._quorum is None:
            raise PolicyRefused("there is no quorum line")
        return Policy(tuple(self._logs), self._witnesses, self._groups, self._quorum)

    def _witness(self, name: str, vkey: str, url: str | None) -> None:
        self._new(name)
        known = (witness.verifier.public_key for witness in self._witnesses.values())
        self._witnesses[name] = Witness(name, _of_kind(COSIGNATURE, vkey, known), url)

    def _group(self, name: str, threshold: str, members: Sequence[str]) -> None:
        self._new(name)
        for member in members:
            self._known(member)
            if member in self._grouped:
                raise PolicyRefused(f"{member} is in a group already")
            self._grouped.add(member)
        counts = {"any": 1, "all": len(members)} | {str(count): count for count in range(1, len(members) + 1)}
        if threshold not in counts:
            raise PolicyRefused(f"{threshold} of {len(members)} members is no threshold")
        self._groups[name] = Group(counts[threshold], tuple(members))

    def _new(self, name: str) -> None:
        if name == NONE or name in self._witnesses or name in self._groups:
            raise PolicyRefused(f"the name {name} is taken")

    def _known(self, name: str) -> None:
        if name not in self._witnesses and name not in self._groups:
            raise PolicyRefused(f"{name} is no witness or group of the lines before")


def _of_kind(kind: bytes, vkey: str, known: Iterable[bytes]) -> Verifier:
    verifier = Verifier(vkey)
    if verifier.kind != kind:
        raise PolicyRefused(f"{verifier.name} is a key of the wrong kind")
    if verifier.public_key in known:
        raise PolicyRefused(f"the key of {verifier.name} is there already")
    return verifier
