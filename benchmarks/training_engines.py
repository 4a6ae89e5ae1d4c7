"""What people would write instead of the starters, made just correct: `benchmarks/training.py` trains it beside them.

Every engine is a generator: each `next()` trains on one batch and gives the number of real target tokens in it.
"""

from __future__ import annotations

import math
import tempfile
from collections.abc import Callable, Iterator, Sequence
from typing import Any

import torch
from torch import Tensor, nn
from torch.nn import functional
from torch.nn.utils.rnn import pad_sequence
from torch.utils.data import DataLoader

PAD = 0
RATE = 3e-4
Pairs = Sequence[tuple[Tensor, Tensor]]


def pad(batch: Pairs) -> tuple[Tensor, Tensor]:
    """Sources and targets of a batch, filled up to the longest."""
    sources, targets = zip(*batch, strict=True)
    return pad_sequence(list(sources), True, PAD), pad_sequence(list(targets), True, PAD)


class TutorialTransformer(nn.Module):
    """The tutorial's nn.Transformer with what it needs to work at all: embeddings, positions, masks and a head."""

    def __init__(self, shape: dict[str, Any]) -> None:
        super().__init__()
        width, layers = shape["width"], shape["layers"]
        self.embedding = nn.Embedding(shape["vocabulary"], width)
        position = torch.arange(shape["longest"] + 1)[:, None]
        angles = position * torch.exp(torch.arange(0, width, 2) * (-math.log(10000.0) / width))
        self.register_buffer("positions", torch.stack((angles.sin(), angles.cos()), 2).flatten(1))
        self.dropout = nn.Dropout(shape["dropout"])
        self.transformer = nn.Transformer(
            width, shape["heads"], layers, layers, 4 * width, shape["dropout"], batch_first=True
        )
        self.head = nn.Linear(width, shape["vocabulary"])

    def embed(self, symbols: Tensor) -> Tensor:
        scaled = self.embedding(symbols) * math.sqrt(self.embedding.embedding_dim)
        return self.dropout(scaled + self.positions[: symbols.shape[1]])

    def forward(self, source: Tensor, target: Tensor) -> Tensor:
        causal = torch.ones(target.shape[1], target.shape[1], dtype=torch.bool).triu(1)
        hidden = self.transformer(
            self.embed(source),
            self.embed(target),
            tgt_mask=causal,
            src_key_padding_mask=source == PAD,
            tgt_key_padding_mask=target == PAD,
            memory_key_padding_mask=source == PAD,
        )
        return self.head(hidden)


def tutorial_pairs(pairs: Pairs, shape: dict[str, Any]) -> Iterator[int]:
    """Random batches, Adam, the loss of every position that is not filler."""
    model = TutorialTransformer(shape).train()
    optimizer = torch.optim.Adam(model.parameters(), lr=RATE)
    criterion = nn.CrossEntropyLoss(ignore_index=PAD)
    loader = DataLoader(pairs, shape["batch"], shuffle=True, collate_fn=pad, drop_last=True)  # type: ignore[arg-type]
    while True:
        for source, target in loader:
            optimizer.zero_grad()
            scores = model(source, target[:, :-1])
            labels = target[:, 1:]
            criterion(scores.flatten(0, 1), labels.flatten()).backward()
            optimizer.step()
            yield int((labels != PAD).sum())


def tutorial_text(blocks: Tensor, model: Any, batch: int) -> Iterator[int]:
    """GPT-2 from transformers as most examples train it: shuffled batches, Adam, model(...).loss."""
    model.train()
    optimizer = torch.optim.Adam(model.parameters(), lr=RATE)
    while True:
        for ids in DataLoader(blocks, batch, shuffle=True, drop_last=True):  # type: ignore[arg-type]
            optimizer.zero_grad()
            model(input_ids=ids, labels=ids).loss.backward()
            optimizer.step()
            yield ids.numel()


