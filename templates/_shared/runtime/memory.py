"""How much memory a transformer takes to train and to generate, from its dimensions. All sizes in bytes.

What autograd keeps was counted tensor by tensor in the starters' own models, and `benchmarks/memory.py` compares the
sums with measured peaks. Korthikanti et al. 2022 (arXiv 2205.05198) count the same way. AdamW keeps a weight, its
gradient and two moments in fp32, 16 bytes, also under autocast, which adds a 16-bit copy of each matrix.
"""

from __future__ import annotations

from dataclasses import dataclass
from functools import cached_property

MIB = 1024**2
GIB = 1024**3
_FULL = 4  # bytes of an fp32 number
_COMPUTE = {"fp32": 4, "bf16": 2, "fp16": 2}
_LOGITS = 12  # the loss keeps log-probabilities and makes two gradients of their size, all in fp32
# A process holds Python, torch and its libraries, measured on a CPU after its first update: 0.33 GiB, with transformers
# 0.4. A GPU needs the CUDA context as well (general knowledge: 0.3 to 0.8 GiB).
PROCESS_BYTES = {"cpu": int(0.4 * GIB), "mps": int(0.6 * GIB), "cuda": int(0.8 * GIB), "xpu": int(0.8 * GIB)}
# What the allocator holds without use, as a share of everything but the logits (blocks as large as theirs go back at
# once). glibc's heap was measured at 0.15 to 0.5 of it; with checkpointing the starters make it give back every block.
# Caching allocators on a GPU round blocks up (general knowledge: 5 % and more).
_RESERVE_SHARE = {"cpu": 0.38, "mps": 0.05, "cuda": 0.05, "xpu": 0.05}
_RESERVE_SHARE_TRIMMED = 0.02
_RESERVE_BYTES = {"cpu": 4 * MIB, "mps": 64 * MIB, "cuda": 64 * MIB, "xpu": 64 * MIB}
_BLOCK = 64  # positions that look back together, in the gpt2 starter's attention.py


@dataclass(frozen=True)
class Training:
    """How a model is trained.

    Attributes:
        device: cpu, cuda, mps or xpu.
        precision: fp32, bf16 or fp16 (the latter two by autocast).
        checkpointing: recompute each layer's inner values in the backward pass.
        accumulating: several micro-batches make one update, so gradients are there from the first to the last.
        fused_attention: attention never writes out its length × length matrices.
        shards: processes among which weights, gradients and moments are divided (FSDP); 1 when each holds all.
        adapters: weights of adapters (LoRA) that learn beside frozen ones; None where the model's own weights learn.
        adapter_values: what the adapters of a layer keep for the backward pass, numbers per token.
    """

    device: str = "cpu"
    precision: str = "fp32"
    checkpointing: bool = False
    accumulating: bool = False
    fused_attention: bool = True
    shards: int = 1
    adapters: int | None = None
    adapter_values: int = 0


