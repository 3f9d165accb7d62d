"""The guided tour: real earthquakes replayed into a three-member cluster that is made to fail.

``earthquakes.py`` reads the catalogue and says what each report writes; ``story.py`` runs the
acts.  ``kvraft tour`` and ``notebooks/00_tour.ipynb`` tell the same story from this code.
"""

from kvraft.course.tour.earthquakes import (
    Catalogue,
    Quake,
    QuakeReport,
    catalogue_path,
    load,
    reports,
)
from kvraft.course.tour.story import Tour

__all__ = ["Catalogue", "Quake", "QuakeReport", "Tour", "catalogue_path", "load", "reports"]
