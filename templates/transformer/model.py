"""An encoder-decoder transformer: torch.nn.Transformer and everything that it leaves to you.

nn.Transformer is only the stack of attention and feed-forward layers: vectors in, vectors out. To translate it needs,
in front, an embedding and positions; inside, two masks; behind, a head that turns vectors into symbols.

Shapes: B sentences in a batch, S source symbols, T target symbols, D = d_model, V symbols in the vocabulary.
"""

from __future__ import annotations

import functools
import math
from typing import Any

import torch
from torch import Tensor, nn
from torch.utils.checkpoint import checkpoint

import decoding
from config import ModelConfig
from data import PAD
from runtime.memory import Shape, Training


def sinusoids(length: int, d_model: int) -> Tensor:
    """[length, D] fixed position vectors: sines and cosines of falling frequency ("Attention is all you need", 3.5)."""
    position = torch.arange(length).unsqueeze(1)
    frequency = torch.exp(torch.arange(0, d_model, 2) * (-math.log(10000.0) / d_model))
    angles = position * frequency
    return torch.stack((angles.sin(), angles.cos()), dim=2).flatten(1)


class Translator(nn.Module):
    """Source symbols and the target so far -> scores for each next target symbol."""

    positions: Tensor

    def __init__(self, config: ModelConfig, vocabulary_size: int) -> None:
        super().__init__()
        self.config = config
        d_model = config.d_model
        layer: dict[str, Any] = {
            "d_model": d_model,
            "nhead": config.heads,
            "dim_feedforward": config.feedforward,
            "dropout": config.dropout,
            "activation": "relu",
            "batch_first": True,  # [B, S, D]; with the default False, the same call would attend across the batch
            "norm_first": config.norm_first,
        }
        self.embedding = nn.Embedding(vocabulary_size, d_model, padding_idx=PAD)
        positions = sinusoids(config.max_length, d_model)
        if config.positions == "learned":
            self.positions = nn.Parameter(positions)  # begins as the sinusoids: from noise, learning takes far longer
        else:
            self.register_buffer("positions", positions, persistent=False)
        self.dropout = nn.Dropout(config.dropout)
        encoder = nn.TransformerEncoder(
            nn.TransformerEncoderLayer(**layer),
            config.encoder_layers,
            nn.LayerNorm(d_model),
            enable_nested_tensor=False,
        )
        self.transformer = nn.Transformer(**layer, num_decoder_layers=config.decoder_layers, custom_encoder=encoder)
        self.head = nn.Linear(d_model, vocabulary_size, bias=False)
        nn.init.normal_(self.embedding.weight, std=d_model**-0.5)
        nn.init.normal_(self.head.weight, std=d_model**-0.5)
        if config.tied_head:
            self.head.weight = self.embedding.weight

    def embed(self, symbols: Tensor) -> Tensor:
        """[B, L] symbols -> [B, L, D]: what each is, plus where it stands (attention alone can't tell the order)."""
        what = self.embedding(symbols) * math.sqrt(self.config.d_model)
        where = self.positions[: symbols.shape[1]]
        return self.dropout(what + where)

    def encode(self, source: Tensor) -> Tensor:
        """[B, S] -> [B, S, D]. Filler is masked, so a sentence means the same beside a longer one."""
        return self.transformer.encoder(self.embed(source), src_key_padding_mask=source == PAD)

    def decode(self, target: Tensor, memory: Tensor, source: Tensor) -> Tensor:
        """[B, T] target so far -> [B, T, V] scores for the symbol that follows each position.

        The causal mask hides from each position all that come after it: in training they are in the input, when
        translating they don't exist yet. The filler of the target needs no mask of its own: it stands on the right,
        where the causal mask hides it from every real position.
        """
        length = target.shape[1]
        causal = torch.ones(length, length, dtype=torch.bool, device=target.device).triu(1)  # True: may not look
        hidden = self.transformer.decoder(
            self.embed(target),
            memory,
            tgt_mask=causal,
            tgt_is_causal=False,  # take the mask as it is: to look into it each time stops the compiler
            memory_key_padding_mask=source == PAD,
        )
        return self.head(hidden)

    def forward(self, source: Tensor, target: Tensor) -> Tensor:
        """[B, S] source, [B, T] target without its last symbol -> [B, T, V] scores."""
        return self.decode(target, self.encode(source), source)

    @torch.inference_mode()
    def greedy(self, source: Tensor) -> Tensor:
        """[B, S] -> [B, <= max_length] predictions: always the likeliest next symbol, until each sentence has ended."""
        return decoding.greedy(self, source)

    @property
    def layers(self) -> list[nn.Module]:
        """The encoder's layers and the decoder's: almost all weights."""
        return [*self.transformer.encoder.layers, *self.transformer.decoder.layers]

    def recompute_activations(self, **options: Any) -> None:
        """Keep no layer's inner values for the backward pass: about a third slower, a fraction of the memory.

        `options` are more of torch's checkpoint().
        """
        for layer in self.layers:
            layer.forward = functools.partial(checkpoint, layer.forward, use_reentrant=False, **options)

    def training_bytes(self, batch: int, length: int, training: Training) -> int:
        """Memory of one update with `batch` pairs of `length` symbols at a time (runtime/memory.py has the sums)."""
        config = self.config
        shape = Shape(
            width=config.d_model,
            encoder_layers=config.encoder_layers,
            decoder_layers=config.decoder_layers,
            feedforward=config.feedforward,
            vocabulary=self.head.out_features,
            length=length,
            heads=config.heads,
            dropout=config.dropout,
            tied=config.tied_head,
        )
        return shape.step(batch, training).total
