"""The command line: what a user types, what a user sees, and how a run ends.

Exit codes: 0 done, 1 a failure that the message tells how to mend, 2 a command line that cannot be meant, 130 Ctrl-C.
"""

from __future__ import annotations

import argparse
import os
import shlex
import signal
import sys
import webbrowser
from collections.abc import Sequence
from importlib import import_module
from pathlib import Path
from typing import TYPE_CHECKING, Any, ClassVar, NoReturn

from pydantic import Field, ValidationError
from pydantic_settings import BaseSettings, CliSettingsSource, SettingsConfigDict, SettingsError

from mints import __version__, presentation
from mints.basecaller_config import BasecallerConfig
from mints.config import Config
from mints.configuration_files import read_profile
from mints.errors import MintsError, UsageError
from mints.pipeline.manifest import RUN_MANIFEST
from mints.protein_config import ProteinConfig
from mints.studies.shared.report import PAGE
from mints.study_config import StudyConfig

if TYPE_CHECKING:
    from mints.pipeline.step import Step

EPILOG = """examples:
  python main.py --profile embedded                    offline demo on a simulated genome, minutes on two cores
  python main.py --study protein --profile embedded    latents of a protein model: annotation, substitutions, circuits
  python main.py --study basecaller --profile embedded    which component of a basecaller counts repeated bases
  python main.py                                       the full reproduction (downloads models and data)
  python main.py --fetch-only                          bring all of that here, for a machine without network
  python main.py --mirror /shared/downloads --offline  the same reproduction from there
  python main.py --from-step probe_controls            go on from a named step
  python main.py --train my_train.csv --test my_test.csv --model ./checkpoint --results results/mine
  python main.py --peaks my.bed.gz --genome my.fa --model ./checkpoint --results results/mine
  python main.py --config my.toml --dry-run            what would run, and why"""


SETTINGS = SettingsConfigDict(
    cli_prog_name="main.py",
    cli_kebab_case=True,
    cli_implicit_flags="toggle",
    cli_enforce_required=False,
    cli_hide_none_type=True,
    cli_avoid_json=True,
    extra="forbid",
    frozen=True,
    use_attribute_docstrings=True,
    protected_namespaces=(),
)
"""How configurations become command lines."""


class Command(BaseSettings):
    """What every command has beside its study's configuration."""

    configured_by: ClassVar[type[StudyConfig]]
    study_module: ClassVar[str]
    """Where the study's `open_pipeline` is; imported when it is needed, since it brings torch."""

    config: Path | None = None
    """Your own TOML file: fields as below; `extends = "embedded"` puts a profile underneath."""

    from_step: str | None = None
    """Run this step and all after it, whether or not they are up to date."""

    only_step: str | None = None
    """Run this step alone, from the artifacts that exist."""

    overwrite: bool = False
    """Run every step anew, and make its artifacts again."""

    pretrain: bool = False
    """Pretrain a small model by the profile's recipe instead of analysing one."""

    mirror: str | None = None
    """Folder or address from which files are taken first: a copy of a data/downloads that --fetch-only filled."""

    offline: bool = False
    """Ask for nothing over the network; what is missing is listed before anything starts."""

    fetch_only: bool = False
    """Bring every model and file of the configuration to data/downloads, and end."""

    report_only: bool = False
    """Make the page of the results that there are, whatever steps they lack, and end."""

    open_report: bool = False
    """Open the page in a browser when the run has ended."""

    list_steps: bool = False
    """List the steps and end."""

    dry_run: bool = False
    """Say what would run and why, and end."""

    status: bool = False
    """Say what is complete, outdated or missing in the results folder, and end."""

    as_json: bool = Field(default=False, validation_alias="json")
    """Print one JSON document on standard output and nothing else there."""

    quiet: bool = False
    """No progress."""

    version: bool = False
    """Print the version and end."""

    def analysis_config(self) -> StudyConfig:
        """The part that results depend on."""
        return self.configured_by.model_validate(self.model_dump(include=set(self.configured_by.model_fields)))


class GenomicCommand(Config, Command):
    """MINTS: which component of a nucleotide transformer implements this biology, and how sure are we?"""

    model_config = SETTINGS
    configured_by = Config
    study_module = "mints.studies.genomic.study"

    only_probe_controls: bool = False
    """Rerun the probe controls alone, from cached activations and without loading the model."""


class ProteinCommand(ProteinConfig, Command):
    """MINTS, protein study: which latents of a protein language model carry this biology, and how sure are we?"""

    model_config = SETTINGS
    configured_by = ProteinConfig
    study_module = "mints.studies.protein.study"


class BasecallerCommand(BasecallerConfig, Command):
    """MINTS, basecaller study: which component of a nanopore basecaller counts repeated bases, and how sure are we?"""

    model_config = SETTINGS
    configured_by = BasecallerConfig
    study_module = "mints.studies.basecaller.study"


STUDIES: dict[str, type[Command]] = {
    "genomic": GenomicCommand,
    "protein": ProteinCommand,
    "basecaller": BasecallerCommand,
}


