// Divergence of cache type pairs from f16, token by token, at any depth: windows of a text are decoded in an f16 context
// and in one context for each pair, micro-batch by micro-batch, and of each scored token a few numbers are kept. Memory
// is the caches, the compute buffers, and a micro-batch of logits for each context, however long a window is.
//
// stdout: one JSON object a line. stderr: the engine's own log, each context between two lines of this program's.
// DIR/k-K/v-V/wNNNNN.scores: the records of one pair and window, there when they are complete. See scorer/README.md.
#include "context.h"
#include "messages.h"
#include "options.h"
#include "scoring.h"
#include "text.h"

#include "ggml-backend.h"
#include "llama.h"

#include <cstdio>
#include <cstring>
#include <exception>
#include <string>
#include <vector>

namespace {

std::string in_json(const std::string & text) {
    std::string quoted = "\"";
    for (const char c : text) {
        if (c == '"' || c == '\\') {
            quoted += '\\';
        }
        quoted += static_cast<unsigned char>(c) < 0x20 ? ' ' : c;
    }
    return quoted + "\"";
}

int run(const Options & options) {
#ifdef KVSWEEP_HAS_BACKEND_LOAD_ALL
    ggml_backend_load_all();
#endif
    llama_backend_init();
    llama_model_params model_params = llama_model_default_params();
    model_params.n_gpu_layers = options.n_gpu_layers;
    llama_model * model = llama_model_load_from_file(options.model.c_str(), model_params);
    if (model == nullptr) {
        fail("failed to load model '%s'", options.model.c_str());
    }
    const llama_vocab * vocab = llama_model_get_vocab(model);
    std::vector<llama_token> tokens = tokens_of(options.text, vocab);
    const size_t n_tokens = tokens.size();
    const long needed = static_cast<long>(options.windows) * options.n_ctx;
    if (static_cast<long>(n_tokens) < needed) {
        fail("you need at least %ld tokens for %d windows of %d tokens; the text tokenizes to only %zu tokens", needed,
             options.windows, options.n_ctx, n_tokens);
    }
    tokens.resize(needed); // a long text's are more than what a window of a small model takes
    tokens.shrink_to_fit();
    Scorer scorer(options, model);
    printf("{\"scorer\": 1, \"features\": %s, \"n_ctx\": %d, \"windows\": %d, \"positions\": %s, \"scored\": %d, "
           "\"n_vocab\": %d, \"n_tokens\": %zu, \"add_bos\": %s, \"n_batch\": %d, \"n_ubatch\": %d, \"most_outputs\": %d, \"threads\": %d, "
           "\"n_ctx_train\": %d, \"rounded_base\": %s}\n",
           FEATURES, options.n_ctx, options.windows,
           in_json(options.positions()).c_str(),
           scorer.n_scored(), llama_vocab_n_tokens(vocab), n_tokens, llama_vocab_get_add_bos(vocab) ? "true" : "false",
           options.n_batch, options.n_ubatch, scorer.most_outputs(), options.threads, llama_model_n_ctx_train(model),
           options.round_base ? "true" : "false");
    fflush(stdout);

    // The first pair's context comes first: some engines decide by the first cache of a process what all others are.
    std::vector<Context> pairs;
    for (const Pair & pair : options.pairs) {
        pairs.emplace_back(pair);
    }
    Context base(Pair {"f16", "f16"});
    create(pairs[0], "pair", model, options, scorer.most_outputs());
    create(base, "base", model, options, scorer.most_outputs());
    if (base.llama == nullptr) {
        fail("the f16 context could not be created");
    }
    for (size_t p = 1; p < pairs.size(); ++p) {
        create(pairs[p], "pair", model, options, scorer.most_outputs());
    }
    std::vector<Context *> all;
    for (Context & pair : pairs) {
        all.push_back(&pair);
    }
    for (int window = 0; window < options.windows; ++window) {
        const auto start = tokens.begin() + static_cast<long>(window) * options.n_ctx;
        if (!scorer.window(window, std::vector<llama_token>(start, start + options.n_ctx), base, all)) {
            if (base.llama == nullptr) {
                fail("the f16 pass failed: %s", base.trouble.c_str());
            }
            break;
        }
    }
    int failed = 0;
    for (const Context & pair : pairs) {
        printf("{\"pair\": %s, \"end\": %s}\n", in_json(pair.pair.name()).c_str(),
               pair.trouble.empty() ? "\"complete\"" : in_json(pair.trouble).c_str());
        failed += !pair.trouble.empty();
    }
    fflush(stdout);
    pairs.clear();
    base.release();
    llama_model_free(model);
    llama_backend_free();
    return failed == 0 ? 0 : 3;
}

} // namespace

int main(int argc, char ** argv) {
    if (argc == 2 && strcmp(argv[1], "--features") == 0) {
        puts(FEATURES);
        return 0;
    }
    try {
        Options options;
        if (!parse(argc, argv, options)) {
            return 0;
        }
        return run(options);
    } catch (const std::exception & error) {
        fflush(stdout);
        say("error: %s", error.what());
        return 1;
    }
}
