"""The command `perene doctor`."""

import asyncio
import json
from collections.abc import Sequence
from dataclasses import asdict

from perene.cli.exits import REFUSED_BY_SERVICE
from perene.core.clock import SystemClock
from perene.doctor import Finding, Level, examine, examine_settings
from perene.process.event_loop import EventLoop


def run(*, offline: bool, raw: bool) -> int:
    """Make the checks, print what they found, and return the exit status."""
    first, settings = examine_settings()
    findings = [first]
    if settings is not None:
        # The service's own, so that both go the same way to the same address.
        with asyncio.Runner(loop_factory=EventLoop) as runner:
            findings += runner.run(examine(settings, SystemClock(), offline=offline))
    print(_json(findings) if raw else _lines(findings))
    failed = any(finding.level is Level.FAIL for finding in findings)
    return REFUSED_BY_SERVICE if failed else 0


def _lines(findings: Sequence[Finding]) -> str:
    width = max(len(finding.name) for finding in findings)
    indent = " " * (width + 8)
    lines: list[str] = []
    for finding in findings:
        lines.append(f"{finding.level:<4}  {finding.name:<{width}}  {finding.sentence}")
        if finding.remedy:
            lines.append(f"{indent}{finding.remedy}")
    return "\n".join(lines)


def _json(findings: Sequence[Finding]) -> str:
    return json.dumps([asdict(finding) for finding in findings], indent=2, ensure_ascii=False)
