"""The commands that a README gives: which to install, which to run, and nothing that hides something."""

from __future__ import annotations

import re
from dataclasses import dataclass, field

from scaffold.references.howto.files import plain
from scaffold.references.howto.model import Command
from scaffold.references.howto.readme import Block, Readme

_MAX_INSTALL = 6
_MAX_USAGE = 8
_MAX_COMMAND = 400
_SHELLS = {
    "bash",
    "sh",
    "shell",
    "console",
    "zsh",
    "cmd",
    "terminal",
    "shell-session",
    "shellsession",
    "bat",
    "powershell",
    "commandline",
}
_PYTHON = {"python", "py", "python3", "pycon"}
_INSTALL = re.compile(
    r"instal|set-?\s?up|requirement|prerequisite|dependenc|environment|preparation|설치|준비|환경|요구|安装|环境|依赖|配置|安裝|環境|インストール|セットアップ|準備",
    re.IGNORECASE,
)
_OTHER = re.compile(r"contribut|develop|\btest|\blint|type check|documentation|uninstall", re.IGNORECASE)
_USAGE = re.compile(
    r"usage|\buse\b|using|quick|start|\brun|train|infer|demo|example|predict|generat|evaluat|\btest|sampl|finetun|fine-tun|serv"
    r"|사용|실행|학습|훈련|추론|시작|예제|평가|使用|快速|训练|訓練|推理|运行|用法|示例|测试|评估|使い方|学習|推論|実行|クイック|評価|デモ|入门",
    re.IGNORECASE,
)
# What a command may begin with. Everything else in a README's code is output, configuration or another language.
_PROGRAMS = frozenset(
    (
        "python python3 pip pip3 uv uvx poetry pdm pipenv pixi conda mamba micromamba make docker docker-compose "
        "torchrun accelerate deepspeed jupyter streamlit gradio uvicorn flask pytest tox bash sh cmake ninja npm npx "
        "yarn cargo go horovodrun mpirun ray mlflow dvc huggingface-cli hf kaggle apt apt-get brew export"
    ).split()
)
_INSTALLERS = re.compile(
    r"(?:(?:python3?(?:\.\d+)?|py) -m )?(?:pip3?|uv pip) install\b"
    r"|(?:uv (?:sync|venv|add)|poetry install|pdm install|pipenv install|pixi install)\b"
    r"|(?:conda|mamba|micromamba) (?:env )?(?:create|install|activate)\b|python3? -m venv\b"
    r"|(?:apt|apt-get|brew) install\b|python3? setup\.py (?:install|develop|build)"
)
_PROSE = frozenset("a an be get in into it or sure that the this to up use your".split())
_ASSIGNED = re.compile(r"(?:[A-Z_][A-Z0-9_]*=[\w./:,-]*\s+)+")
_PROMPT = re.compile(r"(?:\([\w.-]{1,40}\)\s*)?(?:[\w.@~:/-]{0,60})?[$%❯➜]\s+|>>> |> ")
# A pipe, a second command, a substitution or a redirection: what it does is not what it seems to begin with.
_HIDES = re.compile(r"[|;`<>]|\$\(|(?<!&)&(?!&)")


@dataclass(slots=True)
class Said:
    """What a README says to type, the best few lines, and its first example in Python."""

    install: list[Command] = field(default_factory=list)
    usage: list[Command] = field(default_factory=list)
    example: tuple[str, ...] = ()


