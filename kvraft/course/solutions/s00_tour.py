"""Answers to the exercises of notebooks/00_tour.ipynb."""

RIGHT = {"order": "CFAHBEDG", "may_go": [11, 12, 13]}
WRONG = {
    "order": ["ABCDEFGH", "FCAHBEDG", "CFABHEDG", "CFAHEBDG", "CFA"],
    "may_go": [[11, 12], [11, 12, 13, 14], [11, 12, 13, 15], 13],
}
