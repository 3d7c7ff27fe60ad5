"""The numbers that alert rules can watch."""

from collections.abc import Mapping

from perene.core.alerts import Scope

SIGNALS: Mapping[Scope, Mapping[str, str]] = {
    Scope.SESSION: {
        "down_s": "Seconds since the session went down; 0 while connected, stopped or pairing.",
        "needs_attention": "1 while no attempt is made before a person acts.",
        "banned": "1 while the number is banned, for a time or for good.",
        "locked": "1 while WhatsApp has locked the account or device.",
        "replaced": "1 while the same credentials are connected elsewhere.",
        "needs_pairing": "1 while a device that was linked has to be linked anew.",
        "outdated": "1 while WhatsApp refuses the client version.",
        "deaf": "Times in the last hour that the open connection seemed to deliver nothing.",
        "reconnects_last_hour": "Connections that were opened again in the last hour.",
        "restarts_515": "Restarts in a row that the server asked for (515).",
        "attempts_share": "Attempts made, as a share of the limit of this outage; 0 without one.",
        "heartbeat_age_s": "Seconds since the open connection last proved to be alive, or could"
        " have done so anew, after everything stood still.",
        "phone_absent_days": "Days of the phone's absence that were warned of: 12, then 14.",
        "limited": "1 when WhatsApp lately refused to send to new people (463, 475).",
        "twins": "Other sessions that are linked to the same account.",
    },
    Scope.SERVICE: {
        "database_failing": "1 while the database takes no writes.",
        "database_taken": "1 when another service took the database; this one ends then.",
        "retention_failing": "1 when old rows, or those of deleted sessions, could not be"
        " removed at the last try.",
        "sessions_down": "Sessions that shall run and are not connected, but for those that are"
        " banned, outdated, or wait for a person.",
        "sessions_down_share": "The same as a share of the sessions that could be connected.",
        "task_failures_last_hour": "Sessions' tasks that ended by a bug in the last hour.",
        "clock_off_s": "By how much the machine's clock differs from WhatsApp's, in seconds, as the"
        " last login told it.",
        "clock_jump_s": "Largest jump of the machine's clock in the last hour, in seconds.",
        "disk_free_bytes": "Room left where the data directory is, in bytes.",
        "inodes_share": "Inodes that are used where the data directory is, as a share of all; not"
        " told by file systems without a limit of their own, as btrfs.",
        "database_disk_free_bytes": "Room left where an SQLite database is, in bytes; only if that"
        " is another file system than the data directory's.",
        "database_inodes_share": "Inodes that are used there, as a share of all.",
        "event_loop_lag_s": "Longest time in the last minute for which everything stood still.",
        "open_files_share": "Files and sockets that are open, as a share of those that may be.",
        "log_lines_lost_last_hour": "Lines of the log that were not written in the last hour.",
        "key_missing": "1 when the master key's file is gone since the start.",
        "version_refused_in_days": "Days until WhatsApp refuses the client version, as it has said;"
        " 0 if that is more than 14 days off, or a newer version was found; else at least 1.",
    },
}
"""Every number that a rule can watch, with what it means."""
