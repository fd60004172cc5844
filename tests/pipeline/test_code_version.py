"""A step's code version changes with what its code does, and with nothing else."""

import itertools

import pytest

from mints.pipeline.code_version import code_version

counter = itertools.count()

FILES = {
    "__init__.py": '__version__ = "1.0"\n',
    "steps.py": '''
"""Steps of a study."""
from shore.counting import count
from shore import sorting

def work(run):
    """Do it."""
    from .late import finish
    return finish(count(run))
''',
    "counting.py": "import shore.deep.stones\n\nlimit = 5\n\ndef count(run):\n    return run\n",
    "sorting.py": "def order(x):\n    return x\n",
    "late.py": "from . import sorting\nfrom .deep import stones\n\ndef finish(x):\n    return x\n",
    "deep/__init__.py": "",
    "deep/stones.py": "from ..sorting import order\n\nsize = 1\n",
    "unused.py": "x = 1\n",
    "cli.py": "from shore.steps import work\n",
}


@pytest.fixture
def version(tmp_path):
    """Version of `shore.steps.work` with some files changed; the package is only read, never imported."""

    def of(changes=None):
        package = tmp_path / f"copy{next(counter)}" / "shore"
        for name, text in {**FILES, **(changes or {})}.items():
            (package / name).parent.mkdir(parents=True, exist_ok=True)
            (package / name).write_text(text)
        scope = {"__name__": "shore.steps"}
        exec(compile("def work(run): ...", str(package / "steps.py"), "exec"), scope)
        return code_version(scope["work"])

    return of


def test_comments_docstrings_and_layout_do_not_count(version):
    same_steps = """
from shore.counting import count  # a comment
from shore import sorting


def work(run):
    'Do it in other words.'
    from .late import finish
    return finish(
        count(run)
    )
"""
    documented = (
        'import shore.deep.stones\n\nlimit = 5\n"""Most stones on a shelf."""\ndef count(run):\n    return run\n'
    )
    assert version({"steps.py": same_steps, "counting.py": documented}) == version()


@pytest.mark.parametrize("name", ["steps.py", "counting.py", "sorting.py", "late.py", "deep/stones.py"])
def test_code_counts_in_every_module_that_is_reached(version, name):
    assert version({name: FILES[name] + "\nz = 2\n"}) != version()


@pytest.mark.parametrize("name", ["unused.py", "cli.py", "__init__.py", "deep/__init__.py"])
def test_modules_that_are_not_reached_do_not_count(version, name):
    assert version({name: "y = 9\n"}) == version()


def test_the_command_line_does_not_count_even_where_a_step_imports_it(version):
    importing = {"steps.py": "from shore import cli\n"}
    assert version({**importing, "cli.py": "y = 9\n"}) == version(importing)


def test_what_a_package_itself_defines_counts_when_it_is_imported(version):
    importing = {"steps.py": "from shore.deep import depth\n", "deep/__init__.py": "depth = 1\n"}
    assert version(importing) != version({**importing, "deep/__init__.py": "depth = 2\n"})


def test_the_release_number_does_not_count(version):
    importing = {"steps.py": "import shore\n"}
    assert version({**importing, "__init__.py": '__version__ = "2.0"\n'}) == version(importing)
    assert version({**importing, "__init__.py": "depth = 2\n"}) != version(importing)


def test_a_change_within_one_process_is_seen(version, tmp_path):
    before = version()
    path = next(tmp_path.glob("copy*/shore/counting.py"))
    path.write_text("limit = 6\n")
    scope = {"__name__": "shore.steps"}
    exec(compile("def work(run): ...", str(path.with_name("steps.py")), "exec"), scope)
    assert code_version(scope["work"]) != before


def test_the_way_steps_are_run_does_not_count(tmp_path):
    def version(pipeline_code):
        package = tmp_path / f"copy{next(counter)}" / "mints"
        (package / "pipeline").mkdir(parents=True)
        (package / "pipeline" / "step.py").write_text(pipeline_code)
        (package / "steps.py").write_text("from mints.pipeline.step import step\n")
        scope = {"__name__": "mints.steps"}
        exec(compile("def work(run): ...", str(package / "steps.py"), "exec"), scope)
        return code_version(scope["work"])

    assert version("x = 1\n") == version("x = 2\n")
