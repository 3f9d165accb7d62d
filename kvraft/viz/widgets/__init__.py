"""Widgets for notebooks: the sandbox, and sliders over pictures (needs ipywidgets).

::

    sandbox     a run that one can touch: panels, time, verbs, forks; clicks need anywidget
      └─ plain      the same with buttons and a list, where anywidget is missing

    bytes    deaths    filters    outages
    a log,   a leader  a bloom    a write whose
    byte by  killed at filter by  leader dies
    byte     each step its size   after each step
      └─────────┴─────────┴──────────┘
                     slider         words above, a picture below
                           └─ named     what ipywidgets leaves without a name gets one

Invariants:

- A widget only holds pictures that :mod:`kvraft.viz.sandbox` and :mod:`kvraft.viz.panels` draw.
- Nothing of its state is saved: without a kernel a notebook shows one still picture and its words.
- Everything can be reached by keyboard.
"""

from kvraft.viz.widgets.bytes import ByteStepper
from kvraft.viz.widgets.deaths import DeathSlider
from kvraft.viz.widgets.filters import FilterSlider
from kvraft.viz.widgets.outages import OutageSlider
from kvraft.viz.widgets.sandbox import Sandbox
from kvraft.viz.widgets.slider import Slider

__all__ = [
    "ByteStepper",
    "DeathSlider",
    "FilterSlider",
    "OutageSlider",
    "Sandbox",
    "Slider",
]
