"""Decisions about the catalogue (C1-C8), equivalences (E1-E4) and objectives (O1). The reference tells them all."""

import re
from collections.abc import Sequence

from eventsourcing.dcb.domain import Selector, Slice

from contracts import facts
from contracts.facts import Fact, given
from contracts.problems import Malformed
from contracts.refusals import (
    CertificationInvalid,
    CertificationUnknown,
    CertificationWithdrawn,
    CommonBlocChanged,
    DateOutOfRange,
    EquivalenceExists,
    EquivalenceInvalid,
    EquivalenceRepealed,
    EquivalenceUnknown,
    VersionOutOfOrder,
)
from services.registry.domain.circumstances import Circumstances, years_after
from services.registry.domain.reference import competence_ids

FICHE_YEARS_MAX = 5


def repeated(ids: Sequence[str]) -> list[str]:
    """The ids that occur more than once."""
    return sorted({id_ for id_ in ids if ids.count(id_) > 1})


class PublishCertification(Slice[Fact]):
    """Publish the next version of a certification (C1-C7)."""

    def __init__(self, command: facts.PublishCertification, circumstances: Circumstances) -> None:
        self.command = command
        self.reference = circumstances.reference

    def consistency_boundary(self) -> Sequence[Selector]:
        return ()

    def execute(self) -> None:
        self._refuse_structure()
        self._refuse_fiche()
        self._refuse_order()
        self._refuse_changed_blocs()
        self.trigger_event(lambda: facts.CertificationPublished.of(self.command))

    def _refuse_structure(self) -> None:
        command = self.command
        if command.family in ("CQPI", "CCPI") and len(set(command.branches)) < 2:
            raise CertificationInvalid(
                f"A {command.family} names at least two branches.", rule="C3", branches=command.branches
            )
        if not command.branches:
            raise Malformed("branches names at least the owning branch.")
        if not command.blocs:
            raise CertificationInvalid("A certification has at least one bloc.", rule="C2")
        if twice := repeated([bloc.bloc_id for bloc in command.blocs]):
            raise CertificationInvalid("A bloc occurs once in a version.", rule="C2", bloc_ids=twice)
        for bloc in command.blocs:
            if not bloc.competences:
                raise CertificationInvalid(
                    f"Bloc {bloc.bloc_id} has no competence.", rule="C2", bloc_ids=[bloc.bloc_id]
                )
            if twice := repeated([competence.competence_id for competence in bloc.competences]):
                raise CertificationInvalid(
                    f"A competence occurs once in bloc {bloc.bloc_id}.", rule="C2", competence_ids=twice
                )

    def _refuse_fiche(self) -> None:
        fiche = given(self.command.rncp)
        if fiche is None:
            return
        latest = years_after(fiche.registered_from, FICHE_YEARS_MAX)
        if not fiche.registered_from < fiche.registered_until <= latest:
            raise CertificationInvalid(
                f"A fiche registered from {fiche.registered_from} ends after that day and not after {latest}.",
                rule="C6",
                registered_from=fiche.registered_from,
                registered_until=fiche.registered_until,
            )
        bloc_ids = {bloc.bloc_id for bloc in self.command.blocs}
        for bloc_id, code in fiche.bloc_codes.items():
            if bloc_id not in bloc_ids:
                raise CertificationInvalid(
                    f"The fiche codes {bloc_id}, which is no bloc of this version.", rule="C6", bloc_id=bloc_id
                )
            if not re.fullmatch(f"{fiche.code}BC[0-9]{{2}}", code):
                raise CertificationInvalid(
                    f"A bloc's code is {fiche.code}BC and two digits.", rule="C6", bloc_id=bloc_id, code=code
                )

    def _refuse_order(self) -> None:
        command, reference = self.command, self.reference
        versions = reference.versions(command.certification_id)
        if command.version != len(versions) + 1:
            raise VersionOutOfOrder(
                f"The next version of {command.certification_id} is {len(versions) + 1}.",
                rule="C1",
                certification_id=command.certification_id,
                version=command.version,
                expected=len(versions) + 1,
            )
        if versions and command.effective_from < versions[-1].effective_from:
            raise DateOutOfRange(
                f"The version before is effective from {versions[-1].effective_from}.",
                rule="C7",
                effective_from=command.effective_from,
                since=versions[-1].effective_from,
            )
        withdrawal = reference.withdrawal(command.certification_id)
        if withdrawal and command.effective_from >= withdrawal.effective_from:
            raise CertificationWithdrawn(
                f"{command.certification_id} is withdrawn from {withdrawal.effective_from} on.",
                rule="C4",
                certification_id=command.certification_id,
                withdrawn_from=withdrawal.effective_from,
                position=reference.position(facts.CertificationWithdrawn, command.certification_id),
            )

    def _refuse_changed_blocs(self) -> None:
        for bloc in self.command.blocs:
            published = self.reference.bloc_competences(bloc.bloc_id)
            if published is not None and published != competence_ids(bloc):
                raise CommonBlocChanged(
                    f"Bloc {bloc.bloc_id} is published with other competences; a changed bloc has a new id.",
                    rule="C5",
                    bloc_id=bloc.bloc_id,
                    competence_ids=sorted(published),
                )


