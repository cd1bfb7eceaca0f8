// Which positions of a window are scored, and the pieces that it is decoded in.
#pragma once

#include "options.h"

#include <cstddef>
#include <cstdint>
#include <vector>

// Whether the prediction after each position of a window is scored. The last position predicts nothing of the window.
std::vector<bool> scored_positions(const Options & options);

// What one call decodes: a batch at most, and no more scored tokens than rows of logits are kept.
struct Piece {
    int first = 0, tokens = 0, outputs = 0;
};

// Rows of logits that are kept for a context.
int most_rows(const Options & options, uint64_t model_bytes, size_t n_vocab);

std::vector<Piece> pieces_of(const std::vector<bool> & scored, int n_batch, int most_rows);
