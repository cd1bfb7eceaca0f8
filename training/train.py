"""Train the demo's model: a small llama-style transformer on bytes, over text that keeps referring back to itself.

Parameters carry the names that they have in a GGUF file, and rotary embeddings turn neighbouring pairs of dimensions,
as llama.cpp does for this architecture; `export_gguf.py` therefore only changes the container and the precision.
"""

import argparse
import json
import math
import multiprocessing
import platform
import sys
import time
from dataclasses import asdict, dataclass
from pathlib import Path

import torch
from safetensors.torch import save_file
from torch import Tensor, nn
from torch.nn import functional
from torch.nn.attention import SDPBackend, sdpa_kernel

sys.path.insert(0, str(Path(__file__).resolve().parents[1] / "workflow" / "scripts"))

from kvsweep.inputs.demo_text import generate

STREAM_BYTES = 1 << 20
FIRST_TRAINING_SEED = 1_000_000  # smaller seeds are never trained on: they are free for evaluation
EVALUATION_SEED = 1
ATTENTION = [
    SDPBackend.CUDNN_ATTENTION,
    SDPBackend.MATH,
]  # on an H200, cuDNN's took 0.56 of the time of the default


@dataclass(frozen=True)
class Shape:
    """The model's dimensions."""

    n_vocab: int = 256
    n_embd: int = 256
    n_layer: int = 4
    n_head: int = 4
    n_head_kv: int = 1
    head_size: int = 128
    n_ff: int = 768
    context_length: int = 16384
    rope_base: float = 100_000.0
    norm_epsilon: float = 1e-5


class RmsNorm(nn.Module):
    """Root-mean-square normalization with a gain."""

    def __init__(self, width: int, epsilon: float) -> None:
        super().__init__()
        self.weight = nn.Parameter(torch.ones(width))
        self.epsilon = epsilon

    def forward(self, x: Tensor) -> Tensor:
        return functional.rms_norm(x.float(), self.weight.shape, self.weight, self.epsilon).type_as(x)


def rotate(x: Tensor, cosine: Tensor, sine: Tensor) -> Tensor:
    """Turn each pair of neighbouring dimensions of `x` by the angle of its position."""
    even, odd = x.float().unflatten(-1, (-1, 2)).unbind(-1)
    return torch.stack((even * cosine - odd * sine, even * sine + odd * cosine), -1).flatten(-2).type_as(x)


class Block(nn.Module):
    """One transformer layer: grouped-query attention, then a gated feed-forward network."""

    def __init__(self, shape: Shape) -> None:
        super().__init__()
        self.shape = shape
        q_width, kv_width = shape.n_head * shape.head_size, shape.n_head_kv * shape.head_size
        self.attn_norm = RmsNorm(shape.n_embd, shape.norm_epsilon)
        self.attn_q = nn.Linear(shape.n_embd, q_width, bias=False)
        self.attn_k = nn.Linear(shape.n_embd, kv_width, bias=False)
        self.attn_v = nn.Linear(shape.n_embd, kv_width, bias=False)
        self.attn_output = nn.Linear(q_width, shape.n_embd, bias=False)
        self.ffn_norm = RmsNorm(shape.n_embd, shape.norm_epsilon)
        self.ffn_gate = nn.Linear(shape.n_embd, shape.n_ff, bias=False)
        self.ffn_up = nn.Linear(shape.n_embd, shape.n_ff, bias=False)
        self.ffn_down = nn.Linear(shape.n_ff, shape.n_embd, bias=False)

    def forward(self, x: Tensor, cosine: Tensor, sine: Tensor) -> Tensor:
        y = self.attn_norm(x)
        q, k, v = (
            projected.unflatten(-1, (-1, self.shape.head_size)).transpose(1, 2)
            for projected in (self.attn_q(y), self.attn_k(y), self.attn_v(y))
        )
        q, k = rotate(q, cosine, sine), rotate(k, cosine, sine)
        attended = functional.scaled_dot_product_attention(q, k, v, is_causal=True, enable_gqa=True)
        x = x + self.attn_output(attended.transpose(1, 2).flatten(-2))
        y = self.ffn_norm(x)
        return x + self.ffn_down(functional.silu(self.ffn_gate(y)) * self.ffn_up(y))


class Transformer(nn.Module):
    """The model; the output layer shares the embedding's weights."""

    def __init__(self, shape: Shape) -> None:
        super().__init__()
        self.token_embd = nn.Embedding(shape.n_vocab, shape.n_embd)
        self.blk = nn.ModuleList(Block(shape) for _ in range(shape.n_layer))
        self.output_norm = RmsNorm(shape.n_embd, shape.norm_epsilon)
        frequencies = shape.rope_base ** (
            -torch.arange(0, shape.head_size, 2, dtype=torch.float64) / shape.head_size
        )
        angles = torch.outer(torch.arange(shape.context_length, dtype=torch.float64), frequencies)
        self.register_buffer("cosine", angles.cos().float(), persistent=False)
        self.register_buffer("sine", angles.sin().float(), persistent=False)
        for name, parameter in self.named_parameters():
            if parameter.ndim == 2:
                residual = name.endswith(("attn_output.weight", "ffn_down.weight"))
                nn.init.normal_(parameter, std=0.02 / math.sqrt(2 * shape.n_layer) if residual else 0.02)

    def forward(self, tokens: Tensor) -> Tensor:
        """Logits of the token after each of `tokens` (batch x length)."""
        x = self.token_embd(tokens)
        length = tokens.shape[1]
        cosine, sine = self.cosine[:length], self.sine[:length]
        for block in self.blk:
            x = block(x, cosine, sine)
        return functional.linear(self.output_norm(x), self.token_embd.weight)


