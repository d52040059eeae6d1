"""What is listed of a vendor whose services are described in two files: the options of both."""

from __future__ import annotations

from ..profiles import Profile

__all__ = ["with_options_of"]


def with_options_of(profile: Profile, other: Profile) -> Profile:
    """*profile*, for listings, with the options that only *other* has behind its own.

    Where one has streams and the other has not, an option that only one of them has is listed as of that way.
    """
    own = {name: option for name, option in profile.options.items() if name not in other.options}
    added = {name: option for name, option in other.options.items() if name not in profile.options}
    if profile.streaming is not None and other.streaming is None:
        own = {name: option.model_copy(update={"used_by": "streaming"}) for name, option in own.items()}
        added = {name: option.model_copy(update={"used_by": "batch"}) for name, option in added.items()}
    return profile.model_copy(update={"options": {**profile.options, **own, **added}})
