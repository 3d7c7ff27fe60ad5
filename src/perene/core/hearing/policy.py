"""The numbers by which a silence is suspected, tried and proved. Tuned by `bench/deaf.py`."""

from dataclasses import dataclass
from datetime import timedelta


@dataclass(frozen=True, slots=True, kw_only=True)
class HearingPolicy:
    """When a silence is suspected. Doubt is counted in nats: 7 are 1,100 to 1 against chance.

    A connection is reopened when chance alone would bring as much doubt `budget` times a month, for
    a session whose traffic is as it is at the time; `least_doubt` at least, and never before
    `least_silence`. The phone is asked earlier: when chance would bring the doubt
    `questions_a_month` times a month, or once in `messages_a_question`, whichever is more, and
    `questions_unanswered` times if it seldom answers; not again within `phone_pause`. That it does
    not answer within `phone_answers` is doubt as well. A phone that usually answers is asked
    `questions` times, one after the other, before a connection is given up; while that is not doubt
    enough, up to `quick_questions` times, and later each time up to `most_questions` times. It is
    asked whatever the doubt when nothing was heard, or nothing answered, for `phone_silence`, or
    when `missing` of the messages that usually come by then did not: `missing_factor` times as many
    after each answer, until about as much comes as usual. With no `questions` no phone is ever
    asked. Receipts for what the session sends count as missing after `receipts`.

    Messages of ours are suspected once `sends` have left since the server last took one, the first
    of them `unanswered` ago. A false alarm puts off the next suspicion by `pause`, each further one
    by `pause_factor` times as long, at most `longest_pause`; `forgiven` after one, one fewer is
    counted; messages that come as usual end it. A silence that the phone has explained is not tried
    again before `phone_pause`, and `pause_factor` times longer each time, unless a message comes. A
    queued stanza proves deafness if it was queued `grace` before the connection was given up; it
    has to come within `proof` of the login.
    """

    budget: float = 0.25
    least_doubt: float = 7.0
    least_silence: timedelta = timedelta(seconds=45)
    questions_a_month: float = 40.0
    messages_a_question: float = 2000.0
    questions_unanswered: float = 20.0
    questions: int = 2
    quick_questions: int = 3
    most_questions: int = 5
    phone_answers: timedelta = timedelta(seconds=15)
    phone_pause: timedelta = timedelta(minutes=1)
    phone_silence: timedelta = timedelta(hours=2)
    missing: float = 10.0
    missing_factor: float = 1.25
    receipts: timedelta = timedelta(seconds=30)
    sends: int = 2
    unanswered: timedelta = timedelta(minutes=2)
    pause: timedelta = timedelta(minutes=30)
    pause_factor: float = 4.0
    longest_pause: timedelta = timedelta(days=2)
    forgiven: timedelta = timedelta(days=2)
    grace: timedelta = timedelta(seconds=5)
    proof: timedelta = timedelta(seconds=60)

    @property
    def watches(self) -> bool:
        """Whether a connection may be given up at all."""
        return self.budget > 0
