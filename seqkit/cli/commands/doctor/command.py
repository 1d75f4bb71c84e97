"""The subcommand ``doctor``: print what is here, check results and speed, and list what to do."""

from collections.abc import Iterable, Sequence

import torch

from seqkit.cli.commands.doctor import environment
from seqkit.cli.commands.doctor.correctness import largest_differences
from seqkit.cli.commands.doctor.findings import Finding
from seqkit.cli.commands.doctor.speed import speeds
from seqkit.cli.commands.options import CommandParser

TOLERANCE = 1e-4
"""The largest difference from torch that counts as equal, relative to the largest value of a tensor, in float32."""
_WIDTH = 13  # of the names


def doctor_command(arguments: Sequence[str]) -> list[Finding]:
    """Describe this installation, compare the layers with those of torch, and print all of it.

    Args:
        arguments: The arguments after ``python -m seqkit doctor``: none but ``--help``.

    Returns:
        What was found.

    Raises:
        SystemExit: With status 1, after printing, if a layer gives wrong results here.
        ValueError: There are arguments.
    """
    CommandParser("doctor", "Check the installation: versions, compiled code, threads, results, speed.").read(
        arguments
    )
    findings: list[Finding] = []
    for part in (environment.findings(), _correctness(), _speed()):
        for finding in part:
            print(f"{finding.name:{_WIDTH}} {finding.text}", flush=True)
            findings.append(finding)
    remedies = [finding for finding in findings if finding.remedy]
    print("\n" + ("To do:" if remedies else "Nothing to do."))
    for finding in remedies:
        print(f"- {finding.name}: {finding.remedy}")
    if any(finding.is_error for finding in findings):
        raise SystemExit(1)
    return findings


def _correctness() -> Iterable[Finding]:
    devices = ["cpu", *(["cuda"] if torch.cuda.is_available() else [])]
    for device in devices:
        worst = largest_differences(torch.device(device))
        wrong = [cell for cell, difference in worst.items() if not difference <= TOLERANCE]  # NaN is wrong
        shown = ", ".join(f"{cell} {difference:.0e}" for cell, difference in worst.items())
        where = "" if device == "cpu" else " on the GPU"
        if wrong:
            yield Finding(
                "results",
                f"WRONG{where}: largest relative differences from torch.nn in float64: {shown}",
                f"do not use {', '.join(wrong)} of seqkit.nn{where} here, and report this output as a bug",
                is_error=True,
            )
        else:
            yield Finding("results", f"values and gradients equal those of torch.nn{where} ({shown})")


def _speed() -> Iterable[Finding]:
    measured = speeds()
    ours = measured["seqkit"]
    others = " and ".join(
        f"{ours / speed:.1f} times {name}" for name, speed in measured.items() if name != "seqkit"
    )
    yield Finding("speed", f"an LSTM trains at {ours:,.0f} tokens/s: {others}")
