"""What was shipped stays readable, and what is new stays valid to those who check by what was shipped."""

from pathlib import Path
from typing import Annotated, Any, Literal

import msgspec
import pytest
from jsonschema import Draft202012Validator
from msgspec import UNSET, Meta, UnsetType

from contracts.envelope import decode
from contracts.evolution import ADVICE, incompatibilities, refusal
from contracts.facts import FACTS, Part
from contracts.facts.fact import Label, Level, Slug, date
from contracts.json_schemas import schemas, stored_schema
from contracts.upcasters import UPCASTERS
from services.contract_files import CONTRACTS, shipped_schemas

TYPE = "certibranche.medal.given.v1"
SHIPPED_EXAMPLES = sorted((CONTRACTS / "shipped" / "examples").glob("*.json"))
by_name = pytest.mark.parametrize("path", SHIPPED_EXAMPLES, ids=lambda path: path.stem)


class Ribbon(Part, frozen=True, kw_only=True):
    colour: Slug


class Painted(Part, frozen=True, kw_only=True):
    colour: Slug
    painter: Slug | UnsetType = UNSET


class Sized(Part, frozen=True, kw_only=True):
    colour: Slug
    size: int


MEDAL: dict[str, tuple[Any, ...]] = {
    "medal_id": (Slug,),
    "metal": (Literal["GOLD", "SILVER"],),
    "level": (Level | UnsetType, UNSET),
    "ribbons": (tuple[Ribbon, ...], ()),
    "names": (dict[Slug, Label], msgspec.field(default_factory=dict)),
    "given_on": (date,),
}
"""The members of a fact as it was shipped: (type,), or (type, default)."""


def medal(**changes: tuple[Any, ...] | None) -> dict[str, Any]:
    """The schema of the fact with some members otherwise or new, or removed where None."""
    members = [(name, *spec) for name, spec in (MEDAL | changes).items() if spec is not None]
    form = msgspec.defstruct("Medal", members, bases=(Part,), frozen=True, kw_only=True)
    return {TYPE: stored_schema(TYPE, form)}


REFUSED: dict[str, tuple[dict[str, Any], str]] = {
    "a member is removed": ({"metal": None}, "data.metal is removed or renamed"),
    "an optional member is removed": ({"level": None}, "data.level is removed or renamed"),
    "a member is renamed": ({"given_on": None, "given": (date,)}, "data.given_on is removed or renamed"),
    "a required member is new": ({"place": (Slug,)}, "data.place is new and required"),
    "a member with a default is new": ({"place": (Slug, "paris")}, "data.place is new and required"),
    "an optional member is required": ({"level": (Level,)}, "data.level was optional, now required"),
    "a required member is optional": ({"metal": (Slug | UnsetType, UNSET)}, "data.metal was required, now optional"),
    "an enum is narrowed": ({"metal": (Literal["GOLD"],)}, "data.metal was"),
    "an enum is widened": ({"metal": (Literal["BRONZE", "GOLD", "SILVER"],)}, "data.metal was"),
    "an enum is opened": ({"metal": (str,)}, "data.metal was"),
    "a range is narrowed": ({"level": (Annotated[int, Meta(ge=1, le=7)] | UnsetType, UNSET)}, "data.level was"),
    "a range is widened": ({"level": (Annotated[int, Meta(ge=1, le=9)] | UnsetType, UNSET)}, "data.level was"),
    "a type is another": ({"given_on": (int,)}, "data.given_on was"),
    "a type takes more": ({"medal_id": (Slug | int,)}, "data.medal_id was"),
    "a pattern is another": ({"medal_id": (Annotated[str, Meta(pattern="^[a-z]+$")],)}, "data.medal_id was"),
    "a list has a least length": (
        {"ribbons": (Annotated[tuple[Ribbon, ...], Meta(min_length=1)],)},
        "data.ribbons was",
    ),
    "an inner member is new and required": ({"ribbons": (tuple[Sized, ...], ())}, "data.ribbons[].size is new"),
    "the values of a map are others": ({"names": (dict[Slug, int],)}, "data.names was"),
    "the keys of a map are others": ({"names": (dict[str, Label],)}, "data.names was"),
}


@pytest.mark.parametrize("change", REFUSED)
def test_a_change_that_breaks_a_shipped_schema_is_refused(change: str) -> None:
    members, told = REFUSED[change]
    found = incompatibilities(medal(), medal(**members))
    assert any(sentence.startswith(f"{TYPE}: {told}") for sentence in found), found


def test_a_schema_does_not_break_itself() -> None:
    assert incompatibilities(medal(), medal()) == []


def test_a_new_optional_member_is_allowed() -> None:
    assert incompatibilities(medal(), medal(place=(Slug | UnsetType, UNSET))) == []


def test_a_new_optional_member_of_a_part_is_allowed() -> None:
    assert incompatibilities(medal(), medal(ribbons=(tuple[Painted, ...], ()))) == []


def test_a_new_type_is_allowed() -> None:
    assert incompatibilities({}, medal()) == []


def test_a_shipped_type_does_not_go() -> None:
    assert incompatibilities(medal(), {}) == [f"{TYPE} is gone"]


def test_an_older_version_is_posted_no_more() -> None:
    posted = {f"{TYPE}.posted": medal()[TYPE]}
    assert incompatibilities(posted, {}) == []


def test_texts_and_names_of_parts_may_change() -> None:
    schema = medal()[TYPE]
    renamed = schema | {"title": "Otherwise", "description": "Otherwise", "$id": "urn:otherwise"}
    assert incompatibilities({TYPE: schema}, {TYPE: renamed}) == []


def test_the_refusal_says_what_to_do() -> None:
    told = refusal(medal(), medal(metal=None))
    assert told == f"{TYPE}: data.metal is removed or renamed\n{ADVICE}"
    assert "publish the next version beside it" in ADVICE


def test_nothing_shipped_is_broken() -> None:
    assert shipped_schemas()
    assert refusal(shipped_schemas(), schemas()) is None


@by_name
def test_every_version_ever_shipped_is_read(path: Path) -> None:
    assert isinstance(decode(path.read_bytes()).data, FACTS[FACTS_BY_OLD_NAME[path.stem]])


@by_name
def test_every_version_ever_shipped_is_valid_under_its_schema_of_today(path: Path) -> None:
    Draft202012Validator(schemas()[path.stem]).validate(msgspec.json.decode(path.read_bytes()))


def test_every_shipped_version_has_an_example() -> None:
    stored = {name for name in shipped_schemas() if not name.endswith(".posted")}
    assert stored <= {path.stem for path in SHIPPED_EXAMPLES}


def test_every_older_version_and_no_other_has_an_upcaster() -> None:
    older = {name for fact_type in FACTS.values() for name in fact_type.wire_names()[:-1]}
    assert older == set(UPCASTERS)


FACTS_BY_OLD_NAME = {name: fact_type.type_name() for fact_type in FACTS.values() for name in fact_type.wire_names()}
