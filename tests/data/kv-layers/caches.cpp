// What llama.cpp itself would keep for a header: loads the hyperparameters of GGUF files without tensors and makes their
// caches, which allocates nothing. Built against src/ and libllama.a of one build (b11434), run as: caches 65536 FILE ...
#include "ggml-backend.h"
#include "llama-cparams.h"
#include "llama-memory.h"
#include "llama-model-loader.h"
#include "llama-model.h"
#include "llama.h"

#include <cstdio>
#include <cstring>
#include <string>
#include <vector>

static void print_sizes(ggml_log_level level, const char * text, void *) {
    if (level >= GGML_LOG_LEVEL_WARN || strstr(text, "size = ")) {
        fputs(text, stdout);
    }
}

int main(int argc, char ** argv) {
    llama_backend_init();
    llama_log_set(print_sizes, nullptr);
    for (int i = 2; i < argc; ++i) {
        printf("=== %s\n", argv[i]);
        try {
            llama_model_params params = llama_model_default_params();
            std::vector<std::string> splits;
            llama_model_loader loader(nullptr, nullptr, nullptr, argv[i], splits, nullptr, params.load_mode, false, true,
                                      params.load_mtp, nullptr, nullptr);
            auto * model = dynamic_cast<llama_model_base *>(llama_model_create(loader, params));
            model->hparams.no_alloc = true;
            model->load_hparams(loader);
            llama_cparams context{};
            context.n_ctx = context.n_ctx_seq = atoi(argv[1]);
            context.n_batch    = 2048;
            context.n_ubatch   = 512;
            context.n_seq_max  = 1;
            context.flash_attn = true;
            llama_memory_params memory{};
            memory.type_k   = GGML_TYPE_F16;
            memory.type_v   = GGML_TYPE_F16;
            memory.ctx_type = LLAMA_CONTEXT_TYPE_DEFAULT;
            model->create_memory(memory, context);
            printf("n_swa %u\n", model->hparams.n_swa);
        } catch (const std::exception & error) {
            printf("refused: %s\n", error.what());
        }
        fflush(stdout);
    }
}
