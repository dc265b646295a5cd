"""The model against careers made by hand: rules V, each with its negative twin."""

from tests.model.model import Model
from tests.model.small_world import (
    blocs_candidate,
    branch,
    candidate,
    closing,
    correction,
    evaluation,
    invalidation,
    outcomes,
    play,
    refusal,
    uid,
    validation,
)


def test_v1_to_v5_refuse() -> None:
    model = branch(blocs_candidate("r1", "bloc-a1"), evaluation())
    assert refusal(model, evaluation("e2", "none")) == {(422, "V1")}
    assert refusal(model, evaluation("e2", bloc_id="bloc-a2")) == {(422, "V2")}
    assert refusal(model, evaluation("e2", outcomes=outcomes("bloc-a2", "ACQUIRED"))) == {(422, "V3")}
    assert refusal(model, evaluation("e2", outcomes=outcomes("bloc-a1", "ACQUIRED") * 2)) == {(422, "V3")}
    assert refusal(model, evaluation("e2", evaluated_on="2018-02-28")) == {(422, "V4")}
    assert refusal(model, evaluation("e2", evaluated_on="2026-11-24")) == {(422, "V4")}
    assert refusal(model, evaluation("e1")) == {(409, "V5")}
    assert refusal(model, correction("none")) == {(422, "V5")}
    assert refusal(model, correction(outcomes=outcomes("bloc-a2", "ACQUIRED"))) == {(422, "V3")}
    play(model, evaluation("e2", evaluated_on="2018-03-01"), evaluation("e3", evaluated_on="2026-11-23"), closing())
    assert refusal(model, evaluation("e4")) == {(409, "V1")}


def outcome(model: Model) -> list[str | None]:
    return [competence["outcome"] for competence in model.registration(uid("r1"))["blocs"][0]["competences"]]


def test_v6_the_latest_evaluation_decides_and_corrections_replace_in_theirs() -> None:
    model = branch(candidate())
    assert outcome(model) == [None, None]
    play(model, evaluation("e1", outcomes=outcomes("bloc-a1", "ACQUIRED", "ABSENT"), evaluated_on="2018-04-02"))
    play(
        model, evaluation("e2", outcomes=outcomes("bloc-a1", "NOT_ACQUIRED", "NOT_ACQUIRED"), evaluated_on="2018-04-01")
    )
    assert outcome(model) == ["ACQUIRED", "ABSENT"]
    play(model, evaluation("e3", outcomes=outcomes("bloc-a1", "NOT_ACQUIRED"), evaluated_on="2018-04-02"))
    assert outcome(model) == ["NOT_ACQUIRED", "ABSENT"]
    play(model, correction("e1", outcomes=outcomes("bloc-a1", "ACQUIRED", "ACQUIRED")))
    assert outcome(model) == ["NOT_ACQUIRED", "ACQUIRED"]  # e3 still has the later position


def test_v7_no_evaluation_or_correction_of_a_validated_bloc() -> None:
    model = branch(candidate(), evaluation(), validation())
    assert refusal(model, evaluation("e2")) == {(409, "V7")}
    assert refusal(model, correction()) == {(409, "V7")}
    play(model, invalidation(), correction())
