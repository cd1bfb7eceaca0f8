// The files of records: one for each pair and window, there when it is complete.
#pragma once

#include "divergence.h"
#include "options.h"

#include "llama.h"

#include <filesystem>
#include <vector>

struct Header {
    char     magic[8] = {'k', 'v', 's', 'c', 'o', 'r', 'e', '1'};
    uint32_t window = 0;
    uint32_t n_ctx = 0;
    uint32_t n_scores = 0;
    uint32_t score_bytes = sizeof(Score);
    uint64_t tokens_hash = 0; // FNV-1a of the window's token ids
};

uint64_t hash_of(const std::vector<llama_token> & tokens);

std::filesystem::path file_of(const Options & options, const Pair & pair, int window);

bool is_there(const std::filesystem::path & path, const Header & wanted);

// Under another name first: a file of this name is whole, whenever the program is killed.
void write_whole(const std::filesystem::path & path, const Header & header, const std::vector<Score> & scores);
