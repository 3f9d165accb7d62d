"""Room."""

from kvraft.course import copies
from kvraft.course.lesson import check

__all__ = ["check", "copies"]
