"""View `competencies`: what each person holds, and on which day it counts. Section 4.1 of the contract."""

from services.projections.views.competencies.tables import CompetenciesView

__all__ = ["CompetenciesView"]
