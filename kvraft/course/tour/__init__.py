"""The guided tour: real earthquakes replayed into a three-member cluster that is made to fail.

::

    story          the acts: each makes something happen and reports it
      │
    earthquakes    the catalogue, and what each report of it writes

``kvraft tour`` and ``notebooks/00_tour.ipynb`` run the same acts.  Equal seed and data, equal
story; at the end every member must equal a plain dict.
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
