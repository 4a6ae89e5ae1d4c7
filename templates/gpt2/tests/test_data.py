from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
import torch

from data import Blocks, encode, opening_of, python_documentation, read_documents, validation_blocks
from runtime.distributed import Ranks
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


def test_each_round_cuts_the_text_elsewhere() -> None:
    blocks = Blocks(torch.arange(1005), length=10, size=1, seed=1)
    assert len({blocks.batch(number * blocks.per_round).min().item() % 10 for number in range(9)}) > 1


def test_a_text_of_one_block_is_enough() -> None:
    assert Blocks(torch.arange(10), length=10, size=2, seed=1).batch(3).shape == (2, 10)


def test_validation_blocks_come_from_all_over_the_text() -> None:
    blocks = validation_blocks(torch.arange(1000), length=10, at_most=20)
    assert len(blocks) == 20
    assert blocks[-1, 0] > 900
    assert validation_blocks(torch.arange(6), length=10, at_most=20).shape == (1, 6)


@pytest.mark.parametrize(
    "text", ["The old dog number 3 went on", "吾輩は猫である名前はまだ無い" * 20, "x" * 9999, "😀"]
)
def test_an_opening_leaves_room_to_go_on(tokenizer: Any, text: str) -> None:
    """Also where a script has no spaces, so that the first word is the whole text."""
    assert opening_of("The old dog number 3 went on", tokenizer, 64) == "The old dog number 3"
    for positions in (8, 32, 1024):
        opening = opening_of(text, tokenizer, positions)
        assert text.startswith(opening)
        assert len(tokenizer.encode(opening)) <= positions // 2
        assert len(opening) <= 60


def test_a_folder_is_read_in_order(tmp_path: Path) -> None:
    (tmp_path / "texts" / "b").mkdir(parents=True)
    (tmp_path / "texts" / "b" / "two.md").write_text("둘", encoding="utf-8")
    (tmp_path / "texts" / "a.txt").write_text("하나", encoding="utf-8-sig")
    (tmp_path / "texts" / "picture.png").write_bytes(b"\x89PNG")
    for name in "gdfce":
        (tmp_path / "texts" / f"{name}.TXT").write_text(name, encoding="utf-8")
    assert read_documents(str(tmp_path / "texts")) == ["하나", "둘", *"cdefg"]


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


@pytest.mark.parametrize("size", [2, 3])
def test_several_processes_share_each_batch_without_gap_or_double(size: int) -> None:
    tokens = torch.arange(1000)
    whole = Blocks(tokens, 10, 12, seed=1)
    parts = [Blocks(tokens, 10, 12, seed=1, ranks=Ranks(rank, size)) for rank in range(size)]
    for number in range(20):
        shared = torch.cat([part.batch(number) for part in parts])
        assert sorted(shared[:, 0].tolist()) == sorted(whole.batch(number)[:, 0].tolist())
