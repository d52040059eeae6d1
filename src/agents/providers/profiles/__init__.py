"""The profile language: one YAML file describes one vendor service.

:func:`load_profile` reads and checks a file; :class:`ProfileStreaming` and :class:`ProfileBatch` speak what it
says. The reference of the language is :mod:`.schema` and :mod:`.results`.
"""

from .batch import ProfileBatch
from .loader import Problem, find_problems, load_profile, parse_profile
from .schema import Profile
from .streaming import ProfileStreaming

__all__ = [
    "Problem",
    "Profile",
    "ProfileBatch",
    "ProfileStreaming",
    "find_problems",
    "load_profile",
    "parse_profile",
]