@dataclass(frozen=True)
class Step:
    """The memory of one training step at its fullest moment, part by part, for one process.

    `gathered` is what FSDP brings together of a divided model while it computes.
    """

    weights: int
    gradients: int
    optimizer: int
    casts: int
    activations: int
    logits: int
    reserve: int
    gathered: int = 0

    @property
    def total(self) -> int:
        """All parts together, without the process itself."""
        return sum(self.__dict__.values())


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
        heads: attention heads.
        dropout: share of values switched off; 0 keeps no masks.
        tied: the output head shares the embedding's weights.
    """

    width: int
    encoder_layers: int
    decoder_layers: int
    feedforward: int
    vocabulary: int
    length: int
    heads: int = 1
    dropout: float = 0.0
    tied: bool = True

    @cached_property
    def parameters(self) -> int:
        """All weights. A decoder-only model learns its positions, an encoder-decoder computes them."""
        block, cross = self._layer
        layers = self.encoder_layers * block + self.decoder_layers * (block + cross)
        norms = (4 if self.encoder_layers else 2) * self.width
        tables = self.vocabulary * (1 if self.tied else 2) + (0 if self.encoder_layers else self.length)
        return layers + norms + tables * self.width

    def step(self, batch: int, run: Training) -> Step:
        """Memory of one update with `batch` sequences at a time, at the fuller of its two peaks.

        The first is the loss: all activations are kept, and gradients only if earlier micro-batches left theirs. The
        second is the end of the backward pass: all gradients are there, and one layer's activations.
        """
        weights, tokens = _FULL * -(-(self.parameters + (run.adapters or 0)) // run.shards), batch * self.length
        learning = weights if run.adapters is None else _FULL * run.adapters
        casts = 0 if run.precision == "fp32" else 2 * (self.parameters - self._uncast)
        loss = tokens * _LOGITS * self.vocabulary
        layers = self._kept(run)
        widest = max(layers)
        working = self._working(run)
        at_work = tokens * (widest + working if run.checkpointing else working)
        if run.checkpointing:
            kept = tokens * (len(layers) * _FULL * self.width + self._ends(run))
            casts = casts if casts > tokens * 2 * self.vocabulary else 0  # dropped before the loss goes back
        else:
            kept = tokens * (sum(layers) + self._ends(run))
        first = casts + kept + max(loss, at_work) + (learning if run.accumulating else 0)
        last = learning + tokens * (widest + working)
        last += _FULL * self.vocabulary * self.width if run.adapters is None else 0
        if last > first:
            gradients, activations, logits, casts = learning, last - learning, 0, 0
        else:
            gradients = learning if run.accumulating else 0
            logits = loss if loss >= at_work else 0
            activations = kept + (0 if logits else at_work)
        gathered = self._gathered if run.shards > 1 else 0
        used = weights + 2 * learning + gradients + casts + activations + logits + gathered
        trimmed = run.device == "cpu" and run.checkpointing
        share = _RESERVE_SHARE_TRIMMED if trimmed else _RESERVE_SHARE[run.device]
        reserve = _RESERVE_BYTES[run.device] + int((used - logits) * share)
        return Step(weights, gradients, 2 * learning, casts, activations, logits, reserve, gathered)

    def cache_bytes(self, batch: int, precision: str) -> int:
        """Keys and values of every layer while `batch` texts of full length are generated."""
        return 2 * self.decoder_layers * self.width * self.length * batch * _COMPUTE[precision]

    def generation_bytes(self, batch: int, precision: str) -> int:
        """Generating: fp32 weights, the cache, and the scores of one position twice."""
        scores = 2 * batch * self.vocabulary * _FULL
        return _FULL * self.parameters + self.cache_bytes(batch, precision) + scores

    @property
    def _layer(self) -> tuple[int, int]:
        """Weights of a layer, and how many more a decoder layer has that also looks at an encoder."""
        d, ff = self.width, self.feedforward
        attention = 4 * d * d + 4 * d
        return attention + 2 * d * ff + ff + d + 4 * d, attention + 2 * d if self.encoder_layers else 0

    @property
    def _gathered(self) -> int:
        """Bytes that FSDP holds whole at once: all outside the layers, a layer and the next one, and its gradient."""
        block, cross = self._layer
        outside = self.parameters - self.encoder_layers * block - self.decoder_layers * (block + cross)
        return _FULL * (outside + 3 * (block + cross))

    @property
    def _uncast(self) -> int:
        return 0 if self.encoder_layers else self.length * self.width

    def _kept(self, run: Training) -> list[int]:
        """Bytes that each layer keeps for the backward pass, per token."""
        c, d, ff = _COMPUTE[run.precision], self.width, self.feedforward
        mask = 0 if not self.dropout else (c if run.device in ("cpu", "mps") else 1)
        exact = c if run.fused_attention else _FULL  # unfused attention computes in fp32
        norm = (_FULL + c) * d  # its input, and its output as the next matrix reads it
        matrices = self._matrices(run)
        if not self.encoder_layers:
            block = 2 * norm + (3 * exact + c) * d + matrices + 2 * c * ff + 2 * mask * d
            block += c * run.adapter_values
            return [block] * self.decoder_layers
        # nn.MultiheadAttention copies what comes out of its projections. Unfused attention keeps query and key scaled
        # as well, beside the projections (or all three in fp32 instead of them).
        own = 4 * c if run.fused_attention else (6 * c if c == _FULL else 3 * _FULL + c)
        other = 4 * c if run.fused_attention else (5 * c if c == _FULL else 3 * _FULL + c)
        feedforward = c * ff + ((mask + c) * ff if self.dropout else 0)
        encoder = 2 * norm + own * d + matrices + feedforward + 2 * mask * d
        cross = norm + (other + c) * d + matrices + mask * d
        return [encoder] * self.encoder_layers + [encoder + cross] * self.decoder_layers

    def _matrices(self, run: Training) -> int:
        """Attention matrices that one attention keeps per token: weights, and with dropout mask and product."""
        if run.fused_attention:
            return 0
        mask = 4 if run.device in ("cpu", "mps") else 1
        return self.heads * self._keys(run) * (_FULL + (mask + _FULL if self.dropout else 0))

    def _keys(self, run: Training) -> int:
        """Keys that a position meets: on a CPU the gpt2 starter leaves out most of those that come later."""
        blocks = (self.length + _BLOCK) // 2 if run.device == "cpu" and not self.encoder_layers else self.length
        return min(blocks, self.length)

    def _ends(self, run: Training) -> int:
        """Per token: what the final norms keep, and the masks after the embedding."""
        c, d = _COMPUTE[run.precision], self.width
        mask = 0 if not self.dropout else (_FULL if run.device in ("cpu", "mps") else 1)
        stacks = 2 if self.encoder_layers else 1
        return stacks * (_FULL + mask) * d + c * d + (_FULL * d if self.encoder_layers else 0)

    def _working(self, run: Training) -> int:
        """Per token: the gradients that a layer's backward pass holds beside what the layer keeps.

        First those of the feed-forward part; when attention's turn comes, what that part kept is free again.
        """
        c, d, ff = _COMPUTE[run.precision], self.width, self.feedforward
        first = 2 * _FULL * d + c * ff
        matrices = 0 if run.fused_attention else _FULL * self.heads * self._keys(run)
        second = matrices + 4 * _FULL * d - (_FULL + c) * d - 2 * c * ff
        return max(first, second)
