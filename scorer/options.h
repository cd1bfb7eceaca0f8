// What is asked for.
#pragma once

#include <string>
#include <vector>

struct Pair {
    std::string k, v;
    std::string name() const { return k + "/" + v; }
};

struct Options {
    std::string model, text, output;
    std::vector<Pair> pairs;
    int n_ctx = 0, windows = 0;
    int blocks = 0, block_tokens = 0; // no blocks: the second half
    int rows = 0;                     // 0: as many as most_rows says
    int n_batch = 512, n_ubatch = 512, n_gpu_layers = 99, threads = 0;
    bool round_base = false;

    std::string positions() const {
        return blocks == 0 ? "half" : std::to_string(blocks) + "x" + std::to_string(block_tokens);
    }
};

// False where nothing is to be run. Raises Failure where the options say no run.
bool parse(int argc, char ** argv, Options & options);
