"""Write the trained model as a GGUF file in half precision."""

import argparse
import json
from pathlib import Path

import gguf
import numpy as np
from safetensors import safe_open

DESCRIPTION = (
    "Demo model of kvsweep, for measuring the KV cache on small machines: trained from scratch on generated text that "
    "refers back to itself. One token is one byte. Not a language model for any other use."
)


def byte_tokens() -> list[str]:
    """The 256 bytes as the tokens of llama.cpp's `rwkv` tokenizer, which writes unprintable ones as an escape."""
    return [chr(b) if 0x20 <= b < 0x7F and b != ord("\\") else f"\\x{b:02x}" for b in range(256)]


def parameter_label(count: int) -> str:
    return f"{count / 1e6:.1f}M"


def export(checkpoint: Path, destination: Path) -> None:
    """Convert `checkpoint`, as train.py wrote it, to `destination`."""
    with safe_open(checkpoint, framework="numpy") as source:
        metadata = source.metadata()
        tensors: dict[str, np.ndarray] = {name: source.get_tensor(name) for name in source.keys()}  # noqa: SIM118
    shape = json.loads(metadata["shape"])
    label = parameter_label(sum(tensor.size for tensor in tensors.values()))

    writer = gguf.GGUFWriter(destination, "llama")
    writer.add_type(gguf.GGUFType.MODEL)
    writer.add_name(f"kvsweep demo {label}")
    writer.add_size_label(label)
    writer.add_license("mit")
    writer.add_description(DESCRIPTION)
    writer.add_uint32("kvsweep.training_seed", int(metadata["seed"]))
    writer.add_file_type(gguf.LlamaFileType.MOSTLY_F16)
    writer.add_vocab_size(shape["n_vocab"])
    writer.add_context_length(shape["context_length"])
    writer.add_embedding_length(shape["n_embd"])
    writer.add_block_count(shape["n_layer"])
    writer.add_feed_forward_length(shape["n_ff"])
    writer.add_head_count(shape["n_head"])
    writer.add_head_count_kv(shape["n_head_kv"])
    writer.add_key_length(shape["head_size"])
    writer.add_value_length(shape["head_size"])
    writer.add_rope_dimension_count(shape["head_size"])
    writer.add_rope_freq_base(shape["rope_base"])
    writer.add_layer_norm_rms_eps(shape["norm_epsilon"])
    writer.add_tokenizer_model("rwkv")
    writer.add_token_list(byte_tokens())
    writer.add_token_types([gguf.TokenType.NORMAL] * 256)
    writer.add_add_bos_token(False)
    writer.add_add_eos_token(False)
    for name, tensor in tensors.items():
        if tensor.ndim == 2:
            tensor = tensor.astype(np.float16)
            if not np.isfinite(tensor).all():
                raise OverflowError(f"{name} does not fit half precision")
        writer.add_tensor(name, tensor)
    writer.write_header_to_file()
    writer.write_kv_data_to_file()
    writer.write_tensors_to_file()
    writer.close()


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("checkpoint", type=Path, help="model.safetensors from train.py")
    parser.add_argument("destination", type=Path, help="the GGUF file to write")
    arguments = parser.parse_args()
    export(arguments.checkpoint, arguments.destination)
    print(f"{arguments.destination}: {arguments.destination.stat().st_size} bytes")


if __name__ == "__main__":
    main()
