"""Answers to the exercises of notebooks/00_tour.ipynb."""

RIGHT = {"order": "CFAHBEDG", "may_go": [11, 12, 13]}
WRONG = {"order": ["ABCDEFGH", "FCAHBEDG"], "may_go": [[11, 12], [11, 12, 13, 14]]}
