// A context of the engine: one pair's cache, and whether it still takes part.
#pragma once

#include "options.h"

#include "llama.h"

#include <string>
#include <utility>

struct Context {
    Pair pair;
    llama_context * llama = nullptr;
    std::string trouble; // why it takes no part any more; empty where it does

    explicit Context(Pair which) : pair(std::move(which)) {}
    Context(const Context &) = delete;
    Context(Context && other) noexcept
        : pair(std::move(other.pair)), llama(other.llama), trouble(std::move(other.trouble)) {
        other.llama = nullptr;
    }
    ~Context() { release(); }

    void release();
    // Leaves the pair out from here on.
    void drop(const std::string & why);
};

// Makes the engine's context, of `what` ("base" or "pair"); one that cannot be made is dropped.
void create(Context & context, const char * what, llama_model * model, const Options & options, int most_outputs);

// What this engine's llama.h offers, in JSON.
extern const char FEATURES[];
