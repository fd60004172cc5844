"""The two ways in which a run ends early because of something that its user can mend."""


class MintsError(Exception):
    """A failure told in one line: what is wrong, where, and what to do. The process ends with `exit_code`."""

    exit_code = 1


class UsageError(MintsError):
    """A command line or configuration that cannot be meant: unknown step, unknown field, impossible value."""

    exit_code = 2
