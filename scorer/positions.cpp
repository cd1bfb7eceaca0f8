#include "positions.h"

#include "messages.h"

#include <algorithm>

namespace {

// In a long window the logits shall not be what memory is needed for: a sixteenth of the model at most, where it is small
// 32 MiB. Short windows are decoded in whole batches.
constexpr int      LONG_WINDOW = 8192;
constexpr uint64_t LEAST_LOGIT_BYTES = 32u << 20;

// Below 64 tokens a batch, a CPU attends to f16 by other, coarser arithmetic (ggml_compute_forward_flash_attn_ext: tiles
// of 64 queries, sums in 32 bits; without them in 16), which is no error of a pair: q8_0's divergence was 14 % too large.
constexpr int TILE = 64;

} // namespace

std::vector<bool> scored_positions(const Options & options) {
    const int last = options.n_ctx - 1;
    std::vector<bool> scored(options.n_ctx, false);
    if (options.blocks == 0) {
        // As llama-perplexity: the first half is there to be looked back at.
        std::fill(scored.begin() + options.n_ctx / 2, scored.begin() + last, true);
        return scored;
    }
    if (static_cast<long>(options.blocks) * options.block_tokens > last) {
        fail("--positions: %d blocks of %d tokens are more than the %d predictions of a window", options.blocks,
             options.block_tokens, last);
    }
    for (int block = 1; block <= options.blocks; ++block) {
        const int end = static_cast<int>(static_cast<long>(last) * block / options.blocks);
        std::fill(scored.begin() + (end - options.block_tokens), scored.begin() + end, true);
    }
    return scored;
}

int most_rows(const Options & options, uint64_t model_bytes, size_t n_vocab) {
    if (options.rows > 0) {
        return std::min(options.rows, options.n_batch);
    }
    if (options.n_ctx <= LONG_WINDOW) {
        return options.n_batch;
    }
    const uint64_t bytes = std::max<uint64_t>(LEAST_LOGIT_BYTES, model_bytes / 16);
    const int fit = static_cast<int>(std::min<uint64_t>(bytes / (n_vocab * sizeof(float)), options.n_batch));
    return std::min(std::max(fit - fit % TILE, TILE), options.n_batch);
}

std::vector<Piece> pieces_of(const std::vector<bool> & scored, int n_batch, int most_rows) {
    std::vector<Piece> pieces;
    Piece piece;
    for (const bool one : scored) {
        if (piece.tokens == n_batch || (one && piece.outputs == most_rows)) {
            pieces.push_back(piece);
            piece = Piece {piece.first + piece.tokens, 0, 0};
        }
        ++piece.tokens;
        piece.outputs += one;
    }
    pieces.push_back(piece);
    return pieces;
}