def trainer_engine(
    model: nn.Module, data: Any, collate: Callable[..., Any], batch: int, count: Callable[..., int]
) -> Iterator[int]:
    """Hugging Face's Trainer as it comes, on the model and the data given. It runs in a thread of its own."""
    import queue
    import threading

    from transformers import Trainer, TrainerCallback, TrainingArguments

    sizes: queue.Queue[int] = queue.Queue()  # of the batches that were made: one or two are made ahead
    done: queue.Queue[int] = queue.Queue()
    go = threading.Semaphore(0)

    def counting(samples: Any) -> Any:
        made = collate(samples)
        sizes.put(count(made))
        return made

    class Ticks(TrainerCallback):
        def on_step_end(self, *_: Any, **__: Any) -> None:
            done.put(sizes.get())
            go.acquire()

    folder = tempfile.mkdtemp()
    arguments = TrainingArguments(
        folder, max_steps=10**6, per_device_train_batch_size=batch, learning_rate=RATE, use_cpu=True, report_to=[],
        save_strategy="no", logging_strategy="no", disable_tqdm=True, remove_unused_columns=False,
        dataloader_drop_last=True,
    )  # fmt: skip
    trainer = Trainer(model, arguments, train_dataset=data, data_collator=counting, callbacks=[Ticks()])
    threading.Thread(target=trainer.train, daemon=True).start()
    while True:
        yield done.get()
        go.release()


class NanoBlock(nn.Module):
    """One layer in the manner of nanoGPT."""

    def __init__(self, width: int, heads: int, dropout: float) -> None:
        super().__init__()
        self.heads, self.dropout = heads, dropout
        self.first, self.second = nn.LayerNorm(width), nn.LayerNorm(width)
        self.attention, self.projection = nn.Linear(width, 3 * width), nn.Linear(width, width)
        self.up, self.down = nn.Linear(width, 4 * width), nn.Linear(4 * width, width)
        self.drop = nn.Dropout(dropout)

    def forward(self, x: Tensor) -> Tensor:
        batch, length, width = x.shape
        parts = self.attention(self.first(x)).split(width, dim=2)
        q, k, v = (part.view(batch, length, self.heads, -1).transpose(1, 2) for part in parts)
        y = functional.scaled_dot_product_attention(q, k, v, dropout_p=self.dropout, is_causal=True)
        x = x + self.drop(self.projection(y.transpose(1, 2).reshape(batch, length, width)))
        return x + self.drop(self.down(functional.gelu(self.up(self.second(x)))))


def nano_text(tokens: Tensor, shape: dict[str, Any]) -> Iterator[int]:
    """A loop in the manner of nanoGPT: random windows, fused AdamW, clipped gradients, a tied head."""
    width, length = shape["width"], shape["context"]
    embedding, positions = nn.Embedding(shape["vocabulary"], width), nn.Embedding(length, width)
    blocks = nn.Sequential(*(NanoBlock(width, shape["heads"], shape["dropout"]) for _ in range(shape["layers"])))
    parts = nn.ModuleList([embedding, positions, blocks, nn.LayerNorm(width)]).train()
    nn.init.normal_(embedding.weight, std=0.02)
    optimizer = torch.optim.AdamW(parts.parameters(), lr=RATE, betas=(0.9, 0.95), weight_decay=0.1, fused=True)
    while True:
        starts = torch.randint(len(tokens) - length - 1, (shape["batch"],))
        x = torch.stack([tokens[start : start + length] for start in starts])
        y = torch.stack([tokens[start + 1 : start + length + 1] for start in starts])
        hidden = functional.dropout(embedding(x) + positions.weight, shape["dropout"])
        scores = functional.linear(parts[3](blocks(hidden)), embedding.weight)
        functional.cross_entropy(scores.flatten(0, 1), y.flatten()).backward()
        nn.utils.clip_grad_norm_(parts.parameters(), 1.0)
        optimizer.step()
        optimizer.zero_grad(set_to_none=True)
        yield x.numel()


def x_transformers_text(blocks: Tensor, shape: dict[str, Any]) -> Iterator[int]:
    """x-transformers' decoder of the same shape, as its README trains it, on whole blocks."""
    from x_transformers import AutoregressiveWrapper, Decoder, TransformerWrapper

    width, rate = shape["width"], shape["dropout"]
    layers = Decoder(
        dim=width, depth=shape["layers"], heads=shape["heads"], attn_dim_head=width // shape["heads"],
        attn_flash=True, attn_dropout=rate, ff_dropout=rate, layer_dropout=0.0,
    )  # fmt: skip
    model = AutoregressiveWrapper(
        TransformerWrapper(
            num_tokens=shape["vocabulary"], max_seq_len=shape["context"], attn_layers=layers, emb_dropout=rate,
            tie_embedding=True,
        )
    ).train()  # fmt: skip
    optimizer = torch.optim.AdamW(model.parameters(), lr=RATE, fused=True)
    while True:
        for ids in DataLoader(blocks, shape["batch"], shuffle=True, drop_last=True):  # type: ignore[arg-type]
            model(ids).backward()
            nn.utils.clip_grad_norm_(model.parameters(), 1.0)
            optimizer.step()
            optimizer.zero_grad(set_to_none=True)
            yield ids.numel()
