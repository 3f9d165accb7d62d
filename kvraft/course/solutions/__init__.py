"""Right and wrong answers to the exercises, one file a lesson.

``RIGHT`` has a right answer for each name that a learner fills in, ``WRONG`` answers that are wrong
in the ways one comes to think of: at least three for each exercise that are answered in different
words.  They are written as in a lesson, without types.  A learner opens a right one by
``solution("06.3")``, after an attempt.
"""
