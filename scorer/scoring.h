// Windows, scored in all pairs beside f16.
#pragma once

#include "context.h"
#include "divergence.h"
#include "options.h"
#include "positions.h"

#include "llama.h"

#include <cstddef>
#include <vector>

class Scorer {
public:
    Scorer(const Options & options, const llama_model * model);
    Scorer(const Scorer &) = delete;
    ~Scorer() { llama_batch_free(batch_); }

    int n_scored() const { return n_scored_; }
    // Rows of logits that a context needs.
    int most_outputs() const;

    // Scores a window in all of `pairs`, and drops those that fail. False where nothing can be compared any more.
    bool window(int index, std::vector<llama_token> tokens, Context & base, const std::vector<Context *> & all);

private:
    const Options & options_;
    const llama_vocab * vocab_;
    const size_t n_vocab_;
    const std::vector<bool> scored_;
    const int n_scored_;
    const std::vector<Piece> pieces_;
    llama_batch batch_;
    std::vector<Row> base_rows_, pair_rows_;
    double compare_seconds_ = 0; // of this window

    bool score(const Piece & piece, const std::vector<llama_token> & tokens, Context & base,
               const std::vector<Context *> & pairs, std::vector<std::vector<Score>> & scores, size_t done);
    bool decode(Context & context, const std::vector<llama_token> & tokens, const Piece & piece);
    bool describe_rows(Context & context, int n, bool with_entropy, std::vector<Row> & rows);
    void compare_rows(const Context & base, const Context & pair, const std::vector<llama_token> & tokens,
                      const Piece & piece, Score * scores);
    void report(int window, const Pair & pair, const std::vector<Score> & scores, double seconds, size_t beside) const;
};