class WithdrawCertification(Slice[Fact]):
    """Withdraw a certification, once (C8)."""

    def __init__(self, command: facts.WithdrawCertification, circumstances: Circumstances) -> None:
        self.command = command
        self.reference = circumstances.reference

    def consistency_boundary(self) -> Sequence[Selector]:
        return ()

    def execute(self) -> None:
        command, reference = self.command, self.reference
        replaced_by = given(command.replaced_by)
        if command.reason == "SUPPRESSED" and replaced_by is not None:
            raise Malformed("replaced_by is given with the reason REPLACED only.")
        if not reference.versions(command.certification_id):
            raise unpublished("C8", command.certification_id)
        if command.reason == "REPLACED":
            if replaced_by is None:
                raise CertificationUnknown("A replaced certification names the one that replaces it.", rule="C8")
            if not reference.versions(replaced_by):
                raise unpublished("C8", replaced_by)
        if withdrawal := reference.withdrawal(command.certification_id):
            raise CertificationWithdrawn(
                f"{command.certification_id} is withdrawn from {withdrawal.effective_from} on already.",
                rule="C8",
                certification_id=command.certification_id,
                withdrawn_from=withdrawal.effective_from,
                position=reference.position(facts.CertificationWithdrawn, command.certification_id),
            )
        self.trigger_event(lambda: facts.CertificationWithdrawn.of(command))


def unpublished(rule: str, certification_id: str) -> CertificationUnknown:
    return CertificationUnknown(
        f"No certification {certification_id} is published.", rule=rule, certification_id=certification_id
    )


class RecogniseEquivalence(Slice[Fact]):
    """Recognise that one certification, or some of its blocs, stand for another's (E1-E4)."""

    def __init__(self, command: facts.RecogniseEquivalence, circumstances: Circumstances) -> None:
        self.command = command
        self.reference = circumstances.reference

    def consistency_boundary(self) -> Sequence[Selector]:
        return ()

    def execute(self) -> None:
        command, reference = self.command, self.reference
        if reference.equivalence(command.equivalence_id) is not None:
            raise EquivalenceExists(
                f"Equivalence {command.equivalence_id} is recognised already.",
                rule="E4",
                equivalence_id=command.equivalence_id,
                position=reference.position(facts.EquivalenceRecognised, command.equivalence_id),
            )
        for side in (command.source, command.target):
            if not reference.versions(side.certification_id):
                raise unpublished("E1", side.certification_id)
        if command.kind == "TOTAL":
            self._refuse_total()
        else:
            self._refuse_partial()
        self.trigger_event(lambda: facts.EquivalenceRecognised.of(command))

    def _refuse_total(self) -> None:
        source, target = self.command.source, self.command.target
        if source.certification_id == target.certification_id:
            raise EquivalenceInvalid(
                "A certification is not its own equivalent.", rule="E1", certification_id=source.certification_id
            )
        if source.bloc_ids or target.bloc_ids:
            raise EquivalenceInvalid("A total equivalence names no blocs.", rule="E2")
        levels = [given(self.reference.versions(side.certification_id)[-1].level) for side in (source, target)]
        if levels[0] != levels[1]:
            raise EquivalenceInvalid(
                f"Total equivalents are of the same level, not {levels[0] or 'none'} and {levels[1] or 'none'}.",
                rule="E2",
                levels=levels,
            )

    def _refuse_partial(self) -> None:
        source, target = self.command.source, self.command.target
        if not source.bloc_ids or not target.bloc_ids:
            raise EquivalenceInvalid("A partial equivalence names blocs on both sides.", rule="E3")
        for side in (source, target):
            known = {b.bloc_id for v in self.reference.versions(side.certification_id) for b in v.blocs}
            if unknown := sorted(set(side.bloc_ids) - known):
                raise EquivalenceInvalid(
                    f"{side.certification_id} has no bloc {', '.join(unknown)}.", rule="E3", bloc_ids=unknown
                )
        if common := sorted(set(source.bloc_ids) & set(target.bloc_ids)):
            raise EquivalenceInvalid(f"{', '.join(common)} stands on both sides.", rule="E3", bloc_ids=common)


class RepealEquivalence(Slice[Fact]):
    """Repeal an equivalence, once (E4)."""

    def __init__(self, command: facts.RepealEquivalence, circumstances: Circumstances) -> None:
        self.command = command
        self.reference = circumstances.reference

    def consistency_boundary(self) -> Sequence[Selector]:
        return ()

    def execute(self) -> None:
        id_, reference = self.command.equivalence_id, self.reference
        if reference.equivalence(id_) is None:
            raise EquivalenceUnknown(f"No equivalence {id_} is recognised.", rule="E4", equivalence_id=id_)
        if repealed_from := reference.repealed_from(id_):
            raise EquivalenceRepealed(
                f"Equivalence {id_} is repealed from {repealed_from} on already.",
                rule="E4",
                equivalence_id=id_,
                repealed_from=repealed_from,
                position=reference.position(facts.EquivalenceRepealed, id_),
            )
        self.trigger_event(lambda: facts.EquivalenceRepealed.of(self.command))


class SetObjective(Slice[Fact]):
    """Set the branch's objective for a year; the last one counts (O1)."""

    def __init__(self, command: facts.SetObjective, circumstances: Circumstances) -> None:
        self.command = command

    def consistency_boundary(self) -> Sequence[Selector]:
        return ()

    def execute(self) -> None:
        self.trigger_event(lambda: facts.ObjectiveSet.of(self.command))
