"""The rules of the layout (docs/design.md), read from the source files."""

import ast
from collections.abc import Iterator
from pathlib import Path

import pytest

import jaxreg
from jaxreg.__main__ import COMMANDS

ROOT = Path(jaxreg.__file__).parent
FILES = {
    ".".join(path.relative_to(ROOT.parent).with_suffix("").parts): path
    for path in sorted(ROOT.rglob("*.py"))
}
FACES = [name for name in FILES if name.endswith(".__init__")]
LINES = 300  # a person reads a file in one sitting


def imports(tree: ast.AST) -> Iterator[str]:
    """Every imported name, those within functions too; not those under TYPE_CHECKING."""
    for node in ast.iter_child_nodes(tree):
        if isinstance(node, ast.If) and ast.unparse(node.test) == "TYPE_CHECKING":
            continue
        if isinstance(node, ast.Import):
            yield from (alias.name for alias in node.names)
        elif isinstance(node, ast.ImportFrom):
            assert node.level == 0, "imports are absolute"
            yield from (f"{node.module}.{alias.name}" for alias in node.names)
        else:
            yield from imports(node)


def module_of(name: str) -> str | None:
    """The module or face of jaxreg that an imported name is in."""
    while name.startswith("jaxreg."):
        for known in (name, f"{name}.__init__"):
            if known in FILES:
                return known
        name = name.rpartition(".")[0]
    return None


def graph(level: int | None) -> dict[str, set[str]]:
    """Module → modules; with a level, cut to so many parts of their names: `jaxreg.head`."""
    arrows: dict[str, set[str]] = {}
    for name, path in FILES.items():
        node = ".".join(name.split(".")[:level])
        here = arrows.setdefault(node, set())
        for imported in imports(ast.parse(path.read_text())):
            if (found := module_of(imported)) is not None:
                here.add(".".join(found.split(".")[:level]))
        here.discard(node)
    return arrows


def circle(arrows: dict[str, set[str]]) -> list[str]:
    """The nodes that are on a circle, or behind one: what is left after taking leaves away."""
    left = {node: set(others) for node, others in arrows.items()}
    while leaves := [node for node, others in left.items() if not others & left.keys()]:
        for leaf in leaves:
            del left[leaf]
    return sorted(left)


@pytest.mark.parametrize("level", [2, None], ids=["packages", "modules"])
def test_no_circle(level: int | None) -> None:
    assert circle(graph(level)) == []


def test_a_circle_would_be_found() -> None:
    assert circle({"a": {"b"}, "b": {"c"}, "c": {"b"}, "d": set()}) == ["a", "b", "c"]


@pytest.mark.parametrize("face", FACES)
def test_a_face_only_hands_names_on(face: str) -> None:
    package = face.removesuffix(".__init__")
    allowed = (ast.Import, ast.ImportFrom)
    for node in ast.parse(FILES[face].read_text()).body:
        if isinstance(node, ast.Expr) and isinstance(node.value, ast.Constant):
            continue  # the docstring
        if isinstance(node, ast.Assign) and ast.unparse(node.targets[0]) == "__all__":
            continue
        if package == "jaxreg":  # the lazy face
            continue
        assert isinstance(node, allowed), f"{face}: {ast.unparse(node)}"


def test_no_module_name_twice() -> None:
    stems = [name.rpartition(".")[2] for name in FILES if not name.endswith("__init__")]
    assert sorted({stem for stem in stems if stems.count(stem) > 1}) == []


def test_verbs_are_commands_and_nouns_are_packages() -> None:
    for command in COMMANDS:
        tree = ast.parse(FILES[f"jaxreg.{command}"].read_text())
        functions = [node.name for node in tree.body if isinstance(node, ast.FunctionDef)]
        assert "main" in functions, command
    packages = {name.split(".")[1] for name in FILES if name.count(".") > 1}
    assert not packages & set(COMMANDS)
    with_main = {
        name.split(".")[1]
        for name, path in FILES.items()
        if name.count(".") == 1 and "\ndef main(" in path.read_text()
    }
    assert with_main - {"__main__"} == set(COMMANDS)


LEFT = ("sources", "cache", "backbone", "extraction")
RIGHT = (
    "splits", "head", "verdict", "experiment", "training", "report", "search", "comparison",
)  # fmt: skip


@pytest.mark.parametrize(
    ("packages", "forbidden"),
    [(LEFT, ("flax", "optax", "orbax")), (RIGHT, ("tensorflow", "keras", "openvino"))],
)
def test_the_cache_is_a_wall(packages: tuple[str, ...], forbidden: tuple[str, ...]) -> None:
    for name, path in FILES.items():
        if name.split(".")[1] in packages:
            for imported in imports(ast.parse(path.read_text())):
                assert imported.split(".")[0] not in forbidden, (name, imported)


def test_files_are_short() -> None:
    long = {n: path.read_text().count("\n") for n, path in FILES.items()}
    assert {name: lines for name, lines in long.items() if lines > LINES} == {}


def test_the_map_names_every_module() -> None:
    page = (ROOT.parents[1] / "docs" / "design.md").read_text()
    names = {path.name for name, path in FILES.items() if not name.endswith("__init__")}
    assert {name for name in names if f"  {name} " not in page} == set()
