#include "options.h"

#include "messages.h"
#include "threads.h"

#include <algorithm>
#include <cerrno>
#include <cstdio>
#include <cstdlib>
#include <utility>

namespace {

std::vector<std::string> split(const std::string & text, char separator) {
    std::vector<std::string> parts;
    size_t start = 0;
    while (true) {
        const size_t end = text.find(separator, start);
        parts.push_back(text.substr(start, end - start));
        if (end == std::string::npos) {
            return parts;
        }
        start = end + 1;
    }
}

int number(const std::string & option, const std::string & text, int least) {
    char * end = nullptr;
    errno = 0;
    const long value = strtol(text.c_str(), &end, 10);
    if (errno != 0 || text.empty() || *end != '\0' || value < least || value > 1 << 30) {
        fail("%s: expected a whole number from %d on, found '%s'", option.c_str(), least, text.c_str());
    }
    return static_cast<int>(value);
}

Pair parse_pair(const std::string & text) {
    const auto sides = split(text, '/');
    if (sides.size() > 2 || sides[0].empty() || sides.back().empty()) {
        fail("--pairs: '%s' is no pair; write K/V, or one type for both", text.c_str());
    }
    return {sides[0], sides.back()};
}

const char USAGE[] =
    "usage: kvsweep-scorer -m MODEL -f TEXT -c TOKENS --windows N --pairs K/V,K/V,... --output DIR\n"
    "  -c TOKENS             length of a window\n"
    "  --windows N           windows of the text, from its start\n"
    "  --pairs LIST          cache types, each compared with f16/f16\n"
    "  --positions half | BxN   score the second half of each window, or B blocks of N tokens spread over it (half)\n"
    "  --output DIR          where the records go; a window that is there is not decoded again\n"
    "  -b, -ub N             batch and micro-batch, tokens (512)\n"
    "  --rows N              most tokens scored in one call: rows of logits in memory, for each context 64 or more (a batch; of\n"
    "                        windows beyond 8192 tokens what fits into a sixteenth of the model's size, 32 MiB at least)\n"
    "  -ngl N                layers on the device (99)\n"
    "  -t N                  threads (the physical cores)\n"
    "  --round-base          round f16's log-probabilities as llama-perplexity's file of them does\n"
    "  --features            print what this engine's llama.h offers, and end\n";


} // namespace

bool parse(int argc, char ** argv, Options & options) {
    for (int i = 1; i < argc; ++i) {
        const std::string option = argv[i];
        if (option == "-h" || option == "--help") {
            fputs(USAGE, stdout);
            return false;
        }
        if (option == "--round-base") {
            options.round_base = true;
            continue;
        }
        if (i + 1 == argc) {
            fail("%s: unknown, or its value is missing; see --help", option.c_str());
        }
        const std::string value = argv[++i];
        if (option == "-m") { options.model = value; }
        else if (option == "-f") { options.text = value; }
        else if (option == "--output") { options.output = value; }
        else if (option == "-c") { options.n_ctx = number(option, value, 4); }
        else if (option == "--windows") { options.windows = number(option, value, 1); }
        else if (option == "-b") { options.n_batch = number(option, value, 1); }
        else if (option == "-ub") { options.n_ubatch = number(option, value, 1); }
        else if (option == "-ngl") { options.n_gpu_layers = number(option, value, 0); }
        else if (option == "--rows") { options.rows = number(option, value, 1); }
        else if (option == "-t") { options.threads = number(option, value, 1); }
        else if (option == "--pairs") {
            for (const auto & text : split(value, ',')) {
                options.pairs.push_back(parse_pair(text));
            }
        } else if (option == "--positions") {
            if (value != "half") {
                const auto parts = split(value, 'x');
                if (parts.size() != 2) {
                    fail("--positions: expected 'half' or BLOCKSxTOKENS, found '%s'", value.c_str());
                }
                options.blocks = number(option, parts[0], 1);
                options.block_tokens = number(option, parts[1], 1);
            }
        } else {
            fail("%s: unknown option; see --help", option.c_str());
        }
    }
    for (const auto & [name, value] : {std::pair{"-m", &options.model}, {"-f", &options.text}, {"--output", &options.output}}) {
        if (value->empty()) {
            fail("%s is missing; see --help", name);
        }
    }
    if (options.n_ctx == 0 || options.windows == 0 || options.pairs.empty()) {
        fail("-c, --windows and --pairs are needed; see --help");
    }
    if (options.threads == 0) {
        options.threads = physical_cores();
    }
    options.n_ubatch = std::min(options.n_ubatch, options.n_batch);
    return true;
}
