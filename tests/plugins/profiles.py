"""Hypothesis: random examples, whose failures can be repeated from what they print."""

import os

from hypothesis import HealthCheck, settings

# A shared machine is slow at times; a deadline would make a good test fail. The time of a whole
# test is bounded by pytest's own limit.
settings.register_profile("default", deadline=None, print_blob=True)
# For a long search by hand: PERENE_TEST_PROFILE=long
settings.register_profile(
    "long",
    deadline=None,
    print_blob=True,
    max_examples=5000,
    suppress_health_check=[HealthCheck.too_slow],
)
settings.load_profile(os.environ.get("PERENE_TEST_PROFILE", "default"))
