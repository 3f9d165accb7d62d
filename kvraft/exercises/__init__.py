"""Checks of the exercises that ask for code: each runs the learner's rule inside the real module."""
