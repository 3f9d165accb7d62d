"""Checks of exercises that ask for code: they run the learner's rule in the real module."""
