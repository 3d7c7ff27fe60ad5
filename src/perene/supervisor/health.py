"""How the service is, from memory."""

from collections import Counter

from perene.supervisor.committer import Committer
from perene.supervisor.ports import ComponentHealth, Health
from perene.supervisor.storage import ApiKeys
from perene.supervisor.supervisor import Supervisor


class Keyholder:
    """Implements `ports.Keys` on the store."""

    def __init__(self, store: ApiKeys) -> None:
        self._store = store

    async def verify(self, key: str) -> str | None:
        found = await self._store.verify_api_key(key)
        return None if found is None else found.name


class Vitals:
    """Implements `ports.HealthSource` on what is in memory; reading it asks no database."""

    def __init__(self, supervisor: Supervisor, committer: Committer) -> None:
        self._supervisor = supervisor
        self._committer = committer

    async def health(self) -> Health:
        failing = self._committer.failing
        counts = Counter(state.connection for state in self._supervisor.states())
        return Health(
            components=[
                ComponentHealth(
                    name="database",
                    ok=not failing,
                    detail="The last transaction could not be saved." if failing else None,
                )
            ],
            sessions=dict(counts),
        )
