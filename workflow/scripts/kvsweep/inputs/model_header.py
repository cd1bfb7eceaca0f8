"""What a GGUF file's header says of a model, read with llama.cpp's own ``gguf`` package.

Of a split model the first part has the header; each part has the shapes of its own tensors.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import MISSING, asdict, dataclass, fields
from pathlib import Path
from typing import Any

from kvsweep.errors import KvsweepError
from kvsweep.inputs.kv_layers import LayerGroup, is_plain, kv_layers, plain_group
from kvsweep.study.split_models import part_paths

_TOKENS = "tokenizer.ggml.tokens"


@dataclass(frozen=True)
class ModelHeader:
    """Shape of a model. Sizes of heads in values, ``n_kv_heads`` per layer (0: the layer has no KV cache of its own).

    ``kv_groups``: the layers by the cache that they are in, () where all of them are in one; None where the header
    does not tell. ``recurrent_bytes`` is the state of one sequence, ``rope_scaling`` what stretches the positions
    (``yarn``) and ``n_ctx_original`` the context before it did, each None where the header has none.
    """

    architecture: str
    weight_type: str
    n_parameters: int
    n_layers: int
    n_heads: int
    n_kv_heads: tuple[int, ...]
    head_size_k: int
    head_size_v: int
    n_vocab: int
    n_ctx_train: int
    kv_groups: tuple[LayerGroup, ...] | None = ()
    head_size_k_window: int | None = None
    head_size_v_window: int | None = None
    recurrent_bytes: int | None = None
    rope_scaling: str | None = None
    n_ctx_original: int | None = None

    def __post_init__(self) -> None:
        if self.kv_groups == ():
            plain = plain_group(self.n_kv_heads, self.head_size_k, self.head_size_v)
            object.__setattr__(self, "kv_groups", plain)

    @property
    def n_kv_layers(self) -> int:
        return sum(heads > 0 for heads in self.n_kv_heads)

    @property
    def kv_width_k(self) -> int | None:
        """Values of K of one token, over all layers; None where the header does not tell."""
        return None if self.kv_groups is None else sum(group.values_k for group in self.kv_groups)

    @property
    def kv_width_v(self) -> int | None:
        """Values of V of one token, over all layers; None where the header does not tell."""
        return None if self.kv_groups is None else sum(group.values_v for group in self.kv_groups)

    def as_dict(self) -> dict[str, Any]:
        groups = self.kv_groups
        return {
            **asdict(self),
            "n_kv_heads": list(self.n_kv_heads),
            "kv_groups": None
            if groups is None
            else [asdict(group) | {"kv_heads": list(group.kv_heads)} for group in groups],
            "n_kv_layers": self.n_kv_layers,
            "kv_values_per_token_k": self.kv_width_k,
            "kv_values_per_token_v": self.kv_width_v,
        }


def from_manifest(values: Mapping[str, Any]) -> ModelHeader | None:
    """The header as model.json has it; None where an older kvsweep has written it, without all of it."""
    names = [field.name for field in fields(ModelHeader) if field.default is MISSING]
    if not all(name in values for name in names):
        return None
    known = {field.name: values[field.name] for field in fields(ModelHeader) if field.name in values}
    return ModelHeader(
        **{**known, "n_kv_heads": tuple(known["n_kv_heads"]), "kv_groups": groups_in_manifest(values)}
    )


def groups_in_manifest(values: Mapping[str, Any]) -> tuple[LayerGroup, ...] | None:
    """The layers by their caches, as model.json has them. An older kvsweep wrote down the heads of the layers only,
    which is enough where all of them are in one cache."""
    if "kv_groups" not in values:
        if not is_plain(str(values.get("architecture"))):
            return None
        return plain_group(tuple(values["n_kv_heads"]), values["head_size_k"], values["head_size_v"])
    groups = values["kv_groups"]
    if groups is None:
        return None
    return tuple(LayerGroup(**{**group, "kv_heads": tuple(group["kv_heads"])}) for group in groups)


def read_header(path: Path, where: str) -> ModelHeader:
    """The header of the model at ``path``, its GGUF file or the first part of a split one.

    ``where`` is the configuration key to name in errors. Raises KvsweepError if a file is missing, is not GGUF, is cut
    short, or lacks what kvsweep needs, and if the parts do not belong together.
    """
    try:
        paths = part_paths(path)
    except ValueError as error:
        raise KvsweepError(f"{where}: {error}.") from None
    missing = [part.name for part in paths if not part.is_file()]
    if path.is_file() and missing:
        raise KvsweepError(
            f"{where}: of the {len(paths)} parts of {path}, {', '.join(missing[:3])}"
            f"{', ...' if len(missing) > 3 else ''} cannot be found; put all of them into one directory."
        )
    readers = [_open(part, where) for part in paths]
    _check_parts(paths, readers, where)
    first = readers[0].fields
    # Of the tokenizer's lists only the number of tokens is needed.
    values = {n: field.contents() for n, field in first.items() if not n.startswith("tokenizer.")}
    if _TOKENS in first:
        values[_TOKENS] = len(first[_TOKENS].data)
    try:
        tensors = [tensor for reader in readers for tensor in reader.tensors]
        return _header(str(values["general.architecture"]), values, tensors)
    except KeyError as error:
        raise KvsweepError(
            f"{where}: the header of {path} lacks {error.args[0]!r}; kvsweep needs a language model's GGUF file."
        ) from error


def _open(path: Path, where: str) -> Any:
    if not path.is_file():
        raise KvsweepError(f"{where}: there is no file {path}; correct the path or put the model there.")
    size = path.stat().st_size
    with path.open("rb") as file:
        magic = file.read(4)
    if magic != b"GGUF":
        raise KvsweepError(f"{where}: {path} is not a GGUF file (it starts with {magic!r}).")
    # Only here: it takes a tenth of a second, and most who ask have the model's manifest.
    from kvsweep.inputs.short_reader import ShortReader

    try:
        return ShortReader(path)
    except (ValueError, IndexError, KeyError, OSError) as error:
        raise KvsweepError(
            f"{where}: {path} is cut short or damaged ({size} bytes; its header promises more: {error}); "
            "fetch the model again."
        ) from error


def _check_parts(paths: Sequence[Path], readers: Sequence[Any], where: str) -> None:
    """Raise KvsweepError unless the files are, in order, all the parts of one model."""
    for number, (path, reader) in enumerate(zip(paths, readers, strict=True)):
        # A file that was never split does not say so.
        found = _number(reader, "split.no", 0), _number(reader, "split.count", 1)
        if found != (number, len(paths)) and not (len(paths) == 1 and found[1] <= 1):
            raise KvsweepError(
                f"{where}: {path} is part {found[0] + 1} of {found[1]} by its header, and not part {number + 1} of "
                f"{len(paths)}; give the parts the names that they were made with."
            )
    tensors = sum(len(reader.tensors) for reader in readers)
    promised = _number(readers[0], "split.tensors.count", tensors)
    if len(paths) > 1 and tensors != promised:
        raise KvsweepError(
            f"{where}: the parts of {paths[0]} have {tensors} tensors and should have {promised}; "
            "they are not of one model, fetch them again."
        )


def _number(reader: Any, key: str, default: int) -> int:
    return int(reader.fields[key].contents()) if key in reader.fields else default


def _header(architecture: str, values: dict[str, Any], tensors: Any) -> ModelHeader:
    def get(key: str) -> Any:
        return values[f"{architecture}.{key}"]

    n_layers, width = int(get("block_count")), int(get("embedding_length"))
    heads = get("attention.head_count")
    n_heads = max(heads) if isinstance(heads, list) else int(heads)
    default_head = width // n_heads if n_heads else 0
    types: Counter[str] = Counter()
    for tensor in tensors:
        types[tensor.tensor_type.name] += int(tensor.n_elements)
    vocabulary = values.get(f"{architecture}.vocab_size")
    layers = kv_layers(architecture, values)
    original = values.get(f"{architecture}.rope.scaling.original_context_length")
    return ModelHeader(
        architecture=architecture,
        weight_type=types.most_common(1)[0][0] if types else "",
        n_parameters=sum(types.values()),
        n_layers=n_layers,
        n_heads=n_heads,
        n_kv_heads=layers.kv_heads,
        head_size_k=int(values.get(f"{architecture}.attention.key_length", default_head)),
        head_size_v=int(values.get(f"{architecture}.attention.value_length", default_head)),
        n_vocab=int(vocabulary) if vocabulary is not None else int(values[_TOKENS]),
        n_ctx_train=int(get("context_length")),
        kv_groups=layers.groups,
        head_size_k_window=layers.window_head_sizes[0],
        head_size_v_window=layers.window_head_sizes[1],
        recurrent_bytes=layers.recurrent_bytes,
        rope_scaling=values.get(f"{architecture}.rope.scaling.type"),
        n_ctx_original=None if original is None else int(original),
    )


# Key and type of the entry, as a GGUF file has them: the length of the key, the key, 8 for text.
_TEMPLATE = b"tokenizer.chat_template"
_TEMPLATE_ENTRY = len(_TEMPLATE).to_bytes(8, "little") + _TEMPLATE + (8).to_bytes(4, "little")
# Headers are no longer: a vocabulary of 262,144 with its merges takes 15 MiB.
_MOST_HEADER_BYTES = 64 * 2**20


def has_chat_template(path: Path) -> bool:
    """Whether a GGUF file says how its model is talked to; of a split model the first part does.

    llama-server does not tell: it puts another template in the place of a missing one.
    """
    with path.open("rb") as file:
        return _TEMPLATE_ENTRY in file.read(_MOST_HEADER_BYTES)
