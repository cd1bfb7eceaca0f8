#include "context.h"

#include "messages.h"

#include <exception>

namespace {

ggml_type cache_type(const std::string & name) {
    for (int type = 0; type < GGML_TYPE_COUNT; ++type) {
        const char * found = ggml_type_name(static_cast<ggml_type>(type));
        if (found != nullptr && name == found) {
            return static_cast<ggml_type>(type);
        }
    }
    fail("Unsupported cache type: %s", name.c_str());
}

} // namespace

void Context::release() {
    if (llama != nullptr) {
        llama_synchronize(llama); // a device may still be at work on it
        llama_free(llama);
        llama = nullptr;
    }
}

void Context::drop(const std::string & why) {
    trouble = why;
    release();
    say("pair %s: %s", pair.name().c_str(), why.c_str());
}

// kvsweep cuts the engine's log at these lines: what lies between is of this context alone.
void create(Context & context, const char * what, llama_model * model, const Options & options, int most_outputs) {
    say("context of %s %s", what, context.pair.name().c_str());
    llama_context_params params = llama_context_default_params();
    params.n_ctx = options.n_ctx;
    params.n_batch = options.n_batch;
    params.n_ubatch = options.n_ubatch;
    params.n_seq_max = 1;
    params.n_threads = params.n_threads_batch = options.threads;
    params.no_perf = true;
#ifdef KVSWEEP_HAS_FLASH_ATTN_TYPE
    params.flash_attn_type = LLAMA_FLASH_ATTN_TYPE_ENABLED;
#else
    params.flash_attn = true;
#endif
#ifdef KVSWEEP_HAS_SWA_FULL
    params.swa_full = false; // as llama.cpp's tools do
#endif
#ifdef KVSWEEP_HAS_N_OUTPUTS_MAX
    params.n_outputs_max = most_outputs;
#else
    (void) most_outputs;
#endif
    std::string why = "no context";
    try {
        params.type_k = cache_type(context.pair.k);
        params.type_v = cache_type(context.pair.v);
        context.llama = llama_init_from_model(model, params);
    } catch (const std::exception & error) { // the engine's, too
        why = error.what();
    }
    if (context.llama == nullptr) {
        context.drop(why);
    }
    say("end of context");
}

const char FEATURES[] =
    "{\"flash_attn_type\": "
#ifdef KVSWEEP_HAS_FLASH_ATTN_TYPE
    "true"
#else
    "false"
#endif
    ", \"swa_full\": "
#ifdef KVSWEEP_HAS_SWA_FULL
    "true"
#else
    "false"
#endif
    ", \"n_outputs_max\": "
#ifdef KVSWEEP_HAS_N_OUTPUTS_MAX
    "true"
#else
    "false"
#endif
    "}";
