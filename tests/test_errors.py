"""Every remedy in the source: a command, an option or an imperative sentence."""

import ast
import re
from collections.abc import Iterator
from importlib import import_module
from pathlib import Path

import pytest

import jaxreg
from jaxreg.__main__ import COMMANDS
from jaxreg.extract_config import ExtractConfig, RayOptions, SourceOptions
from jaxreg.option_names import options_of
from jaxreg.train_config import TrainConfig

HOLE = "□"  # a value of an f-string
KINDS = {
    "extract": [SourceOptions, ExtractConfig, RayOptions],
    "train": [TrainConfig],
    "predict": [SourceOptions],
}
OPTIONS = {
    name: options_of(
        KINDS.get(name, []),
        getattr(import_module(f"jaxreg.{name}"), f"{name.capitalize()}Arguments"),
    )
    for name in COMMANDS
}
EVERY = {option for options in OPTIONS.values() for option in options}
VERBS = """
    add check choose copy correct export extract free give install keep leave look make mend move
    name open order put read rename run save see set start stop subtract take train unpack unzip use
    wait write hand
"""
HARMFUL = re.compile(r"\brm\b|\bdelete\b|\biconv\b|\bremove it\b")


def texts(node: ast.AST, constants: dict[str, ast.expr]) -> list[str]:
    """The strings that an expression may be; HOLE stands for what only a run knows."""
    if isinstance(node, ast.Constant):
        return [node.value] if isinstance(node.value, str) else []
    if isinstance(node, ast.JoinedStr):
        parts = [
            texts(v, constants)[0] if isinstance(v, ast.Constant) else HOLE for v in node.values
        ]
        return ["".join(parts)]
    if isinstance(node, ast.IfExp):
        return texts(node.body, constants) + texts(node.orelse, constants)
    if isinstance(node, ast.BoolOp):
        return [text for value in node.values for text in texts(value, constants)]
    if isinstance(node, ast.BinOp) and isinstance(node.op, ast.Add):
        left, right = texts(node.left, constants) or [HOLE], texts(node.right, constants) or [HOLE]
        return [one + other for one in left for other in right]
    if isinstance(node, ast.BinOp):
        return texts(node.left, constants)
    if isinstance(node, ast.Name) and node.id in constants:
        return texts(constants[node.id], {})
    return []


def remedies() -> Iterator[tuple[str, str]]:
    """(place, text) of every remedy that is written out."""
    root = Path(jaxreg.__file__).parent
    for path in sorted(root.rglob("*.py")):
        tree = ast.parse(path.read_text())
        constants = {
            target.id: statement.value
            for statement in tree.body
            if isinstance(statement, ast.Assign)
            for target in statement.targets
            if isinstance(target, ast.Name)
        }
        found = []
        for node in ast.walk(tree):
            if isinstance(node, ast.Call):
                found += [word.value for word in node.keywords if word.arg == "remedy"]
                if getattr(node.func, "id", "") == "Evidence":
                    found += node.args[1:2]
            elif isinstance(node, ast.Assign):
                names = [getattr(target, "id", "") for target in node.targets]
                found += [node.value] * ("remedy" in names)
            elif isinstance(node, ast.FunctionDef) and node.name in RETURNING:
                inside = [part.value for part in ast.walk(node) if isinstance(part, ast.Return)]
                found += [value for value in inside if value is not None]
        for node in found:
            for text in texts(node, constants):
                yield f"{path.relative_to(root)}:{node.lineno}", text


RETURNING = {
    "_remedy", "_mend", "_instead", "_how_to_have", "_apart_from_copies", "_apart_from_neighbours",
    "_all_held_out",
}  # fmt: skip
FOUND = list(remedies())


def flaws(text: str) -> Iterator[str]:
    """Why a remedy cannot be followed."""
    before, then, command = text.rpartition(", then: ")
    for sentence in filter(None, [before if then else text]):
        if sentence.startswith(("jaxreg ", "--", HOLE, "pip install ")):
            if sentence.startswith("jaxreg "):
                yield from command_flaws(sentence)
        elif sentence.split()[0] not in VERBS.split():
            yield f"no command, option or imperative: {sentence.split()[0]}"
        if sentence.endswith("."):
            yield "a full stop"
    if then and not command.startswith(HOLE):
        yield from command_flaws(command)
    for option in re.findall(r"(?<![\w-])--[a-z][a-z-]*", text):
        if option not in EVERY | {"--help"}:
            yield f"no option {option}"
    if HARMFUL.search(text) or text.startswith("--overwrite"):
        yield "it may lose something"


def command_flaws(command: str) -> Iterator[str]:
    words = command.split()
    if words[0] != "jaxreg" or words[1] not in (*COMMANDS, "--help", HOLE):
        yield f"no command of jaxreg: {command}"
    for option in re.findall(r"(?<![\w-])--[a-z][a-z-]*", command):
        if option not in (*OPTIONS.get(words[1], EVERY), "--help"):
            yield f"jaxreg {words[1]} has no {option}"


@pytest.mark.parametrize(("place", "text"), FOUND, ids=[place for place, _ in FOUND])
def test_a_remedy_can_be_followed(place, text):
    assert list(flaws(text)) == []


@pytest.mark.parametrize(
    "text",
    ["rotation_angle", "jaxreg trian x", "jaxreg train x --lr 1", "--lr 1", "delete it", "use a."],
)
def test_what_cannot_be_followed_is_found(text):
    assert list(flaws(text))


def test_most_remedies_are_looked_at():
    assert len(FOUND) > 120
