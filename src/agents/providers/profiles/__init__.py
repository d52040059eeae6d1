"""The profile language: one YAML file describes one vendor service.

:func:`load_profile` reads and checks a file; :class:`ProfileStreaming` and :class:`ProfileBatch` speak what it
says, :class:`ProfileSynthesis` and :class:`ProfileStreamingSynthesis` what it says about speech. The reference of
the language is :mod:`.schema`, :mod:`.results` and :mod:`.speech`.
"""

from .batch import ProfileBatch
from .loader import Problem, find_problems, load_profile, parse_profile
from .schema import Profile
from .streaming import ProfileStreaming
from .streaming_synthesis import ProfileStreamingSynthesis
from .synthesis import ProfileSynthesis

__all__ = [
    "Problem",
    "Profile",
    "ProfileBatch",
    "ProfileStreaming",
    "ProfileStreamingSynthesis",
    "ProfileSynthesis",
    "find_problems",
    "load_profile",
    "parse_profile",
]
