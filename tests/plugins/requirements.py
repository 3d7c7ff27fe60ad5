"""A test may only show requirements that exist: `@pytest.mark.requirement("C8")`."""

import pytest

from tools.requirements import load, shown_by


def pytest_collection_modifyitems(config: pytest.Config, items: list[pytest.Item]) -> None:
    """Refuse an id that docs/requirements.toml does not have, so that a slip shows at once."""
    known = {requirement.id for requirement in load(config.rootpath)}
    for item in items:
        unknown = sorted(set(shown_by(item)) - known)
        if unknown:
            raise pytest.UsageError(
                f"{item.nodeid} shows {', '.join(unknown)}, unknown to docs/requirements.toml"
            )
