#!/usr/bin/env python3
"""A stand-in for llama-bench and llama-perplexity: prints what the real ones printed once, for what it is asked now.

It is called by its other names, ``llama-bench`` and ``llama-perplexity``, and computes nothing. The model is the
``tiny-gqa2`` of the recorded output whatever file it is given; quality is known for windows of 1024 tokens, 8 of them.

Environment:
  STAND_IN        a fault, see FAULTS; none if not set. Or faults by pair: "f32/f32=oom q8_0/q4_0=hang"
  STAND_IN_PAIR   only runs of this pair (K/V) have the fault
  STAND_IN_SEES   a file in which runs leave a line each: the devices that they see
  STAND_IN_COUNT  a file in which runs leave a character each; with STAND_IN_TIMES=N only the first N have the fault
"""

import json
import os
import random
import re
import signal
import struct
import sys
import time
from pathlib import Path

RECORDED = Path(__file__).resolve().parents[1] / "data" / "engine-output" / "fork"
N_CTX, CHUNKS, VOCABULARY = 1024, 8, 259
LAYERS, KV_WIDTH = 4, 256
# Bytes that 128 values take.
TYPES = {
    "f32": 512, "f16": 256, "bf16": 256, "q8_0": 136, "q4_0": 72, "q4_1": 80, "iq4_nl": 72, "q5_0": 88, "q5_1": 96,
    "turbo2": 34, "turbo3": 50, "turbo4": 68,
}  # fmt: skip
HELP = f"""\
-ctk,  --cache-type-k TYPE              KV cache data type for K
                                        allowed values: {", ".join(TYPES)}
                                        (default: f16)
                                        (env: LLAMA_ARG_CACHE_TYPE_K)
"""


def oom() -> None:
    """There is no memory for the KV cache."""
    sys.stderr.write("".join(recorded("bench-f16-f16-oom.stderr").splitlines(keepends=True)[-3:]))
    sys.exit(1)


def hang() -> None:
    """It does nothing any more."""
    time.sleep(3600)


def endless() -> None:
    """It prints without end."""
    while True:
        sys.stderr.write("the same line again and again\n" * 1000)


def garbage() -> None:
    """It prints what is no text, and exits as if all were well."""
    for stream in (sys.stdout, sys.stderr):
        stream.buffer.write(random.Random(1).randbytes(3000))
    sys.exit(0)


def sigkill() -> None:
    """It is killed, as if somebody or the system had done it."""
    os.kill(os.getpid(), signal.SIGKILL)


def no_result() -> None:
    """It exits as if all were well and has printed nothing."""
    sys.exit(0)


# What Metal says of a command buffer that failed, before it goes on.
FAILED_BUFFER = (
    "ggml_metal_synchronize: error: command buffer 1 failed with status 5\n"
    "error: Insufficient Memory (00000008:kIOGPUCommandBufferCallbackErrorOutOfMemory)\n"
)

# These come at once; "crash-half" comes in the middle, "lost-end" and "short-baseline" at the end. With "failed-buffer"
# the first computation fails and everything else is as ever.
FAULTS = {
    "oom": oom,
    "hang": hang,
    "endless": endless,
    "garbage": garbage,
    "sigkill": sigkill,
    "no-result": no_result,
}


def main() -> None:
    name, arguments = Path(sys.argv[0]).name, sys.argv[1:]
    if "--help" in arguments:
        print(HELP)
    elif "--version" in arguments:
        print("version: 0 (stand-in)", file=sys.stderr)
    else:
        asked = dict(zip(arguments, [*arguments[1:], ""], strict=True))
        if "STAND_IN_SEES" in os.environ:
            with Path(os.environ["STAND_IN_SEES"]).open("a") as file:
                file.write(os.environ.get("CUDA_VISIBLE_DEVICES", "all") + "\n")
        fault = chosen_fault(asked)
        for option in ("-ctk", "-ctv"):
            if asked[option] not in TYPES:
                sys.stderr.write(
                    f'error while handling argument "{option}": Unsupported cache type: {asked[option]}\n'
                )
                sys.exit(1)
        if fault in FAULTS:
            FAULTS[fault]()
        elif name == "llama-bench":
            bench(asked, fault)
        elif "--kl-divergence" in arguments:
            kl_divergence(asked, fault)
        else:
            baseline(asked, fault)


def chosen_fault(asked: dict[str, str]) -> str | None:
    if (
        os.environ.get("STAND_IN_PAIR", f"{asked['-ctk']}/{asked['-ctv']}")
        != f"{asked['-ctk']}/{asked['-ctv']}"
    ):
        return None
    if "STAND_IN_COUNT" in os.environ:
        count = Path(os.environ["STAND_IN_COUNT"])
        with count.open("a") as file:
            file.write(".")
        if count.stat().st_size > int(os.environ.get("STAND_IN_TIMES", "1000000")):
            return None
    fault = os.environ.get("STAND_IN", "")
    if "=" in fault:
        fault = dict(each.split("=") for each in fault.split()).get(f"{asked['-ctk']}/{asked['-ctv']}", "")
    return fault


