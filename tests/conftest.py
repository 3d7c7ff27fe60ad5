"""What every test shares: nothing but the tools that report on it."""

pytest_plugins = ["tests.plugins.requirements", "tests.plugins.profiles", "tests.plugins.postgres"]
