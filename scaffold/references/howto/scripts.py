"""The scripts in a repository's top folder, read as text: how each is started, and what it expects to find."""

from __future__ import annotations

import ast
import re
import shlex
import sys
from dataclasses import dataclass, field, replace

from scaffold.references.howto.files import Folder, is_plain, plain
from scaffold.references.howto.model import Flag, Reason, Script
from scaffold.references.howto.setup_py import parse_python

_MAX_SCRIPTS = 40
_MAX_MODULES = 20
_MAX_SOURCE = 300_000
_NOT_SCRIPTS = {"setup.py", "conftest.py", "__init__.py", "hubconf.py", "versioneer.py", "noxfile.py", "tasks.py"}
_FIRST = ("train", "main", "run", "demo", "app", "generate", "sample", "inference", "predict", "test", "eval")
_TF1 = re.compile(r"(?:tf|tensorflow)\.(?:Session|placeholder|contrib|app\.run|get_variable|flags\.FLAGS)")
_PY2 = re.compile(
    r"^[ \t]*(?:print[ \t]+[\"'\w%]|exec[ \t]+[\"'\w]|raise[ \t]+\w+[ \t]*,"
    r"|except[ \t]+\w[\w.]*[ \t]*,[ \t]*\w+[ \t]*:)",
    re.MULTILINE,
)
# The version that no longer has a module: "What's New in Python 3.12" and "3.13", the sections on what was removed.
_REMOVED = {
    **dict.fromkeys(("asynchat", "asyncore", "distutils", "imp", "smtpd"), (3, 12)),
    **dict.fromkeys(
        ("aifc", "audioop", "cgi", "cgitb", "chunk", "crypt", "imghdr", "mailcap", "msilib", "nis"), (3, 13)
    ),
    **dict.fromkeys(
        ("nntplib", "ossaudiodev", "pipes", "sndhdr", "spwd", "sunau", "telnetlib", "uu", "xdrlib"), (3, 13)
    ),
}
# setuptools brings its own distutils.
_GIVEN_BACK = {"distutils"}


@dataclass(slots=True)
class Sources:
    """What the top folder's Python files tell together.

    Attributes:
        imports: modules that they import, each with the first file that does.
        cuda: where they ask for CUDA without looking whether it is there.
        looks: the files that look whether CUDA is there.
    """

    scripts: list[Script] = field(default_factory=list)
    imports: dict[str, str] = field(default_factory=dict)
    cuda: list[Reason] = field(default_factory=list)
    looks: list[str] = field(default_factory=list)
    flags: list[Flag] = field(default_factory=list)


def read_scripts(folder: Folder, python: tuple[int, int]) -> Sources:
    """Read the Python files of the top folder, the likely entries first."""
    found = Sources()
    names = [name for name in folder.files() if name.endswith(".py") and is_plain(name)]
    if not folder.has("src/__init__.py"):
        names += [f"src/{name}" for name in folder.files("src") if name.endswith(".py") and is_plain(name)]
    for name in sorted(names, key=_order)[:_MAX_SCRIPTS]:
        text = folder.text(name, _MAX_SOURCE)
        if text is not None:
            _read(found, name, text, python)
    found.flags = _once(found.flags)
    return found


def package_imports(folder: Folder, name: str) -> dict[str, str]:
    """What the modules of a package import first of all, each with its file; not what they try to import."""
    found: dict[str, str] = {}
    module = name.replace("-", "_")
    places = [path for path in (module, module.lower(), f"src/{module}") if folder.has(f"{path}/__init__.py")]
    for place in places[:1]:
        for file in [file for file in folder.files(place) if file.endswith(".py")][:_MAX_MODULES]:
            tree = parse_python(folder.text(f"{place}/{file}", _MAX_SOURCE) or "")
            for imported in _imports(list(tree.body)) if tree else ():
                found.setdefault(imported, f"{place}/{file}")
    return found


def _once(flags: list[Flag]) -> list[Flag]:
    """One flag of a kind, with how many more files it is true of."""
    result = []
    for kind in dict.fromkeys(flag.kind for flag in flags):
        alike = [flag for flag in flags if flag.kind == kind]
        more = f" (and {len(alike) - 1} more)" if len(alike) > 1 else ""
        result.append(replace(alike[0], text=alike[0].text + more))
    return result


def _order(name: str) -> tuple[int, str]:
    stem = _stem(name)
    return next((i for i, word in enumerate(_FIRST) if stem.startswith(word)), len(_FIRST)), name


def _stem(name: str) -> str:
    return name.rpartition("/")[2].removesuffix(".py").lower()


