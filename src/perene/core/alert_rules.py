"""The rules that Perene ships: what is worth telling a person, and what to do about it."""

from functools import partial

from perene.core.alerts import Rule, Scope, Severity


def _rule(
    scope: Scope,
    name: str,
    signal: str,
    severity: Severity,
    sentence: str,
    remedy: str,
    *,
    above: float | None = None,
    below: float | None = None,
    for_s: float = 0,
    resolve_after_s: float = 60,
    held_back_by: tuple[str, ...] = (),
) -> Rule:
    return Rule(
        name=name,
        scope=scope,
        signal=signal,
        above=above,
        below=below,
        for_s=for_s,
        resolve_after_s=resolve_after_s,
        severity=severity,
        sentence=sentence,
        remedy=remedy,
        held_back_by=held_back_by,
    )


_session, _service = partial(_rule, Scope.SESSION), partial(_rule, Scope.SERVICE)

_OUTAGES = "Look at the session's outages, which hold the cause and every attempt."

_LOST = ("session_banned", "session_locked")
"""What WhatsApp has done to the account; that its device has to be linked anew follows from it."""

_CAUSES = (*_LOST, "session_replaced", "session_outdated", "session_needs_pairing")
"""Why a session is down, of which each tells what to do; that it is down follows from it."""

_COURSE = (*_CAUSES, "session_needs_attention", "session_attempts")
"""How far an outage has come, for causes without a rule of their own."""


def _disk(place: str, kept: str) -> tuple[Rule, ...]:
    """Return the rules about the file system in which something is kept."""
    return (
        _service(
            f"{place}disk_low",
            f"{place}disk_free_bytes",
            Severity.WARNING,
            f"{{gigabytes:.1f}} GiB are left where the {kept} is.",
            f"Make room, or move the {kept}.",
            below=2 * 1024**3,
            for_s=60,
            held_back_by=(f"{place}disk_full",),
        ),
        _service(
            f"{place}disk_full",
            f"{place}disk_free_bytes",
            Severity.CRITICAL,
            f"{{gigabytes:.2f}} GiB are left where the {kept} is; saving will fail soon.",
            "Make room now.",
            below=256 * 1024**2,
        ),
        _service(
            f"{place}inodes_low",
            f"{place}inodes_share",
            Severity.WARNING,
            f"{{percent:.0f}} % of the inodes are used where the {kept} is.",
            "Find where many small files are (`df -i`, `du --inodes`) and remove them, or move the"
            f" {kept}.",
            above=0.95,
            for_s=60,
            held_back_by=(f"{place}inodes_full",),
        ),
        _service(
            f"{place}inodes_full",
            f"{place}inodes_share",
            Severity.CRITICAL,
            f"{{percent:.1f}} % of the inodes are used where the {kept} is; saving will fail soon,"
            " whatever room there is.",
            "Find where many small files are (`df -i`, `du --inodes`) and remove them now.",
            above=0.99,
        ),
    )


