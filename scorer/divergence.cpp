// Loops over the vocabulary, written so that every compiler vectorizes them: no branches, no calls, sums in short
// blocks of floats that are added up as doubles.
#include "divergence.h"

#include <algorithm>
#include <cmath>
#include <cstring>

namespace {

constexpr size_t BLOCK = 1024;

// For |x| < 2^21, from the low bits of x + 1.5 * 2^23: no call, and nothing that -ffast-math could simplify.
inline int32_t nearest_whole(float x) {
    const float shifted = x + 12582912.0f;
    int32_t bits;
    std::memcpy(&bits, &shifted, sizeof bits);
    return bits - 0x4b400000;
}

// exp(x) for x <= 0, relative error below 2e-7; 0 below -87. exp(x) = 2^n exp(r), |r| <= ln(2)/2 (Cephes' expf).
inline float exp_of_negative(float x) {
    const float clipped = std::max(x, -87.0f);
    const int32_t whole = nearest_whole(clipped * 1.44269504f);
    const float n = static_cast<float>(whole);
    const float r = (clipped - n * 0.693359375f) + n * 2.12194440e-4f;
    float y = 1.9875691500e-4f;
    y = y * r + 1.3981999507e-3f;
    y = y * r + 8.3334519073e-3f;
    y = y * r + 4.1665795894e-2f;
    y = y * r + 1.6666665459e-1f;
    y = y * r + 5.0000001201e-1f;
    y = y * r * r + r + 1.0f;
    const int32_t bits = (whole + 127) << 23;
    float power;
    std::memcpy(&power, &bits, sizeof power);
    return x < -87.0f ? 0.0f : y * power;
}

// exp(d) - 1 - d without cancellation, for |d| <= 0.5.
inline float second_order(float d) {
    float y = 1.0f / 40320.0f;
    y = y * d + 1.0f / 5040.0f;
    y = y * d + 1.0f / 720.0f;
    y = y * d + 1.0f / 120.0f;
    y = y * d + 1.0f / 24.0f;
    y = y * d + 1.0f / 6.0f;
    y = y * d + 0.5f;
    return y * d * d;
}

// -ffast-math takes every number for finite; the bits do not lie.
inline uint32_t not_finite(float x) {
    uint32_t bits;
    std::memcpy(&bits, &x, sizeof bits);
    return (bits & 0x7f800000u) == 0x7f800000u;
}

double log_likelihood(const float * logits, const Row & row, int32_t token) {
    return static_cast<double>(logits[token]) - row.max - row.log_sum;
}

Score filled(const float * pair, const Row & of_base, const Row & of_pair, int32_t position, int32_t token,
             double log_p_base, double kld, bool same_top) {
    const double log_p = log_likelihood(pair, of_pair, token);
    Score score;
    score.position     = position;
    score.token        = token;
    score.nll_base     = static_cast<float>(-log_p_base);
    score.nll          = static_cast<float>(-log_p);
    score.kld          = static_cast<float>(kld);
    score.delta_p      = static_cast<float>(std::exp(log_p) - std::exp(log_p_base));
    score.entropy_base = static_cast<float>(of_base.entropy);
    score.same_top     = same_top;
    return score;
}

} // namespace

