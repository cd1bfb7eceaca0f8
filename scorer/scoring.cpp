#include "scoring.h"

#include "messages.h"
#include "records.h"
#include "threads.h"

#include <algorithm>
#include <chrono>
#include <cstdio>
#include <exception>
#include <string>

namespace {

double now() {
    return std::chrono::duration<double>(std::chrono::steady_clock::now().time_since_epoch()).count();
}

void forget(Context & context) {
    llama_memory_clear(llama_get_memory(context.llama), true);
}

} // namespace

Scorer::Scorer(const Options & options, const llama_model * model)
    : options_(options), vocab_(llama_model_get_vocab(model)), n_vocab_(llama_vocab_n_tokens(vocab_)),
      scored_(scored_positions(options)), n_scored_(static_cast<int>(std::count(scored_.begin(), scored_.end(), true))),
      pieces_(pieces_of(scored_, options.n_batch, most_rows(options, llama_model_size(model), n_vocab_))),
      batch_(llama_batch_init(options.n_batch, 0, 1)) {}

int Scorer::most_outputs() const {
    int most = 1;
    for (const Piece & piece : pieces_) {
        most = std::max(most, piece.outputs);
    }
    return most;
}

bool Scorer::window(int index, std::vector<llama_token> tokens, Context & base, const std::vector<Context *> & all) {
    Header header;
    header.window = index;
    header.n_ctx = options_.n_ctx;
    header.n_scores = n_scored_;
    header.tokens_hash = hash_of(tokens);
    std::vector<Context *> pairs;
    for (Context * pair : all) {
        if (pair->llama != nullptr && !is_there(file_of(options_, pair->pair, index), header)) {
            pairs.push_back(pair);
        }
    }
    if (pairs.empty()) {
        return true;
    }
    const double start = now();
    compare_seconds_ = 0;
    std::vector<std::vector<Score>> scores(pairs.size(), std::vector<Score>(n_scored_));
    if (llama_vocab_get_add_bos(vocab_)) {
        tokens[0] = llama_vocab_bos(vocab_); // as llama-perplexity begins every window
    }
    forget(base);
    for (Context * pair : pairs) {
        forget(*pair);
    }
    size_t done = 0;
    for (const Piece & piece : pieces_) {
        if (!score(piece, tokens, base, pairs, scores, done)) {
            return false;
        }
        done += piece.outputs;
    }
    bool left = false;
    for (size_t p = 0; p < pairs.size(); ++p) {
        if (pairs[p]->llama != nullptr) {
            left = true;
            write_whole(file_of(options_, pairs[p]->pair, index), header, scores[p]);
            report(index, pairs[p]->pair, scores[p], now() - start, pairs.size());
        }
    }
    return left;
}

// Decoding returns before a device is done, and asking for logits waits: so a pair is decoded before the one ahead of
// it is compared.
bool Scorer::score(const Piece & piece, const std::vector<llama_token> & tokens, Context & base,
                   const std::vector<Context *> & pairs, std::vector<std::vector<Score>> & scores, size_t done) {
    if (!decode(base, tokens, piece)) {
        return false;
    }
    const auto decode_next = [&](size_t p) {
        while (p < pairs.size() && (pairs[p]->llama == nullptr || !decode(*pairs[p], tokens, piece))) {
            ++p;
        }
        return p;
    };
    size_t p = decode_next(0);
    if (!describe_rows(base, piece.outputs, true, base_rows_)) {
        return false;
    }
    while (p < pairs.size()) {
        const size_t next = decode_next(p + 1);
        if (describe_rows(*pairs[p], piece.outputs, false, pair_rows_)) {
            compare_rows(base, *pairs[p], tokens, piece, scores[p].data() + done);
        }
        p = next;
    }
    return true;
}

bool Scorer::decode(Context & context, const std::vector<llama_token> & tokens, const Piece & piece) {
    batch_.n_tokens = piece.tokens;
    for (int i = 0; i < piece.tokens; ++i) {
        batch_.token[i] = tokens[piece.first + i];
        batch_.pos[i] = piece.first + i;
        batch_.n_seq_id[i] = 1;
        batch_.seq_id[i][0] = 0;
        batch_.logits[i] = scored_[piece.first + i];
    }
    int status = 0;
    std::string what;
    try {
        status = llama_decode(context.llama, batch_);
    } catch (const std::exception & error) {
        status = -1;
        what = std::string(": ") + error.what();
    }
    if (status != 0) {
        context.drop("decoding at position " + std::to_string(piece.first) + " failed with status " +
                     std::to_string(status) + what);
    }
    return status == 0;
}

// Drops the context, and says false, where a row is not finite.
bool Scorer::describe_rows(Context & context, int n, bool with_entropy, std::vector<Row> & rows) {
    rows.resize(n);
    if (n == 0) {
        return true;
    }
    const float * logits = llama_get_logits(context.llama); // rows in the order of the batch's outputs
    const double start = now();
    in_parallel(n, options_.threads, [&](int i) { rows[i] = describe(logits + i * n_vocab_, n_vocab_, with_entropy); });
    compare_seconds_ += now() - start;
    if (!std::all_of(rows.begin(), rows.end(), [](const Row & row) { return row.finite; })) {
        context.drop("the logits are not finite");
        return false;
    }
    return true;
}

void Scorer::compare_rows(const Context & base, const Context & pair, const std::vector<llama_token> & tokens,
                          const Piece & piece, Score * scores) {
    std::vector<int> positions;
    for (int i = piece.first; i < piece.first + piece.tokens; ++i) {
        if (scored_[i]) {
            positions.push_back(i);
        }
    }
    if (positions.empty()) {
        return;
    }
    const float * of_base = llama_get_logits(base.llama);
    const float * of_pair = llama_get_logits(pair.llama);
    const double start = now();
    in_parallel(piece.outputs, options_.threads, [&](int i) {
        const float * p = of_base + i * n_vocab_;
        const float * q = of_pair + i * n_vocab_;
        const int token = tokens[positions[i] + 1];
        if (options_.round_base) {
            std::vector<float> buffer(n_vocab_);
            scores[i] = compare_rounded(p, base_rows_[i], q, pair_rows_[i], n_vocab_, positions[i], token, buffer.data());
        } else {
            scores[i] = compare(p, base_rows_[i], q, pair_rows_[i], n_vocab_, positions[i], token);
        }
    });
    compare_seconds_ += now() - start;
}

// Times are of the window in all its pairs; what is not comparing is decoding, and waiting for a device.
void Scorer::report(int window, const Pair & pair, const std::vector<Score> & scores, double seconds, size_t beside) const {
    double nll_base = 0, nll = 0, kld = 0;
    long same_top = 0;
    for (const Score & score : scores) {
        nll_base += score.nll_base;
        nll += score.nll;
        kld += score.kld;
        same_top += score.same_top;
    }
    const double n = static_cast<double>(scores.size());
    printf("{\"window\": %d, \"pair\": \"%s\", \"scored\": %zu, \"kld_mean\": %.9g, \"nll_base_mean\": %.9g, "
           "\"nll_mean\": %.9g, \"same_top\": %ld, \"window_seconds\": %.3f, \"compare_seconds\": %.3f, "
           "\"pairs_in_window\": %zu}\n",
           window, pair.name().c_str(), scores.size(), kld / n, nll_base / n, nll / n, same_top, seconds,
           compare_seconds_, beside);
    fflush(stdout);
}