def read_said(readme: Readme, own: frozenset[str] = frozenset()) -> Said:
    """The commands in a README's code.

    Args:
        readme: the README.
        own: the commands that the repository itself installs.
    """
    said = Said()
    seen: set[str] = set()
    by_heading: dict[str, int] = {}
    for block in readme.blocks:
        heading = next(
            (title for title in reversed(block.headings) if _USAGE.search(title) or _INSTALL.search(title)), ""
        )
        title = plain(block.headings[-1], 60) if block.headings else None
        for text in commands_in(block, own):
            if text in seen:
                continue
            seen.add(text)
            if _INSTALLERS.match(text.split("&& ")[-1]) or _INSTALLERS.match(text):
                # What a special part or the work on it needs is not what it needs.
                if (heading or len(block.headings) < 2) and not _OTHER.search(title or ""):
                    said.install.append(Command(text, readme.path, title))
            elif text.startswith("export "):
                continue
            elif heading and not _is_only_install(heading):
                # A few of each section say more than all of the first.
                by_heading[title or ""] = by_heading.get(title or "", 0) + 1
                if by_heading[title or ""] <= 3:
                    said.usage.append(Command(text, readme.path, title))
        if not said.example and block.language in _PYTHON and heading and not _is_only_install(heading):
            said.example = tuple(_plain_code(line) for line in block.lines[:20]) if _is_example(block) else ()
    said.install, said.usage = said.install[:_MAX_INSTALL], said.usage[:_MAX_USAGE]
    return said


def _is_only_install(heading: str) -> bool:
    return bool(_INSTALL.search(heading)) and not _USAGE.search(heading)


def _is_example(block: Block) -> bool:
    return any(re.match(r"(?:>>> )?(?:import|from) \w", line) for line in block.lines[:20])


def _plain_code(line: str) -> str:
    line = line.removeprefix(">>> ").removeprefix("... ")
    indent = len(line) - len(line.lstrip(" "))
    return " " * min(indent, 40) + plain(line, 200)


def commands_in(block: Block, own: frozenset[str] = frozenset()) -> list[str]:
    """The commands in one piece of code, continued lines joined, prompts and comments gone."""
    if block.language and block.language not in _SHELLS and block.language not in ("text", "txt", "none", "plaintext"):
        return []
    lines = _joined(block.lines[:400])
    # Where some lines have a prompt the others are output.
    prompted = [line for line in lines if re.match(r"\s*(?:\([\w.-]{1,40}\)\s*)?\$\s+\S", line)]
    found = []
    for line in prompted or lines:
        text = plain(_PROMPT.sub("", line.strip(), count=1) if _PROMPT.match(line.strip()) else line, _MAX_COMMAND + 1)
        text = re.sub(r"\s#\s.*$", "", text).strip()
        if text and len(text) <= _MAX_COMMAND and _is_command(text, own):
            found.append(text)
    return found


def _joined(lines: list[str]) -> list[str]:
    result: list[str] = []
    waiting = ""
    for line in lines:
        if line.rstrip().endswith("\\") and len(waiting) < 4 * _MAX_COMMAND:
            waiting += line.rstrip()[:-1].strip() + " "
            continue
        result.append((waiting + line.strip()) if waiting else line)
        waiting = ""
    return [*result, waiting] if waiting else result


def _is_command(text: str, own: frozenset[str]) -> bool:
    quoted = re.sub(r"\"[^\"$`]*\"|'[^']*'", "Q", text)
    # A place to fill in (<path>) is no redirection.
    if _HIDES.search(re.sub(r"<[\w /.:-]{1,60}>", "P", quoted)):
        return False
    parts = [part.strip() for part in text.split("&&")]
    return all(_begins(part, own) for part in parts) and not all(part.startswith("cd ") for part in parts)


def _begins(part: str, own: frozenset[str]) -> bool:
    part = _ASSIGNED.sub("", part, count=1) if _ASSIGNED.match(part) else part
    words = part.split()
    if not words:
        return False
    first = words[0].removeprefix("./").removesuffix(".exe")
    if first == "cd":
        return len(words) == 2
    if first in ("git",):
        return False
    known = first in _PROGRAMS or first in own or re.fullmatch(r"python3?\.\d+", first) is not None
    is_own_script = words[0].startswith("./") and re.fullmatch(r"[\w./-]{1,100}", first) is not None
    if first in own or is_own_script:
        return True
    return known and (len(words) > 1 or first == "make") and not _is_prose(words)


def _is_prose(words: list[str]) -> bool:
    """ "python is a language", "make sure that", "go to the page": a sentence, not a command."""
    if words[0] in ("make", "go"):
        return any(word in _PROSE for word in words[1:])
    if words[0].startswith("python"):
        return not re.search(r"^-|[./]", words[1])
    return words[-1].endswith((".", ":", ",")) and len(words) > 3 and words[-1] != "."
