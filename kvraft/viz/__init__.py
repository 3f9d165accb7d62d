"""Pictures of what happened, drawn from a trace and nothing else.

============== ===========================================================================
series.py      a trace as plain series: who led when, marks, segments, sizes
plots.py       those series as figures (needs matplotlib)
picture.py     showing and saving a figure, with a digest of its data
text.py        those series as a few lines of text
state.py       the state of the whole cluster after any step of a trace
views.py       that state as pictures in SVG
words.py       each event as a sentence, and which steps are worth a stop
stepper.py     moving through a trace with a slider and buttons (needs ipywidgets)
============== ===========================================================================
"""
