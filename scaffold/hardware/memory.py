"""How much memory a model takes to train, from its dimensions. All sizes in bytes.

Sources: Korthikanti et al. 2022 (arXiv 2205.05198) for activations per layer, adapted to PyTorch's fused attention,
which keeps no attention matrix; AdamW keeps weights, gradients and two moments in fp32 (16 bytes a parameter, also
under autocast). Logits are kept in the compute precision and once more in fp32, with their gradient.
"""

from __future__ import annotations

from dataclasses import dataclass

GIB = 1024**3
STATE_BYTES = 16  # fp32 weight, gradient and AdamW's two moments
# Activations of one transformer layer per token and unit of width, at a feed-forward of 4 × the width, with dropout.
_LAYER_BYTES = {"fp32": 72, "bf16": 38, "fp16": 38}
_CROSS_ATTENTION = 0.4  # what a decoder layer's cross-attention adds, as a share of a layer
_CHECKPOINT_BYTES = {"fp32": 4, "bf16": 2, "fp16": 2}  # only a layer's input is kept
# A process holds Python, torch and its libraries; on a GPU also the CUDA context (0.3 to 0.8 GiB).
PROCESS_BYTES = {"cpu": int(0.6 * GIB), "mps": int(0.8 * GIB), "cuda": int(0.8 * GIB), "xpu": int(0.8 * GIB)}


@dataclass(frozen=True)
class Shape:
    """A transformer's dimensions.

    Attributes:
        width: d_model.
        encoder_layers: 0 for a decoder-only model.
        decoder_layers: number of decoder blocks.
        feedforward: inner width.
        vocabulary: number of tokens.
        length: tokens in a sequence.
    """

    width: int
    encoder_layers: int
    decoder_layers: int
    feedforward: int
    vocabulary: int
    length: int

    @property
    def parameters(self) -> int:
        """Weights, with the output head tied to the embedding."""
        d, ff = self.width, self.feedforward
        attention = 4 * d * d + 4 * d
        block = attention + 2 * d * ff + ff + d + 4 * d
        cross = (attention + 2 * d) if self.encoder_layers else 0
        layers = self.encoder_layers * block + self.decoder_layers * (block + cross)
        return layers + (self.vocabulary + self.length) * d

    def training_bytes(self, batch: int, precision: str, *, checkpointing: bool) -> int:
        """Peak memory of one training step with `batch` sequences, without the process itself."""
        tokens = batch * self.length
        layer = tokens * self.width * _LAYER_BYTES[precision] * (0.5 + 0.125 * self.feedforward / self.width)
        cross = layer * _CROSS_ATTENTION if self.encoder_layers else 0
        layers = self.encoder_layers + self.decoder_layers
        activations = self.encoder_layers * layer + self.decoder_layers * (layer + cross)
        if checkpointing:
            activations = layers * tokens * self.width * _CHECKPOINT_BYTES[precision] + layer + cross
        logits = tokens * self.vocabulary * (12 if precision == "fp32" else 10)
        return int(self.parameters * STATE_BYTES + activations + logits)