def stream(seed: int) -> bytes:
    """One training stream."""
    return generate(seed, STREAM_BYTES).encode("ascii")


def training_text(n_streams: int, first_seed: int) -> Tensor:
    """Streams of text as bytes, one a row."""
    with multiprocessing.Pool() as pool:
        streams = pool.map(stream, range(first_seed, first_seed + n_streams), chunksize=1)
    return torch.frombuffer(bytearray(b"".join(streams)), dtype=torch.uint8).view(n_streams, STREAM_BYTES)


def windows(text: Tensor, count: int, length: int, repeating: float, generator: torch.Generator) -> Tensor:
    """Slices of `length` tokens from random places of random streams.

    The share `repeating` of them instead says one short slice over and over. What was said before then predicts every
    token, and the model learns to look it up; on plain text alone that takes far longer to emerge.
    """
    device = text.device

    def integers(low: int, high: int) -> Tensor:
        return torch.randint(low, high, (count, 1), generator=generator, device=device)

    repeats = torch.arange(count, device=device)[:, None] < round(count * repeating)
    period = torch.where(repeats, integers(length // 32, length // 2), length)
    row, start = integers(0, text.shape[0]), integers(0, text.shape[1] - length + 1)
    return text[row, start + torch.arange(length, device=device) % period].long()


def learning_rate(step: int, steps: int, peak: float) -> float:
    """Linear warm-up over 200 steps, a plateau, and a linear decay to zero over the last 40 percent."""
    return peak * min(1.0, (step + 1) / 200, (steps - step) / (0.4 * steps))


@torch.no_grad()
def token_losses(model: nn.Module, tokens: Tensor, context: int) -> Tensor:
    """Negative log-likelihood in nats of each token, read in windows of `context`; the first of a window is NaN."""
    losses = torch.full(tokens.shape, math.nan)
    rows = tokens.view(-1, context)
    batch = max(1, 65536 // context)
    for first in range(0, len(rows), batch):
        part = rows[first : first + batch]
        with torch.autocast(part.device.type, dtype=torch.bfloat16, enabled=part.is_cuda):
            logits = model(part)
        nll = functional.cross_entropy(
            logits[:, :-1].float().flatten(0, 1), part[:, 1:].flatten(), reduction="none"
        )
        losses.view(-1, context)[first : first + batch, 1:] = nll.view(len(part), -1).cpu()
    return losses


def context_gain(model: nn.Module, tokens: Tensor, contexts: list[int]) -> dict[str, float]:
    """Perplexity per context over the same tokens: those in the second half of a window in every context."""
    position = torch.arange(len(tokens))
    scored = torch.stack([position % context > context // 2 for context in contexts]).all(0)
    return {str(c): token_losses(model, tokens, c)[scored].double().mean().exp().item() for c in contexts}


@torch.no_grad()
def largest_activation(model: Transformer, tokens: Tensor) -> float:
    """Largest magnitude that leaves or enters any layer: below 65,504, or half precision overflows."""
    largest = 0.0

    def watch(_module: nn.Module, inputs: tuple[Tensor, ...], output: Tensor) -> None:
        nonlocal largest
        largest = max(largest, inputs[0].abs().max().item(), output.abs().max().item())

    hooks = [
        module.register_forward_hook(watch)
        for module in model.modules()
        if isinstance(module, nn.Linear | Block)
    ]
    model(tokens[None])
    for hook in hooks:
        hook.remove()
    return largest


def phase(text: str) -> tuple[int, int]:
    """`LENGTH:STEPS` as numbers."""
    length, steps = text.split(":")
    return int(length), int(steps)


def parse_arguments() -> argparse.Namespace:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.ArgumentDefaultsHelpFormatter
    )
    parser.add_argument(
        "--output", type=Path, required=True, help="folder for model.safetensors and training.json"
    )
    parser.add_argument("--seed", type=int, default=20260501)
    parser.add_argument("--streams", type=int, default=1024, help="training text, in streams of 1 MiB")
    parser.add_argument(
        "--phases",
        type=phase,
        nargs="+",
        default=[(1024, 1200), (4096, 8600), (16384, 2400)],
        help="LENGTH:STEPS of each phase; in the first, the share of repeating sequences falls from 1 to 0",
    )
    parser.add_argument("--batch-tokens", type=int, default=131072, help="tokens a step")
    parser.add_argument("--learning-rate", type=float, default=2e-3)
    parser.add_argument("--weight-decay", type=float, default=0.1)
    parser.add_argument(
        "--evaluation-windows", type=int, default=64, help="windows of the full context length"
    )
    for name, value in asdict(Shape()).items():
        parser.add_argument(f"--{name.replace('_', '-')}", type=type(value), default=value)
    return parser.parse_args()


def main() -> None:
    arguments = parse_arguments()
    shape = Shape(**{name: getattr(arguments, name) for name in asdict(Shape())})
    device = torch.device("cuda" if torch.cuda.is_available() else "cpu")
    torch.manual_seed(arguments.seed)
    torch.set_float32_matmul_precision("high")
    started = time.monotonic()
    text = training_text(arguments.streams, FIRST_TRAINING_SEED).to(device)
    text_seconds = time.monotonic() - started
    print(f"{text.numel() / 1e6:.0f} MB of text in {text_seconds:.1f} s", flush=True)

    model = Transformer(shape).to(device)
    n_parameters = sum(parameter.numel() for parameter in model.parameters())
    matrices = [parameter for parameter in model.parameters() if parameter.ndim == 2]
    gains = [parameter for parameter in model.parameters() if parameter.ndim == 1]
    optimizer = torch.optim.AdamW(
        [
            {"params": matrices, "weight_decay": arguments.weight_decay},
            {"params": gains, "weight_decay": 0.0},
        ],
        lr=arguments.learning_rate,
        betas=(0.9, 0.95),
        fused=device.type == "cuda",
    )

    def loss_of(batch: Tensor) -> Tensor:
        logits = model(batch[:, :-1])
        return functional.cross_entropy(logits.float().flatten(0, 1), batch[:, 1:].flatten())

    step_loss = torch.compile(loss_of, dynamic=False) if device.type == "cuda" else loss_of
    generator = torch.Generator(device).manual_seed(arguments.seed)
    tokens_seen = 0
    curve: list[dict[str, float]] = []
    started = time.monotonic()
    lengths = [length for length, steps in arguments.phases for _ in range(steps)]
    for step, length in enumerate(lengths):
        repeating = max(0.0, 1 - step / arguments.phases[0][1])
        # One byte more than the sequence, because the last one is only predicted.
        batch = windows(text, max(1, arguments.batch_tokens // length), length + 1, repeating, generator)
        rate = learning_rate(step, len(lengths), arguments.learning_rate)
        for group in optimizer.param_groups:
            group["lr"] = rate
        with (
            torch.autocast(device.type, dtype=torch.bfloat16, enabled=device.type == "cuda"),
            sdpa_kernel(ATTENTION),
        ):
            loss = step_loss(batch)
        optimizer.zero_grad(set_to_none=True)
        loss.backward()
        nn.utils.clip_grad_norm_(model.parameters(), 1.0)
        optimizer.step()
        tokens_seen += batch.numel() - len(batch)
        if step % 200 == 0 or step == len(lengths) - 1:
            seconds = time.monotonic() - started
            curve.append(
                {"step": step, "length": length, "loss_nats": loss.item(), "seconds": round(seconds, 1)}
            )
            print(f"step {step} length {length} loss {loss.item():.4f} nats {seconds:.0f} s", flush=True)
    train_seconds = time.monotonic() - started

    evaluation = generate(EVALUATION_SEED, arguments.evaluation_windows * shape.context_length).encode(
        "ascii"
    )
    tokens = torch.frombuffer(bytearray(evaluation), dtype=torch.uint8).long().to(device)
    contexts = [context for context in (256, 1024, 4096, 16384) if context <= shape.context_length]
    figures = {
        "seed": arguments.seed,
        "parameters": n_parameters,
        "steps": len(lengths),
        "tokens": tokens_seen,
        "arguments": {name: str(value) for name, value in vars(arguments).items() if name != "output"},
        "device": torch.cuda.get_device_name() if device.type == "cuda" else platform.machine(),
        "python": platform.python_version(),
        "torch": torch.__version__,
        "text_seconds": round(text_seconds, 1),
        "train_seconds": round(train_seconds, 1),
        "largest_activation": largest_activation(model, tokens[: min(4096, shape.context_length)]),
        "evaluation_seed": EVALUATION_SEED,
        "evaluation_perplexity_by_context": context_gain(model, tokens, contexts),
        "curve": curve,
    }
    arguments.output.mkdir(parents=True, exist_ok=True)
    weights = {name: value.detach().float().cpu().contiguous() for name, value in model.state_dict().items()}
    metadata = {"shape": json.dumps(asdict(shape)), "seed": str(arguments.seed)}
    save_file(weights, arguments.output / "model.safetensors", metadata)
    (arguments.output / "training.json").write_text(json.dumps(figures, indent=2) + "\n", encoding="ascii")
    print(json.dumps(figures["evaluation_perplexity_by_context"]), figures["largest_activation"])


if __name__ == "__main__":
    main()