def main(arguments: Sequence[str] | None = None) -> int:
    """Run one command; returns the exit code."""
    signal.signal(signal.SIGTERM, signal.default_int_handler)  # batch schedulers stop a job with SIGTERM
    try:
        return _main(list(sys.argv[1:] if arguments is None else arguments))
    except MintsError as error:
        _complain(f"error: {error}")
        return error.exit_code
    except MemoryError:
        _complain("error: out of memory: give a smaller --tokens-per-batch or caps such as --max-probe-train")
        return 1
    except KeyboardInterrupt:
        _complain("interrupted: finished steps are kept, and the same command goes on from here")
        return 130
    except BrokenPipeError:
        # The reader of our output has gone (`| head`); Python must not complain about it while it ends.
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        return 1


def _main(arguments: list[str]) -> int:
    command = read_command_line(arguments)
    if command.version:
        sys.stdout.write(f"mints {__version__}\n")
        return 0
    config = command.analysis_config()
    study = import_module(command.study_module)
    pipeline = study.open_pipeline(config, pretraining=command.pretrain, quiet=command.quiet)
    only = "probe_controls" if getattr(command, "only_probe_controls", False) else command.only_step
    if command.list_steps:
        presentation.show_steps(pipeline.steps, as_json=command.as_json)
    elif command.status:
        presentation.show_status(pipeline.status(), as_json=command.as_json)
    elif command.dry_run:
        decisions = pipeline.plan(command.from_step, only, command.overwrite)
        presentation.show_plan(decisions, as_json=command.as_json)
    elif command.report_only:
        _make_page(config.results, pipeline.steps)
    elif command.fetch_only:
        presentation.show_sources(_gather(command, config, pipeline.steps, arguments), as_json=command.as_json)
    else:
        running = [d.step for d in pipeline.plan(command.from_step, only, command.overwrite) if d.runs]
        sources = _gather(command, config, running, arguments)
        summary = pipeline.run(command.from_step, only, command.overwrite, sources=sources)
        presentation.show_results(summary.as_json(), config.results, as_json=command.as_json)
    if command.open_report:
        webbrowser.open((config.results / PAGE).resolve().as_uri())
    return 0


def _make_page(results: Path, steps: Sequence[Step]) -> None:
    """The page of whatever a results folder holds; says where it is."""
    from mints.pipeline.artifacts import written_atomically
    from mints.studies.shared.report import makers_of, page_of

    if not (results / RUN_MANIFEST).is_file():
        raise MintsError(f"{results} holds no results: run without --report-only first, or give --results")
    with written_atomically(results / PAGE) as temporary:
        temporary.write_text(page_of(results, makers_of(steps)), encoding="utf-8")
    sys.stdout.write(f"{results / PAGE}\n")


def _gather(
    command: Command, config: StudyConfig, steps: Sequence[Step], arguments: Sequence[str]
) -> list[dict[str, Any]]:
    """Bring what the steps open to this machine; returns where it came from, for the manifest."""
    from mints.data.sources import Shelf
    from mints.pipeline.progress import Reporter
    from mints.studies.shared.gather import gather, sources_record

    shelf = Shelf(mirror=command.mirror, offline=command.offline)
    elsewhere = shlex.join(["python", "main.py", *_without_shelf(arguments)])
    gather(config, steps, shelf, Reporter(quiet=command.quiet), elsewhere)
    return sources_record(config, steps, shelf)


def _without_shelf(arguments: Sequence[str]) -> list[str]:
    """The command line without the flags that say where files may come from."""
    first = _Parser(add_help=False, allow_abbrev=False)
    first.add_argument("--mirror")
    for flag in ("--offline", "--fetch-only"):
        first.add_argument(flag, action="store_true")
    return first.parse_known_args(arguments)[1]


def read_command_line(arguments: list[str]) -> Command:
    """Profile, the user's file and the flags, the later over the earlier.

    Raises UsageError, in one line, for a flag or value that cannot be meant.
    """
    first = _Parser(add_help=False, allow_abbrev=False)
    first.add_argument("--profile")
    first.add_argument("--config", type=Path)
    first.add_argument("--model")
    first.add_argument("--study")
    known, _ = first.parse_known_args(arguments)
    values = read_profile(known.profile, known.config, known.model, known.study)
    if values["study"] not in STUDIES:
        raise UsageError(f"unknown study {values['study']!r}: there are {', '.join(STUDIES)}")
    study = STUDIES[values["study"]]
    parser = _Parser(prog="main.py", epilog=EPILOG, formatter_class=argparse.RawDescriptionHelpFormatter)
    source: CliSettingsSource[_Parser] = CliSettingsSource(study, root_parser=parser)
    try:
        return study(_cli_settings_source=source(args=arguments), **values)
    except ValidationError as error:
        raise UsageError(_first_complaint(error)) from None
    except SettingsError as error:
        raise UsageError(str(error)) from None


class _Parser(argparse.ArgumentParser):
    """Complains in one line, by the same way as every other failure."""

    def error(self, message: str) -> NoReturn:
        raise UsageError(f"{message} (see --help)")


def _first_complaint(error: ValidationError) -> str:
    """The first thing that is wrong, with the flag that it belongs to."""
    complaint = error.errors()[0]
    field = ".".join(str(part) for part in complaint["loc"])
    message = complaint["msg"].removeprefix("Value error, ")
    if not field:
        return message
    given = complaint.get("input")
    shown = f" (given: {given!r})" if isinstance(given, str | int | float) else ""
    return f"--{field.replace('_', '-')}: {message}{shown}"


def _complain(text: str) -> None:
    sys.stderr.write(text + "\n")