def bench(asked: dict[str, str], fault: str | None) -> None:
    k, v, depth = asked["-ctk"], asked["-ctv"], int(asked["-d"])
    logs = re.split(
        r"^(?=llama-bench: benchmark \d/6: starting$)", recorded("bench-f16-f16.stderr"), flags=re.M
    )[1:]
    results = [json.loads(line) for line in recorded("bench-f16-f16.jsonl").splitlines()]
    for log, result, n_prompt, n_gen in zip(
        logs, results, (int(asked["-p"]), 0), (0, int(asked["-n"])), strict=False
    ):
        cells = -(-(depth + n_prompt + n_gen) // 256) * 256
        sys.stderr.write(with_cache(log, k, v, cells, 1).replace("/6: ", "/2: "))
        sys.stderr.write(FAILED_BUFFER if fault == "failed-buffer" and n_prompt else "")
        sys.stderr.flush()
        tokens = n_prompt + n_gen
        nanoseconds = 150_000 if n_prompt else 2_000_000
        samples = [
            round(tokens * nanoseconds * (1 + depth / 4096)) + 1000 * i for i in range(int(asked["-r"]))
        ]
        rates = [1e9 * tokens / sample for sample in samples]
        mean = sum(rates) / len(rates)
        variance = sum((rate - mean) ** 2 for rate in rates) / max(len(rates) - 1, 1)
        result |= {"n_prompt": n_prompt, "n_gen": n_gen, "n_depth": depth, "type_k": k, "type_v": v}
        result |= {"model_filename": asked["-m"], "avg_ns": sum(samples) // len(samples), "stddev_ns": 0}
        result |= {"avg_ts": mean, "stddev_ts": variance**0.5, "samples_ns": samples, "samples_ts": rates}
        print(json.dumps(result), flush=True)
        if fault == "crash-half":
            os.kill(os.getpid(), signal.SIGSEGV)
        if fault == "lost-end":
            return


def baseline(asked: dict[str, str], fault: str | None) -> None:
    n_ctx, tokens = int(asked["-c"]), Path(asked["-f"]).stat().st_size
    if tokens < 2 * n_ctx:
        sys.stderr.write(
            f"perplexity: you need at least {2 * n_ctx} tokens to evaluate perplexity with a context of"
        )
        sys.stderr.write(
            f" {n_ctx}\nperplexity: the data file you provided tokenizes to only {tokens} tokens\n"
        )
        return
    only_what_is_recorded(n_ctx, int(asked["--chunks"]))
    rows = CHUNKS * (N_CTX - 1 - N_CTX // 2)
    size = 20 + 4 * CHUNKS * N_CTX + rows * 2 * (2 * ((VOCABULARY + 1) // 2) + 4)
    with Path(asked["--kl-divergence-base"]).open("wb") as file:
        file.write(struct.pack("<8sIii", b"_logits_", N_CTX, VOCABULARY, CHUNKS))
        file.truncate(size // 2 if fault in ("short-baseline", "crash-half") else size)
    if fault == "crash-half":
        os.kill(os.getpid(), signal.SIGSEGV)
    sys.stderr.write(recorded("baseline-f16.stderr"))
    sys.stderr.write(FAILED_BUFFER if fault == "failed-buffer" else "")
    sys.stdout.write(recorded("baseline-f16.stdout"))


def kl_divergence(asked: dict[str, str], fault: str | None) -> None:
    with Path(asked["--kl-divergence-base"]).open("rb") as file:
        only_what_is_recorded(*struct.unpack("<8sIii", file.read(20))[1::2])
    k, v = asked["-ctk"], asked["-ctv"]
    name = next(
        (n for n in (f"kld-{k}-{v}", f"kld-{k}-{v}-control") if (RECORDED / f"{n}.stdout").is_file()), None
    )
    log, result = (recorded(f"{name or 'kld-q8_0-q8_0'}.{stream}") for stream in ("stderr", "stdout"))
    sys.stderr.write(with_cache(log, k, v, N_CTX, 2))
    sys.stderr.write(FAILED_BUFFER if fault == "failed-buffer" else "")
    if fault == "crash-half":
        sys.stdout.write(result[: len(result) // 2])
        sys.stdout.flush()
        os.kill(os.getpid(), signal.SIGSEGV)
    sys.stdout.write(
        result.partition("====== KL divergence statistics")[0] if fault == "lost-end" else result
    )


def with_cache(log: str, k: str, v: str, cells: int, streams: int) -> str:
    """A recorded log with the KV cache that this run would have."""
    sides = [cells * streams * LAYERS * KV_WIDTH * TYPES[name] / 128 / 2**20 for name in (k, v)]
    line = (
        f"size = {sum(sides):7.2f} MiB ({cells:6d} cells, {LAYERS:3d} layers, {streams:2d}/{streams} seqs),"
        f" K ({k}): {sides[0]:7.2f} MiB, V ({v}): {sides[1]:7.2f} MiB"
    )
    return re.sub(r"(?<=llama_kv_cache: )size = .*", line, log)


def only_what_is_recorded(n_ctx: int, chunks: int) -> None:
    if (n_ctx, chunks) != (N_CTX, CHUNKS):
        sys.exit(f"the stand-in knows {CHUNKS} windows of {N_CTX} tokens only, not {chunks} of {n_ctx}")


def recorded(name: str) -> str:
    return (RECORDED / name).read_text(encoding="utf-8")


if __name__ == "__main__":
    main()
