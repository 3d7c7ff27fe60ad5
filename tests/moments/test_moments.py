"""The short form of `make moments`: whatever happens, and when, nothing shows of it in the end."""

import random

import pytest

from tests.moments.comparing import Stories
from tests.moments.databases import Files
from tests.moments.stories import STORIES
from tests.moments.troubles import OF_TWO, Trouble

pytestmark = [
    pytest.mark.requirement("C8", "C13", "D5", "D9", "E6", "E8", "F1", "F5"),
    pytest.mark.slow,
]


@pytest.fixture(scope="session")
def stories(tmp_path_factory: pytest.TempPathFactory) -> Stories:
    """Return one for all tests: it remembers how a story ends when nothing befalls it."""
    folder = tmp_path_factory.mktemp("moments")
    # Not by the seed of the test order: every run is another.
    return Stories(folder, Files.make(folder), seed=random.Random().randrange(10**9))


@pytest.mark.parametrize("trouble", [one for one in Trouble if one not in OF_TWO])
@pytest.mark.parametrize("name", STORIES)
async def test_a_trouble_in_any_moment_of_a_story_changes_nothing_of_its_end(
    stories: Stories, name: str, trouble: Trouble
) -> None:
    await _told(stories, name, trouble)


@pytest.mark.parametrize("trouble", OF_TWO)
async def test_two_services_in_any_moment_of_a_story_change_nothing_of_its_end(
    stories: Stories, trouble: Trouble
) -> None:
    await _told(stories, random.Random().choice(list(STORIES)), trouble)


async def _told(stories: Stories, name: str, trouble: Trouble) -> None:
    moments = (await stories.undisturbed(name)).moments
    at = random.Random().choice(trouble.places(moments))

    found = await stories.problems(name, {at: trouble})

    case = f"--story {name} --trouble {trouble} --moment {at} --seed {stories.seed}"
    assert found == [], f"make moments ARGS='{case}': after {moments[at - 1]}"