def _read(found: Sources, name: str, text: str, python: tuple[int, int]) -> None:
    tree = parse_python(text)
    if tree is None:
        if _PY2.search(text):
            found.flags.append(Flag("python2", f"{name} is Python 2: no Python 3 reads it", name))
        return
    nodes = list(ast.walk(tree))
    modules = _imports(nodes)
    for module in modules:
        found.imports.setdefault(module, name)
        gone = _REMOVED.get(module)
        if gone and python >= gone and module not in _GIVEN_BACK:
            told = f"{name} imports {module}, which Python {gone[0]}.{gone[1]} and later no longer have"
            found.flags.append(Flag("removed-module", told, name))
    if "tensorflow" in modules and (match := _TF1.search(text)) and "compat.v1" not in text:
        found.flags.append(Flag("tensorflow1", f"{name} uses {match[0]}: it was written for TensorFlow 1", name))
    _cuda(found, name, text, nodes)
    if name not in _NOT_SCRIPTS and not name.startswith("test_") and _is_started(name, tree):
        found.scripts.append(_script(name, nodes))


def _imports(nodes: list[ast.AST]) -> list[str]:
    modules: dict[str, None] = {}
    for node in nodes:
        if isinstance(node, ast.Import):
            modules |= dict.fromkeys(alias.name.partition(".")[0] for alias in node.names)
        elif isinstance(node, ast.ImportFrom) and node.module and not node.level:
            modules[node.module.partition(".")[0]] = None
    return list(modules)


def _is_started(name: str, tree: ast.Module) -> bool:
    """Whether a file says that it is a program, or is called like one and does something when it is read."""
    if any(map(_is_main_guard, tree.body)):
        return True
    does = (ast.For, ast.While, ast.With)
    return _stem(name) in _FIRST and any(isinstance(statement, does) for statement in tree.body)


def _is_main_guard(statement: ast.stmt) -> bool:
    if not isinstance(statement, ast.If) or not isinstance(statement.test, ast.Compare):
        return False
    sides = [statement.test.left, *statement.test.comparators]
    has_name = any(isinstance(side, ast.Name) and side.id == "__name__" for side in sides)
    return has_name and any(isinstance(side, ast.Constant) and side.value == "__main__" for side in sides)


def _cuda(found: Sources, name: str, text: str, nodes: list[ast.AST]) -> None:
    if re.search(r"\bcuda\.is_available\b|\bis_gpu_available\b|list_physical_devices", text):
        found.looks.append(name)
        return
    for node in nodes:
        told = _asks_for_cuda(node)
        if told:
            found.cuda.append(Reason(f"{name} {told} without looking whether there is one", name))
            return


def _asks_for_cuda(node: ast.AST) -> str | None:
    if isinstance(node, ast.Call) and isinstance(node.func, ast.Attribute):
        if node.func.attr == "cuda" and not isinstance(node.func.value, ast.Call | ast.Constant):
            return "moves its model to a CUDA device"
        if node.func.attr in ("to", "device") and node.args and _is_cuda(node.args[0]):
            return "moves its model to a CUDA device"
    if isinstance(node, ast.keyword) and node.arg in ("device", "device_map", "default") and _is_cuda(node.value):
        return "has a CUDA device as its default"
    if isinstance(node, ast.Assign) and _is_cuda(node.value):
        targets = [target.id for target in node.targets if isinstance(target, ast.Name)]
        if any("device" in target.lower() for target in targets):
            return "has a CUDA device as its default"
    return None


def _is_cuda(node: ast.expr) -> bool:
    return (
        isinstance(node, ast.Constant) and isinstance(node.value, str) and bool(re.match(r"cuda(:\d+)?$", node.value))
    )


def _script(name: str, nodes: list[ast.AST]) -> Script:
    required: list[str] = []
    options = False
    for node in nodes:
        if not isinstance(node, ast.Call) or not isinstance(node.func, ast.Attribute | ast.Name):
            continue
        called = node.func.attr if isinstance(node.func, ast.Attribute) else node.func.id
        if called in ("add_argument", "option", "argument"):
            options = True
            required += _required(called, node)
        options |= called in ("Fire", "ArgumentParser", "HfArgumentParser")
    path = f"./{name}" if name.startswith("-") else name
    command = " ".join(["python", shlex.quote(path), *(part for text in required[:8] for part in _shown(text))])
    return Script(name, command, tuple(required[:8]), options)


def _required(called: str, node: ast.Call) -> list[str]:
    names = [arg.value for arg in node.args if isinstance(arg, ast.Constant) and isinstance(arg.value, str)]
    values = {word.arg: word.value for word in node.keywords}
    if not names or not all(re.fullmatch(r"-{0,2}[A-Za-z][\w-]{0,60}", name) for name in names):
        return []
    constants = {key: value.value for key, value in values.items() if isinstance(value, ast.Constant)}
    if names[0].startswith("-"):
        longest = max(names, key=len)
        return [longest] if constants.get("required") is True and "default" not in values else []
    optional = constants.get("nargs") in ("?", "*") or "default" in values or constants.get("required") is False
    # Click's options and a decorator's plain words are no positional arguments.
    return [] if optional or called == "option" else names[:1]


def _shown(text: str) -> list[str]:
    if text.startswith("-"):
        return [text, plain(text.lstrip("-")).upper().replace("-", "_")]
    return [text.upper().replace("-", "_")]


def is_standard(module: str) -> bool:
    """Whether a module comes with Python."""
    return module in sys.stdlib_module_names
