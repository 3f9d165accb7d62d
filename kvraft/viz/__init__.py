"""Pictures of what happened, drawn from a trace, from bytes, or from what was measured.

::

    widgets      sliders over pictures, for notebooks       needs ipywidgets
       │
       │    figures     plots of what was measured          needs matplotlib
       ├──────┤
       │    playground  the sandbox as a page, with Python in the browser
       ├──────┤
     panels      the bytes of files as SVG
     sandbox     a run to hold in one's hands: panels that fit a stage and a phone
       ├──────┐
      svg   trace       how to draw; what a trace says
     shown              a picture in a notebook, with words for those who do not see it

Pictures are imported from the room that draws them (``from kvraft.viz.sandbox import still``),
and a drawing is shown as the value of a cell by :class:`SVG`.  This package alone loads none of
them, and neither matplotlib nor ipywidgets.

Invariant: a picture is a function of its arguments, so equal runs give equal pictures.
"""

from kvraft.viz.shown import SVG

__all__ = ["SVG"]