SESSION_RULES: tuple[Rule, ...] = (
    _session(
        "session_down",
        "down_s",
        Severity.WARNING,
        "Not connected for {minutes:.0f} minutes.",
        _OUTAGES,
        above=300,
        held_back_by=(*_COURSE, "session_restarts", "session_down_long"),
    ),
    _session(
        "session_down_long",
        "down_s",
        Severity.CRITICAL,
        "Not connected for {minutes:.0f} minutes.",
        _OUTAGES,
        above=3600,
        held_back_by=_COURSE,
    ),
    _session(
        "session_needs_attention",
        "needs_attention",
        Severity.CRITICAL,
        "The session is down, and no attempt is made before a person acts.",
        "Read the session's last error, mend its cause, then restart the session.",
        above=0,
        for_s=30,
        held_back_by=_CAUSES,
    ),
    _session(
        "session_banned",
        "banned",
        Severity.CRITICAL,
        "WhatsApp banned the number.",
        "Stop sending to people who did not ask for it; wait for the end of a temporary ban,"
        " or appeal in the WhatsApp app.",
        above=0,
    ),
    _session(
        "session_locked",
        "locked",
        Severity.CRITICAL,
        "WhatsApp has locked the account or device.",
        "Open WhatsApp on the phone and do what it asks for; then start the session, and scan its"
        " QR code.",
        above=0,
    ),
    _session(
        "session_replaced",
        "replaced",
        Severity.CRITICAL,
        "The same credentials are connected elsewhere; Perene stays away.",
        "Stop the other program that uses this session, then restart the session here.",
        above=0,
    ),
    _session(
        "session_needs_pairing",
        "needs_pairing",
        Severity.CRITICAL,
        "The device is no longer linked to its phone.",
        "Scan the session's QR code, or enter a pairing code, on the phone; a session that needs"
        " attention has to be started first.",
        above=0,
        held_back_by=_LOST,
    ),
    _session(
        "session_outdated",
        "outdated",
        Severity.CRITICAL,
        "WhatsApp refuses the client version, and no newer one was accepted.",
        "Set PERENE_CLIENT_VERSION to the version that WhatsApp Web has now, or update Perene.",
        above=0,
        for_s=120,
    ),
    _session(
        "session_deaf",
        "deaf",
        Severity.WARNING,
        "The connection seemed to deliver nothing {value:.0f} times in an hour; it was reopened"
        " each time.",
        "Check the network and any proxy between Perene and WhatsApp.",
        above=2,
        resolve_after_s=600,
    ),
    _session(
        "session_flapping",
        "reconnects_last_hour",
        Severity.WARNING,
        "The connection was opened again {value:.0f} times in an hour.",
        _OUTAGES + " Check the network and any proxy.",
        above=12,
        resolve_after_s=600,
    ),
    _session(
        "session_restarts",
        "restarts_515",
        Severity.WARNING,
        "WhatsApp asked for a restart (515) {value:.0f} times in a row.",
        "Check that the phone is online and its WhatsApp is up to date; if the restarts go on,"
        " the credentials are set aside and a new QR code is offered.",
        above=3,
    ),
    _session(
        "session_attempts",
        "attempts_share",
        Severity.CRITICAL,
        "{percent:.0f} % of the attempts that this outage is given are used up.",
        _OUTAGES + " When all are used up, a person has to act.",
        above=0.79,
        for_s=60,  # some outages have used up all before it helps to know of it
        held_back_by=(*_CAUSES, "session_needs_attention"),
    ),
    _session(
        "session_heartbeat",
        "heartbeat_age_s",
        Severity.CRITICAL,
        "The connection counts as open, but gave no sign of life for {value:.0f} seconds.",
        "Restart the session. If it comes again, look for a blocked process: load, disk, database.",
        above=120,
        resolve_after_s=30,
    ),
    _session(
        "session_phone_absent",
        "phone_absent_days",
        Severity.CRITICAL,
        "The phone has not been heard of for {value:.0f} days; WhatsApp unlinks its devices after"
        " about 14.",
        "Open WhatsApp on the phone, with a network.",
        above=0,
    ),
    _session(
        "session_limited",
        "limited",
        Severity.WARNING,
        "WhatsApp limits whom this account may write to (463 or 475).",
        "Write only to people who wrote first, until the limit ends; `GET …/account` shows it. If"
        " the phone shows no restriction, a privacy token was missing: lift the limit with"
        " `DELETE …/account/limit`.",
        above=0,
        resolve_after_s=600,
    ),
    _session(
        "session_linked_twice",
        "twins",
        Severity.INFO,
        "The number is linked in other sessions, too ({value:.0f}); each receives every message.",
        "Log out the sessions that are not meant; `perene session show` names them. If it is meant,"
        " switch this rule off.",
        above=0,
    ),
)

_DATABASE = ("database_failing", "database_taken")
"""Without it no session stays up."""

