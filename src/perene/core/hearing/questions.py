"""The questions to our own phone: one that is open, those that were missed, and what that tells."""

from dataclasses import dataclass, field, replace
from datetime import datetime, timedelta

from perene.core.hearing.chances import Phone


@dataclass(frozen=True, slots=True, kw_only=True)
class Questions:
    """What the own phone was asked, and whether it answers.

    `asked` is a question that is still open, `missed` are those before it that were asked in the
    same silence, `last` is the last one, open or not. `tried` is how often the phone was to be
    asked for the present suspicion, `tried_at` when it was last, whether it could be or not.
    `phone` is what was learned.
    """

    phone: Phone = field(default_factory=Phone)
    asked: datetime | None = None
    missed: int = 0
    last: datetime | None = None
    tried: int = 0
    tried_at: datetime | None = None

    def trying(self, now: datetime, *, anew: bool, ask: bool) -> "Questions":
        """The phone is to be asked if `ask`, of the same suspicion as before unless `anew`."""
        tried = 0 if anew else self.tried
        return replace(self, tried=tried + 1, tried_at=now) if ask else replace(self, tried=tried)

    def put(self, now: datetime, *, heard_at: datetime | None) -> "Questions":
        """A question left; something was heard last at `heard_at`."""
        phone, missed = self.phone, 0
        if self._is_of(heard_at):
            missed = self.missed + 1
        elif self.asked is not None:
            # A question that was never answered, although we heard since, says how the phone is.
            phone = phone.after(self.missed + 1, answered=False)
        return replace(self, phone=phone, asked=now, missed=missed, last=now)

    def answered(self) -> "Questions":
        """The phone answered, if it was asked."""
        if self.asked is None:
            return self
        phone = self.phone.after(self.missed, answered=True)
        return replace(self, phone=phone, asked=None, missed=0)

    def unanswered(self) -> "Questions":
        """The phone did not answer, and nothing was kept from us: so it is, sometimes."""
        missed = 0 if self.asked is None else self.missed + 1
        phone = self.phone.after(missed, answered=False)
        return replace(self, phone=phone, asked=None, missed=0)

    def forgotten(self) -> "Questions":
        """Its answer could not be heard: nothing is learned of the phone."""
        return replace(self, asked=None, missed=0)

    def set_back(self, now: datetime) -> "Questions":
        """Return what is known without what lies in the future."""
        asked = None if self.asked is None or self.asked > now else self.asked
        last = None if self.last is None else min(self.last, now)
        tried_at = None if self.tried_at is None else min(self.tried_at, now)
        return replace(self, asked=asked, last=last, tried_at=tried_at)

    def due(self, heard_at: datetime | None, patience: timedelta) -> datetime | None:
        """Return when there has been no answer for too long, None if none was asked since."""
        if self.asked is None or not self._is_of(heard_at):
            return None
        return self.asked + patience

    @property
    def could_be_put(self) -> bool:
        """Whether the last one that was to be put was put."""
        if self.tried_at is None:
            return True
        return self.asked is not None and self.asked >= self.tried_at

    def nats(self, now: datetime, due: datetime | None) -> float:
        """Return what the missing answers speak against hearing; see `due`."""
        return 0.0 if due is None else self.phone.nats(self.missed + (now >= due))

    def _is_of(self, heard_at: datetime | None) -> bool:
        """Tell whether the open question was asked in the present silence."""
        return self.asked is not None and heard_at is not None and self.asked >= heard_at
