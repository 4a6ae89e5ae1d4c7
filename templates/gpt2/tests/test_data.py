from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
import torch

from data import Blocks, encode, python_documentation, read_documents, validation_blocks
from runtime.settings import UserError
from split import hold_out


def test_pythons_documentation_is_prose_and_says_nothing_twice() -> None:
    documents = python_documentation()
    parts = hold_out(documents, 0.05, seed=1)
    assert sum(map(len, documents)) > 150_000
    learned, asked = (
        {line for text in part for line in text.split("\n\n")} for part in (parts.training, parts.held_out)
    )
    assert asked
    assert not learned & asked


def test_every_document_ends_with_the_end_token(tokenizer: Any) -> None:
    tokens = encode(tokenizer, ["The cat", "The heron"]).tolist()
    assert tokens.count(tokenizer.eos_token_id) == 2
    assert tokens[-1] == tokenizer.eos_token_id
    assert tokenizer.decode(tokens) == f"The cat{tokenizer.eos_token}The heron{tokenizer.eos_token}"


def test_blocks_are_back_to_back_and_each_token_comes_once_a_round() -> None:
    blocks = Blocks(torch.arange(1000), length=10, size=9, seed=1)
    seen = torch.cat([blocks.batch(number) for number in range(blocks.per_round // 9)])
    assert (seen.diff(dim=1) == 1).all()
    assert len(seen.unique()) == seen.numel() == 990
    assert not torch.equal(seen[:, 0], seen[:, 0].sort().values)


def test_a_batch_is_the_same_whatever_was_asked_before() -> None:
    walked, asked = (Blocks(torch.arange(100), length=10, size=4, seed=1) for _ in range(2))
    batches = [walked.batch(number) for number in range(9)]
    assert torch.equal(asked.batch(8), batches[8])
    assert torch.equal(asked.batch(2), batches[2])
    assert not torch.equal(Blocks(torch.arange(100), length=10, size=4, seed=2).batch(0), batches[0])


def test_a_text_of_one_block_is_enough() -> None:
    assert Blocks(torch.arange(10), length=10, size=2, seed=1).batch(3).shape == (2, 10)


def test_validation_blocks_come_from_all_over_the_text() -> None:
    blocks = validation_blocks(torch.arange(1000), length=10, at_most=20)
    assert len(blocks) == 20
    assert blocks[-1, 0] > 900
    assert validation_blocks(torch.arange(6), length=10, at_most=20).shape == (1, 6)


def test_a_folder_is_read_in_order(tmp_path: Path) -> None:
    (tmp_path / "texts" / "b").mkdir(parents=True)
    (tmp_path / "texts" / "b" / "two.md").write_text("둘", encoding="utf-8")
    (tmp_path / "texts" / "a.txt").write_text("하나", encoding="utf-8-sig")
    (tmp_path / "texts" / "picture.png").write_bytes(b"\x89PNG")
    assert read_documents(str(tmp_path / "texts")) == ["하나", "둘"]


@pytest.mark.parametrize(
    ("content", "complaint"), [(b" \n", "holds no text"), ("한글".encode("cp949"), "not UTF-8"), (None, "no file")]
)
def test_text_that_can_not_be_used_is_refused(tmp_path: Path, content: bytes | None, complaint: str) -> None:
    file = tmp_path / "mine.txt"
    if content is not None:
        file.write_bytes(content)
    with pytest.raises(UserError, match=complaint):
        read_documents(str(file))
    (tmp_path / "empty").mkdir()
    with pytest.raises(UserError, match=r"holds no \.txt"):
        read_documents(str(tmp_path / "empty"))