SERVICE_RULES: tuple[Rule, ...] = (
    _service(
        "database_failing",
        "database_failing",
        Severity.CRITICAL,
        "The database cannot be written; nothing that was not stored is acknowledged.",
        "/health says why. Check that the database runs, can be reached, has room, and that its"
        " files are where they were.",
        above=0,
        for_s=20,
        resolve_after_s=20,
        held_back_by=("database_taken",),
    ),
    _service(
        "database_taken",
        "database_taken",
        Severity.CRITICAL,
        "Another service took the database; this one let its sessions go, and ends.",
        "Keep one of the two services, or give each a database of its own.",
        above=0,
    ),
    _service(
        "retention_failing",
        "retention_failing",
        Severity.WARNING,
        "What is old, or of deleted sessions, could not be removed; the database grows.",
        "Look for old_rows_not_removed and remains_not_removed in the log; it is tried again"
        " within the hour.",
        above=0,
        for_s=60,
        held_back_by=_DATABASE,
    ),
    _service(
        "many_sessions_down",
        "sessions_down",
        Severity.WARNING,
        "{value:.0f} sessions are not connected.",
        "Look for what they share: network, proxy, endpoint.",
        above=20,
        for_s=300,
        held_back_by=("most_sessions_down", *_DATABASE),
    ),
    _service(
        "most_sessions_down",
        "sessions_down_share",
        Severity.CRITICAL,
        "{percent:.0f} % of the sessions are not connected.",
        "Check this machine's network and name resolution, and whether WhatsApp itself is down.",
        above=0.5,
        for_s=120,
        held_back_by=_DATABASE,
    ),
    _service(
        "task_failures",
        "task_failures_last_hour",
        Severity.WARNING,
        "A bug in Perene ended a session's task {value:.0f} times in an hour; each was started"
        " again.",
        "Report it with the log around session_task_failed.",
        above=0,
        resolve_after_s=600,
    ),
    _service(
        "clock_jump",
        "clock_jump_s",
        Severity.WARNING,
        "The machine's clock jumped by {value:.0f} seconds.",
        "Check time synchronisation; certificates and bans are judged by this clock.",
        above=60,
    ),
    _service(
        "clock_off",
        "clock_off_s",
        Severity.WARNING,
        "The machine's clock differs from WhatsApp's by {value:.0f} seconds.",
        "Check time synchronisation; certificates and bans are judged by this clock.",
        above=60,
        for_s=300,
        held_back_by=("clock_jump",),
    ),
    *_disk("", "data directory"),
    *_disk("database_", "database"),
    _service(
        "event_loop_late",
        "event_loop_lag_s",
        Severity.WARNING,
        "Everything stood still for {value:.0f} seconds; sessions that answer late are cut off.",
        "Look at the load of this machine. If it has enough left, report it with the log.",
        above=5,
        resolve_after_s=300,
    ),
    _service(
        "open_files",
        "open_files_share",
        Severity.CRITICAL,
        "{percent:.0f} % of the files and sockets that may be open are; without one, no session"
        " connects and nobody is told.",
        "Raise the limit where the service starts: `ulimit -n`, or LimitNOFILE= of systemd.",
        above=0.9,
    ),
    _service(
        "log_lines_lost",
        "log_lines_lost_last_hour",
        Severity.WARNING,
        "{value:.0f} lines of the log were lost in an hour.",
        "Look at what reads the log, and at the disk that it is written to.",
        above=0,
        resolve_after_s=600,
    ),
    _service(
        "key_missing",
        "key_missing",
        Severity.CRITICAL,
        "The master key's file is gone; after a restart no credentials could be read.",
        "Put the file back from its backup before the service is restarted.",
        above=0,
    ),
    _service(
        "version_expires",
        "version_refused_in_days",
        Severity.WARNING,
        "WhatsApp will refuse the client version in {value:.0f} days, and no newer one was found.",
        "Unset PERENE_CLIENT_VERSION, or set it to the version that WhatsApp Web has now; without"
        " it, see with `perene doctor` whether the live version can be looked for.",
        above=0,
        for_s=3600,
    ),
)

SHIPPED: tuple[Rule, ...] = SESSION_RULES + SERVICE_RULES
