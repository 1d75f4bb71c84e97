"""``python -m seqkit doctor``: what is installed, which code runs and why, whether it is correct and fast."""

from seqkit.cli.commands.doctor.command import doctor_command

__all__ = ["doctor_command"]
