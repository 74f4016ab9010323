"""`hnvlab doctor`: whether this machine can run a lab."""

from __future__ import annotations

from lab.cli import options, output
from lab.errors import ExitCode


def doctor(as_json: options.Json = False) -> ExitCode:
    """Look whether this machine can run a lab; 4 if it cannot."""
    from lab.engine.doctor import Verdict, examine

    findings = list(examine())
    fit = all(item.verdict is not Verdict.FAILED for item in findings)
    if as_json:
        output.data({"fit": fit, "findings": [item.to_json() for item in findings]})
    else:
        output.table(("WHAT", "", "SEEN"), [(item.subject, item.verdict, item.detail) for item in findings])
        for item in findings:
            if item.hint:
                output.note(f"{item.subject}: {item.hint}")
    return ExitCode.OK if fit else ExitCode.UNFIT
