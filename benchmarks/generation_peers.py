"""Other programs that write with a GPT-2 in 8 bits, for `benchmarks/generation.py`: llama.cpp and CTranslate2.

They are asked as their own users would, through packages that need not be there (pip install xllamacpp gguf
ctranslate2); what is not installed is left out, and said.
"""

from __future__ import annotations

import json
from collections.abc import Callable
from importlib.util import find_spec
from pathlib import Path
from typing import Any

PACKAGES = {"llama.cpp": ("xllamacpp", "gguf"), "ctranslate2": ("ctranslate2",)}
_LLAMA_MATRICES = {"attn.c_attn": "attn_qkv", "attn.c_proj": "attn_output",
                   "mlp.c_fc": "ffn_up", "mlp.c_proj": "ffn_down"}  # fmt: skip
Write = Callable[[int], object]  # write so many tokens after each prompt


def is_here(engine: str) -> bool:
    """Whether an engine is none of these, or can be imported."""
    return all(find_spec(name) for name in PACKAGES.get(engine, ()))


def peer_writer(engine: str, model: Path, rows: list[list[int]], threads: int) -> tuple[Write, int]:
    """(how it writes, bytes of its weights); what it reads is made from the model's folder once and kept beside it."""
    return _llama(model, rows, threads) if engine == "llama.cpp" else _ctranslate2(model, rows, threads)


def _ctranslate2(model: Path, rows: list[list[int]], threads: int) -> tuple[Write, int]:
    import ctranslate2
    from ctranslate2.converters import TransformersConverter
    from transformers import AutoTokenizer

    place = model.parent / "ctranslate2-int8"
    if not place.is_dir():
        TransformersConverter(str(model)).convert(str(place), quantization="int8")
    generator = ctranslate2.Generator(str(place), compute_type="int8", intra_threads=threads, inter_threads=1)
    prompts = [AutoTokenizer.from_pretrained(model).convert_ids_to_tokens(row) for row in rows]

    def write(count: int) -> object:
        lengths = {"max_length": count, "min_length": count}
        return generator.generate_batch(prompts, sampling_topk=1, include_prompt_in_result=False, **lengths)

    return write, (place / "model.bin").stat().st_size


def _llama(model: Path, rows: list[list[int]], threads: int) -> tuple[Write, int]:
    import xllamacpp

    file = model.parent / "q8_0.gguf"
    if not file.is_file():
        _write_gguf(model, file)
    options = xllamacpp.CommonParams()
    options.model.path = str(file)
    options.n_ctx, options.n_parallel, options.n_gpu_layers, options.verbosity = 512 * len(rows), len(rows), 0, 0
    options.cpuparams.n_threads = options.cpuparams_batch.n_threads = threads
    server = xllamacpp.Server(options)

    def write(count: int) -> object:
        wish = {"n_predict": count, "temperature": 0, "ignore_eos": True, "cache_prompt": False}
        answer: Any = server.handle_completions({"prompt": rows if len(rows) > 1 else rows[0], **wish})
        return answer

    return write, file.stat().st_size


def _write_gguf(model: Path, file: Path) -> None:
    """GPT-2 in llama.cpp's format: its matrices in q8_0, the rest as it is."""
    import gguf
    import numpy as np
    from safetensors.numpy import load_file

    config = json.loads((model / "config.json").read_text(encoding="utf-8"))
    weights = {
        name.removeprefix("transformer."): array for name, array in load_file(model / "model.safetensors").items()
    }
    writer = gguf.GGUFWriter(str(file), "gpt2")
    writer.add_block_count(config["n_layer"])
    writer.add_context_length(config["n_positions"])
    writer.add_embedding_length(config["n_embd"])
    writer.add_feed_forward_length(4 * config["n_embd"])
    writer.add_head_count(config["n_head"])
    writer.add_layer_norm_eps(config["layer_norm_epsilon"])
    writer.add_file_type(gguf.LlamaFileType.MOSTLY_Q8_0)
    _write_vocabulary(writer, json.loads((model / "tokenizer.json").read_text(encoding="utf-8")))

    def matrix(name: str, array: Any) -> None:
        kind = gguf.GGMLQuantizationType.Q8_0
        writer.add_tensor(name, gguf.quants.quantize(np.ascontiguousarray(array), kind), raw_dtype=kind)

    matrix("token_embd.weight", weights["wte.weight"])
    writer.add_tensor("position_embd.weight", weights["wpe.weight"])
    norms = [("ln_f", "output_norm")]
    for number in range(config["n_layer"]):
        norms += [(f"h.{number}.ln_1", f"blk.{number}.attn_norm"), (f"h.{number}.ln_2", f"blk.{number}.ffn_norm")]
        for ours, theirs in _LLAMA_MATRICES.items():
            matrix(f"blk.{number}.{theirs}.weight", weights[f"h.{number}.{ours}.weight"].T)
            writer.add_tensor(f"blk.{number}.{theirs}.bias", weights[f"h.{number}.{ours}.bias"])
    for ours, theirs in norms:
        for part in ("weight", "bias"):
            writer.add_tensor(f"{theirs}.{part}", weights[f"{ours}.{part}"])
    writer.write_header_to_file()
    writer.write_kv_data_to_file()
    writer.write_tensors_to_file()
    writer.close()


def _write_vocabulary(writer: Any, tokenizer: dict[str, Any]) -> None:
    from gguf import TokenType

    ids = dict(tokenizer["model"]["vocab"]) | {added["content"]: added["id"] for added in tokenizer["added_tokens"]}
    merges = [merge if isinstance(merge, str) else " ".join(merge) for merge in tokenizer["model"]["merges"]]
    writer.add_tokenizer_model("gpt2")
    writer.add_tokenizer_pre("gpt-2")
    writer.add_token_list(sorted(ids, key=ids.__getitem__))
    writer.add_token_types([TokenType.NORMAL] * len(ids))
    writer.add_token_merges(merges)
