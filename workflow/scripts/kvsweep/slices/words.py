"""Words that engines and systems say for themselves.

As a user's or host's name they are replaced in paths and addresses, and stay wherever they stand alone. They are those
that two or more of the recorded logs of tests/data/engine-output have, and what systems call users and directories.
"""

from __future__ import annotations

COMMON = frozenset(
    (
        "abort active adapters add added address admin administrator alibi aligned all alloc allocate amd amx and any "
        "apache apple apply arch architecture archs are arm arr assigned asymmetric async attach attempted attention "
        "attn auto automatically autoregressive available avg avx backend backends base basename batch bench "
        "benchmark bias bin bits blas blk block bmi bool bos bpe bpw breakdown buffer buffers buft bug bugs build "
        "builder built bytes cache cached calculating call callback can capability capacity case causal cell cells "
        "changes check checks chunk chunked chunks clamp client cmn comb commit common compilation compiled complete "
        "compute computing constructing consult context conv copies cor count cpp cpu crashed create creating ctk ctx "
        "cuda darwin data debian decode deepseek default defined delta demo depth description dest dev device devices "
        "different dimension direct disable divergence docs done down draft driver dumping during embd embedding "
        "embeddings empty enabled enabling encode end endoftext enumerating eog eos eot eps epsilon epyc error "
        "estimate eta eval expectation expert experts ext failed false fancy fedora feed ffn file filename files "
        "filtered fim final finetune finetuned first fit fitting flash fma for fork format forward found free freq "
        "freqs from ftype full fused gallocr gate gated gcc gemma gen general generation get getting ggml gguf gib "
        "gpt gpu gqa graph graphs group grouped groups guessed hadam has have head hip home host html http https ids "
        "idxs ignored impl inf info information init initial initialize initialized initializing inner inp input "
        "instruct instructions insufficient int intel iswa json kcur kernel key keys kld kqv kvsweep label languages "
        "last latest layer layers lazy leave length less lib license line linear lines linux llama llamafile llm load "
        "loaded loader loading local localhost log logit logits logs lora mac macos main malloc mapped margin mask "
        "mat matches matmul matrices max maximum mean measured measuring media median medium memory meta metadata "
        "metal mib min minimum minutes mit mix mmad mmap mnt mode model models module moe mul multiple name names nan "
        "needed needs neon net nil node nodes non none norm not note null number numbers nvidia objects occurs off "
        "offline offload offloaded offloading one only openmp ops opt option organization orig out output outputs "
        "over overflow overrides pad padding pairs parameter parameters params pass password pattern peer per perf "
        "perplexity piece please poll pooling pos possible post ppl pre prefill prefix prepare print printing private "
        "probability processor projected prompt provide ptrs qcur qkv quant quantization quantize quantized quants "
        "range rank read readme realloc reallocating reason reduce remove removed rep repack repeating reproduce "
        "request required reserve reserving reshaped resolve resolving resources response result results reuse reused "
        "rms rocm root rope rot rotation round rounds rows run runner runs rwkv safety same sample samples saving "
        "scale scaling sched scheduling scores scratch second seconds secret see seed self seq seqs ser server set "
        "simd size sizes skipped slot slots space special speculative split splits spm sse ssm ssse start starting "
        "state statistics status stddev step str strict successfully support sve swa sycl synthetic system take "
        "target tensor tensors test tester text that the them this threadpool threads time timeout timings tiny tmp "
        "token tokenization tokenizer tokenizing tokens took top total train training true try turbo turboquant turn "
        "type types ubatch ubuntu unaccounted unified unit units unk unknown unsupported unused usable use used user "
        "users using usr utilized value values var vbmi verbose version view vmm vnni vocab vram vsx vulkan wait "
        "warming warmup warning was wasm weight while will windows with without work worst xeon yarn yes "
    ).split()
)
