"""How long `scaffold new` takes, beside a bare Jinja2 loop over the same files, cookiecutter and copier.

The peers render the same template folder: every `.j2` file through Jinja2, the rest copied. Values are given as plain
data, detection and planning are scaffold's alone, so the comparison is not in its favour.

Run: python benchmarks/generation_time.py [ROUNDS]
"""

from __future__ import annotations

import json
import shutil
import sys
import tempfile
from pathlib import Path

from installed import REPOSITORY, wheel_environment
from measure import interleaved, print_ratios

FLOOR = "bare Jinja2 loop"
GOALS = {"scaffold new --no-git": 2.5}
_LOOP = """
import json, sys, shutil
from pathlib import Path
import jinja2
source, destination, context = Path(sys.argv[1]), Path(sys.argv[2]), json.loads(Path(sys.argv[3]).read_text())
environment = jinja2.Environment(loader=jinja2.FileSystemLoader(source), undefined=jinja2.StrictUndefined,
                                 trim_blocks=True, lstrip_blocks=True)
environment.filters["toml"] = json.dumps
for path in source.rglob("*"):
    if path.is_file() and not path.name.startswith("_"):
        target = destination / path.relative_to(source)
        target.parent.mkdir(parents=True, exist_ok=True)
        if path.suffix == ".j2":
            text = environment.get_template(path.relative_to(source).as_posix()).render(context)
            target.with_suffix("").write_text(text)
        else:
            shutil.copyfile(path, target)
"""
_FRESH = """
import shutil, subprocess, sys
shutil.rmtree(sys.argv[1], ignore_errors=True)
sys.exit(subprocess.call(sys.argv[2:]))
"""


def main() -> None:
    rounds = int(sys.argv[1]) if len(sys.argv) > 1 else 15
    with wheel_environment("cookiecutter", "copier") as bin_folder, tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        python = str(bin_folder / "python")
        context = _sources(folder)
        commands = {
            FLOOR: [python, "-c", _LOOP, str(folder / "plain"), str(folder / "out-loop"), str(folder / "context.json")],
            "scaffold new --no-git": [str(bin_folder / "scaffold"), "new", "transformer", "out-scaffold", "--no-git"],
            "scaffold new": [str(bin_folder / "scaffold"), "new", "transformer", "out-git"],
            "cookiecutter": [str(bin_folder / "cookiecutter"), "--no-input", "-f", "-o", "out-cc", str(folder / "cc")],
            "copier": [str(bin_folder / "copier"), "copy", "--force", "--quiet", str(folder / "cp"), "out-cp"],
        }
        outputs = ["out-loop", "out-scaffold", "out-git", "out-cc", "out-cp"]
        fresh = {
            name: [python, "-c", _FRESH, out, *command]
            for (name, command), out in zip(commands.items(), outputs, strict=True)
        }
        print(f"{len(list((folder / 'plain').rglob('*')))} files and folders, {context} values")
        times = interleaved(fresh, rounds, {"SCAFFOLD_HOME": str(folder / "home")}, folder)
    print_ratios(times, FLOOR, GOALS)


def _sources(folder: Path) -> int:
    """The transformer template as a plain folder, a cookiecutter and a copier template. Returns how many values."""
    sys.path.insert(0, str(REPOSITORY))
    from scaffold.hardware.targets import load
    from scaffold.projects.plan import make_plan
    from scaffold.projects.render import render
    from scaffold.projects.template import load_template

    template = load_template("transformer")
    plan = make_plan(template, load("cpu-8gb"), "cpu-8gb")
    files = render(template, plan, name="benchmark", language="en", references=[])
    values = {f"value_{key}": str(value) for key, value in plan.settings.items()}
    (folder / "context.json").write_text(json.dumps(values))
    cookie = folder / "cc" / "{{cookiecutter.name}}"
    for target, marker in (
        (folder / "plain", "{{ %s }}"),
        (cookie, "{{ cookiecutter.%s }}"),
        (folder / "cp", "{{ %s }}"),
    ):
        for path, content in files.items():
            rendered = path.endswith((".toml", ".md", ".txt")) or path.endswith("ignore")
            name = f"{path}.j2" if rendered and target is not cookie and target.name == "plain" else path
            name = f"{path}.jinja" if rendered and target.name == "cp" else name
            body = content.decode()
            if rendered:
                body += "".join(f"{key}: {marker % key}\n" for key in values)
            (target / name).parent.mkdir(parents=True, exist_ok=True)
            (target / name).write_text(body)
    (folder / "cc" / "cookiecutter.json").write_text(
        json.dumps({"name": "project", **values, "_copy_without_render": ["*.py"]})
    )
    (folder / "cp" / "copier.yml").write_text("".join(f"{key}: {json.dumps(value)}\n" for key, value in values.items()))
    shutil.rmtree(folder / "cp" / ".git", ignore_errors=True)
    return len(values)


if __name__ == "__main__":
    main()
