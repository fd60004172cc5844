"""The version of a step's code: a digest of the modules that it is made of, read without importing or running them.

Comments, docstrings, layout and the release number do not count: changing them changes no result. What is imported by a
computed name, and data files beside the code, are not seen. Another minor version of Python may give other digests.
"""

from __future__ import annotations

import ast
import hashlib
import inspect
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from typing import Any

PIPELINE = __name__.rpartition(".")[0]
"""This package: how steps are run is no part of what they compute."""


@dataclass(frozen=True)
class _Package:
    """A top-level package on disk."""

    name: str
    folder: Path

    def source(self, module: str) -> Path | None:
        """File of a module of this package, or None where there is no such module."""
        parts = module.split(".")
        if parts[0] != self.name:
            return None
        path = self.folder.joinpath(*parts[1:])
        candidates = (path / "__init__.py", path.with_suffix(".py")) if len(parts) > 1 else (path / "__init__.py",)
        return next((candidate for candidate in candidates if candidate.is_file()), None)


def code_version(function: Callable[..., Any]) -> str:
    """SHA-256 over the function's module and, transitively, the modules of the same package that it imports.

    Imports inside functions count as well. The pipeline itself and the package's command line (`cli`) do not.
    """
    function = inspect.unwrap(function)
    module, path = function.__module__, Path(inspect.getfile(function))
    package = _package_of(module, path)
    digests: dict[str, str] = {}
    waiting = [(module, path)]
    while waiting:
        module, path = waiting.pop()
        if module in digests:
            continue
        tree_digest, imported = _examine(path, path.stat().st_mtime_ns, module)
        digests[module] = tree_digest
        targets = {_target(package, *names) for names in imported}
        waiting += [(name, source) for name in targets if (source := _counted_source(package, name))]
    listing = "\n".join(f"{name} {digests[name]}" for name in sorted(digests))
    return hashlib.sha256(listing.encode()).hexdigest()


def _package_of(module: str, path: Path) -> _Package:
    depth = module.count(".") + (path.name == "__init__.py")
    return _Package(module.split(".")[0], path.parents[depth - 1] if depth else path.parent)


def _counted_source(package: _Package, module: str) -> Path | None:
    left_out = module == f"{package.name}.cli" or module == PIPELINE or module.startswith(f"{PIPELINE}.")
    return None if left_out else package.source(module)


def _target(package: _Package, module: str, name: str | None) -> str:
    """`from module import name` means the module `module.name` where there is one, else something in `module`."""
    submodule = f"{module}.{name}"
    return submodule if name is not None and package.source(submodule) else module


@cache
def _examine(path: Path, modified_ns: int, module: str) -> tuple[str, frozenset[tuple[str, str | None]]]:
    """Digest of a module without its comments and docstrings, and its imports as (module, name or None).

    modified_ns: time of the last change, so that a file changed within this process is read again.
    """
    tree = ast.parse(path.read_bytes())
    imports = frozenset(_imports(tree, module if path.name == "__init__.py" else module.rpartition(".")[0]))
    for node in ast.walk(tree):
        body = getattr(node, "body", None)
        if isinstance(body, list):
            node.body = [statement for statement in body if not _says_nothing(statement)]  # type: ignore[attr-defined]
    return hashlib.sha256(ast.dump(tree).encode()).hexdigest(), imports


def _says_nothing(statement: ast.stmt) -> bool:
    """A docstring (also one under a field), or the release number."""
    if isinstance(statement, ast.Expr):
        return isinstance(statement.value, ast.Constant) and isinstance(statement.value.value, str)
    return isinstance(statement, ast.Assign) and any(
        isinstance(target, ast.Name) and target.id == "__version__" for target in statement.targets
    )


def _imports(tree: ast.Module, package: str) -> Iterator[tuple[str, str | None]]:
    """All imports of a module; `package` is what its relative imports start from."""
    for node in ast.walk(tree):
        if isinstance(node, ast.Import):
            yield from ((alias.name, None) for alias in node.names)
        elif isinstance(node, ast.ImportFrom):
            base = _absolute(node, package)
            yield from ((base, alias.name) for alias in node.names)


def _absolute(node: ast.ImportFrom, package: str) -> str:
    if not node.level:
        return node.module or ""
    parts = package.split(".")
    parents = parts[: len(parts) - (node.level - 1)]
    return ".".join([*parents, node.module] if node.module else parents)