Row describe(const float * logits, size_t n_vocab, bool with_entropy) {
    Row row {logits[0], 0.0, 0.0, 0, true};
    uint32_t bad = 0;
    size_t of_max = 0; // the first block that has it
    for (size_t start = 0; start < n_vocab; start += BLOCK) {
        const size_t end = std::min(start + BLOCK, n_vocab);
        float max = logits[start];
        for (size_t i = start; i < end; ++i) {
            max = std::max(max, logits[i]);
            bad |= not_finite(logits[i]);
        }
        if (max > row.max) {
            row.max = max;
            of_max = start;
        }
    }
    row.finite = bad == 0;
    if (!row.finite) {
        return row;
    }
    row.top = static_cast<int>(std::find(logits + of_max, logits + n_vocab, row.max) - logits);
    double sum = 0.0, weighted = 0.0;
    for (size_t start = 0; start < n_vocab; start += BLOCK) {
        const size_t end = std::min(start + BLOCK, n_vocab);
        float s = 0.0f, w = 0.0f;
        if (with_entropy) {
            for (size_t i = start; i < end; ++i) {
                const float x = logits[i] - row.max;
                const float e = exp_of_negative(x);
                s += e;
                w += e * x;
            }
        } else {
            for (size_t i = start; i < end; ++i) {
                s += exp_of_negative(logits[i] - row.max);
            }
        }
        sum += s;
        weighted += w;
    }
    row.log_sum = std::log(sum);
    row.entropy = row.log_sum - weighted / sum;
    return row;
}

// KL = sum p (log p - log q). As the q sum to one this is sum p (exp(d) - 1 - d) with d = log q - log p: no term is
// negative, none cancels another, and an error of the two normalizations has no effect in first order. Written out for
// large |d|: q - p - p d.
Score compare(const float * base, const Row & of_base, const float * pair, const Row & of_pair, size_t n_vocab,
              int32_t position, int32_t token) {
    const float shift_p = static_cast<float>(of_base.log_sum);
    const float shift_q = static_cast<float>(of_pair.log_sum);
    const float shift_d = static_cast<float>((of_base.max + of_base.log_sum) - (of_pair.max + of_pair.log_sum));
    const float max_p = of_base.max, max_q = of_pair.max;
    double kld = 0.0;
    for (size_t start = 0; start < n_vocab; start += BLOCK) {
        const size_t end = std::min(start + BLOCK, n_vocab);
        float sum = 0.0f;
        for (size_t i = start; i < end; ++i) {
            const float p = exp_of_negative((base[i] - max_p) - shift_p);
            const float q = exp_of_negative((pair[i] - max_q) - shift_q);
            const float d = (pair[i] - base[i]) + shift_d;
            const float near = p * second_order(std::min(std::max(d, -0.5f), 0.5f));
            const float far = q - p - p * d;
            sum += std::fabs(d) <= 0.5f ? near : far;
        }
        kld += sum;
    }
    return filled(pair, of_base, of_pair, position, token, log_likelihood(base, of_base, token), kld,
                  of_base.top == of_pair.top);
}

// tools/perplexity/perplexity.cpp: log_softmax writes 16 bits a log-probability, clipped at 16 below the largest; the
// second run takes the sum over those above -16.
Score compare_rounded(const float * base, const Row & of_base, const float * pair, const Row & of_pair, size_t n_vocab,
                      int32_t position, int32_t token, float * buffer) {
    float lowest = base[0];
    for (size_t i = 0; i < n_vocab; ++i) {
        lowest = std::min(lowest, base[i]);
    }
    lowest = std::max(lowest, of_base.max - 16.0f);
    const float log_sum = static_cast<float>(of_base.log_sum);
    const float lowest_log_p = lowest - of_base.max - log_sum;
    const float scale = (of_base.max - lowest) / 65535.0f;
    const float inverse = scale > 0.0f ? 1.0f / scale : 0.0f;
    for (size_t i = 0; i < n_vocab; ++i) {
        const float step = static_cast<float>(nearest_whole(std::max(base[i] - lowest, 0.0f) * inverse));
        buffer[i] = scale * step + lowest_log_p;
    }
    const float log_q_shift = of_pair.max + static_cast<float>(of_pair.log_sum);
    double kld = 0.0;
    size_t top = 0;
    for (size_t i = 0; i < n_vocab; ++i) {
        top = buffer[i] > buffer[top] ? i : top;
        if (buffer[i] > -16.0f) {
            kld += exp_of_negative(buffer[i]) * (buffer[i] - pair[i] + log_q_shift);
        }
    }
    return filled(pair, of_base, of_pair, position, token, buffer[token], kld, static_cast<int>(top) == of_pair.top);
}
