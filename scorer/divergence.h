// The divergence of one token: f16's distribution against a pair's, from their logits over the whole vocabulary.
#pragma once

#include <cstddef>
#include <cstdint>

// What is known of one row of logits without the other.
struct Row {
    float  max;             // largest logit
    double log_sum;         // log of the sum of exp(logit - max)
    double entropy;         // nats
    int    top;             // index of the largest logit
    bool   finite;          // no nan, no infinity among the logits
};

// A scored token, as it is written: 32 bytes, little endian.
struct Score {
    int32_t position;       // in the window: the token before the predicted one, counted from 0
    int32_t token;          // the predicted token
    float   nll_base;       // negative log-likelihood under f16, nats
    float   nll;            // the same under the pair
    float   kld;            // KL divergence of the pair's distribution from f16's, nats
    float   delta_p;        // change of the token's probability, pair less f16
    float   entropy_base;   // of f16's distribution, nats
    uint32_t same_top;      // 1 where the most likely token is the same
};
static_assert(sizeof(Score) == 32, "the file's format");

Row   describe(const float * logits, size_t n_vocab, bool with_entropy);
Score compare(const float * base, const Row & of_base, const float * pair, const Row & of_pair, size_t n_vocab,
              int32_t position, int32_t token);

// The same after rounding f16's log-probabilities as llama-perplexity's file of them does; buffer: n_vocab numbers.
Score compare_rounded(const float * base, const Row & of_base, const float * pair, const Row & of_pair, size_t n_vocab,
                      int32_t position, int32_t token, float * buffer);
