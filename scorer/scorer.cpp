// Divergence of cache type pairs from f16, token by token, at any depth: windows of a text are decoded in an f16 context
// and in one context for each pair, micro-batch by micro-batch, and of each scored token a few numbers are kept. Memory
// is the caches, the compute buffers, and a micro-batch of logits for each context, however long a window is.
//
// stdout: one JSON object a line. stderr: the engine's own log, each context between two lines of this program's.
// DIR/k-K/v-V/wNNNNN.scores: the records of one pair and window, there when they are complete. See scorer/README.md.
#include "divergence.h"

#include "ggml-backend.h"
#include "llama.h"

#include <algorithm>
#include <atomic>
#include <cerrno>
#include <chrono>
#include <cstdarg>
#include <cstdio>
#include <cstdlib>
#include <cstring>
#include <filesystem>
#include <fstream>
#include <iterator>
#include <set>
#include <stdexcept>
#include <string>
#include <thread>
#include <vector>

#ifdef __APPLE__
#include <sys/sysctl.h>
#endif

namespace fs = std::filesystem;

namespace {

struct Failure : std::runtime_error {
    using std::runtime_error::runtime_error;
};

[[noreturn]] void fail(const char * format, ...) {
    char text[1024];
    va_list arguments;
    va_start(arguments, format);
    vsnprintf(text, sizeof text, format, arguments);
    va_end(arguments);
    throw Failure(text);
}

double now() {
    return std::chrono::duration<double>(std::chrono::steady_clock::now().time_since_epoch()).count();
}

// -- what is asked for ------------------------------------------------------------------------------------------------

struct Pair {
    std::string k, v;
    std::string name() const { return k + "/" + v; }
};

struct Options {
    std::string model, text, output;
    std::vector<Pair> pairs;
    int n_ctx = 0, windows = 0, blocks = 0, block_tokens = 0;
    int n_batch = 512, n_ubatch = 512, n_gpu_layers = 99, threads = 0;
    bool round_base = false;
};

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
    "  -ngl N                layers on the device (99)\n"
    "  -t N                  threads (the physical cores)\n"
    "  --round-base          round f16's log-probabilities as llama-perplexity's file of them does\n"
    "  --features            print what this engine's llama.h offers, and end\n";

// False where nothing is to be run.
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
    options.n_ubatch = std::min(options.n_ubatch, options.n_batch);
    return true;
}

// Whether the prediction after each position of a window is scored. The last position predicts nothing of the window.
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

// -- what it runs on --------------------------------------------------------------------------------------------------

int physical_cores() {
#ifdef __APPLE__
    for (const char * name : {"hw.perflevel0.physicalcpu", "hw.physicalcpu"}) {
        int32_t n = 0;
        size_t size = sizeof n;
        if (sysctlbyname(name, &n, &size, nullptr, 0) == 0 && n > 0) {
            return n;
        }
    }
#else
    std::set<std::string> siblings; // one line for each core, the same for its hardware threads
    for (unsigned cpu = 0; cpu < std::thread::hardware_concurrency(); ++cpu) {
        std::ifstream file("/sys/devices/system/cpu/cpu" + std::to_string(cpu) + "/topology/thread_siblings");
        std::string line;
        if (std::getline(file, line)) {
            siblings.insert(line);
        }
    }
    if (!siblings.empty()) {
        return static_cast<int>(siblings.size());
    }
#endif
    const int n = static_cast<int>(std::thread::hardware_concurrency());
    return n > 0 ? n : 4;
}

ggml_type cache_type(const std::string & name) {
    for (int type = 0; type < GGML_TYPE_COUNT; ++type) {
        const char * found = ggml_type_name(static_cast<ggml_type>(type));
        if (found != nullptr && name == found) {
            return static_cast<ggml_type>(type);
        }
    }
    fail("Unsupported cache type: %s", name.c_str());
}

void say(const char * format, ...) {
    va_list arguments;
    va_start(arguments, format);
    fputs("kvsweep-scorer: ", stderr);
    vfprintf(stderr, format, arguments);
    fputc('\n', stderr);
    fflush(stderr);
    va_end(arguments);
}

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

    void release() {
        if (llama != nullptr) {
            llama_synchronize(llama); // a device may still be at work on it
            llama_free(llama);
            llama = nullptr;
        }
    }
    void drop(const std::string & why) {
        trouble = why;
        release();
        say("pair %s: %s", pair.name().c_str(), why.c_str());
    }
};

// kvsweep cuts the engine's log at these lines: what lies between is of this context alone.
void create(Context & context, const char * what, llama_model * model, const Options & options, int most_outputs) {
    say("context of %s %s", what, context.pair.name().c_str());
    llama_context_params params = llama_context_default_params();
    params.n_ctx = options.n_ctx;
    params.n_batch = options.n_batch;
    params.n_ubatch = options.n_ubatch;
    params.n_seq_max = 1;
    params.n_threads = params.n_threads_batch = options.threads;
    params.no_perf = true;
#ifdef KVSWEEP_HAS_FLASH_ATTN_TYPE
    params.flash_attn_type = LLAMA_FLASH_ATTN_TYPE_ENABLED;
#else
    params.flash_attn = true;
#endif
#ifdef KVSWEEP_HAS_SWA_FULL
    params.swa_full = false; // as llama.cpp's tools do
#endif
#ifdef KVSWEEP_HAS_N_OUTPUTS_MAX
    params.n_outputs_max = most_outputs;
#else
    (void) most_outputs;
#endif
    std::string why = "no context";
    try {
        params.type_k = cache_type(context.pair.k);
        params.type_v = cache_type(context.pair.v);
        context.llama = llama_init_from_model(model, params);
    } catch (const std::exception & error) { // the engine's, too
        why = error.what();
    }
    if (context.llama == nullptr) {
        context.drop(why);
    }
    say("end of context");
}

// -- files ------------------------------------------------------------------------------------------------------------

struct Header {
    char     magic[8] = {'k', 'v', 's', 'c', 'o', 'r', 'e', '1'};
    uint32_t window = 0;
    uint32_t n_ctx = 0;
    uint32_t n_scores = 0;
    uint32_t score_bytes = sizeof(Score);
    uint64_t tokens_hash = 0; // FNV-1a of the window's token ids
};
static_assert(sizeof(Header) == 32, "the file's format");

uint64_t hash_of(const std::vector<llama_token> & tokens) {
    uint64_t hash = 1469598103934665603ull;
    for (const llama_token token : tokens) {
        for (int shift = 0; shift < 32; shift += 8) {
            hash = (hash ^ ((static_cast<uint32_t>(token) >> shift) & 0xff)) * 1099511628211ull;
        }
    }
    return hash;
}

fs::path file_of(const Options & options, const Pair & pair, int window) {
    char name[32];
    snprintf(name, sizeof name, "w%05d.scores", window);
    return fs::path(options.output) / ("k-" + pair.k) / ("v-" + pair.v) / name;
}

bool is_there(const fs::path & path, const Header & wanted) {
    std::ifstream file(path, std::ios::binary);
    Header found;
    std::error_code error;
    return file.read(reinterpret_cast<char *>(&found), sizeof found) &&
           memcmp(&found, &wanted, sizeof found) == 0 &&
           fs::file_size(path, error) == sizeof(Header) + static_cast<uintmax_t>(wanted.n_scores) * sizeof(Score);
}

void write_whole(const fs::path & path, const Header & header, const std::vector<Score> & scores) {
    fs::create_directories(path.parent_path());
    const fs::path beside = path.parent_path() / ("." + path.filename().string() + ".partial");
    {
        std::ofstream file(beside, std::ios::binary | std::ios::trunc);
        file.write(reinterpret_cast<const char *>(&header), sizeof header);
        file.write(reinterpret_cast<const char *>(scores.data()), static_cast<std::streamsize>(scores.size() * sizeof(Score)));
        file.close();
        if (!file) {
            const int number = errno;
            std::error_code ignored;
            fs::remove(beside, ignored);
            fail("%s: cannot be written (%s)", path.string().c_str(), strerror(number));
        }
    }
    fs::rename(beside, path);
}

std::string read_text(const std::string & path) {
    std::ifstream file(path, std::ios::binary);
    if (!file) {
        fail("%s: cannot be read (%s)", path.c_str(), strerror(errno));
    }
    std::string text((std::istreambuf_iterator<char>(file)), std::istreambuf_iterator<char>());
    if (!text.empty() && text.back() == '\n') {
        text.pop_back(); // as -f of llama.cpp's tools
    }
    return text;
}

std::vector<llama_token> tokenize(const llama_vocab * vocab, const std::string & text) {
    std::vector<llama_token> tokens(text.size() + 2);
    const int n = llama_tokenize(vocab, text.data(), static_cast<int32_t>(text.size()), tokens.data(),
                                 static_cast<int32_t>(tokens.size()), true, false);
    if (n < 0) {
        fail("the text cannot be tokenized");
    }
    tokens.resize(n);
    return tokens;
}

// -- scoring ----------------------------------------------------------------------------------------------------------

// work(i) for i < n, on `threads` threads.
template <typename Work> void in_parallel(int n, int threads, const Work & work) {
    std::atomic<int> next {0};
    const auto take = [&] {
        for (int i = next++; i < n; i = next++) {
            work(i);
        }
    };
    std::vector<std::thread> others;
    for (int i = 1; i < std::min(threads, n); ++i) {
        others.emplace_back(take);
    }
    take();
    for (auto & thread : others) {
        thread.join();
    }
}

// What one call decodes: a batch at most, and no more scored tokens than rows of logits are kept.
struct Piece {
    int first = 0, tokens = 0, outputs = 0;
};

// In a long window the logits shall not be what memory is needed for: a sixteenth of the model at most, where it is small
// 32 MiB. Short windows are decoded in whole batches.
constexpr int    LONG_WINDOW = 8192;
constexpr size_t LEAST_LOGIT_BYTES = 32u << 20;

int most_rows(const Options & options, const llama_model * model, size_t n_vocab) {
    if (options.n_ctx <= LONG_WINDOW) {
        return options.n_batch;
    }
    const size_t bytes = std::max<size_t>(LEAST_LOGIT_BYTES, llama_model_size(model) / 16);
    return static_cast<int>(std::clamp<size_t>(bytes / (n_vocab * sizeof(float)), 1, options.n_batch));
}

std::vector<Piece> pieces_of(const std::vector<bool> & scored, int n_batch, int most_outputs) {
    std::vector<Piece> pieces;
    Piece piece;
    for (const bool one : scored) {
        if (piece.tokens == n_batch || (one && piece.outputs == most_outputs)) {
            pieces.push_back(piece);
            piece = Piece {piece.first + piece.tokens, 0, 0};
        }
        ++piece.tokens;
        piece.outputs += one;
    }
    pieces.push_back(piece);
    return pieces;
}

struct Sums {
    double nll_base = 0, nll = 0, kld = 0;
    long same_top = 0;
};

class Scorer {
public:
    Scorer(const Options & options, const llama_model * model)
        : options_(options), vocab_(llama_model_get_vocab(model)), n_vocab_(llama_vocab_n_tokens(vocab_)),
          scored_(scored_positions(options)), pieces_(pieces_of(scored_, options.n_batch, most_rows(options, model, n_vocab_))),
          batch_(llama_batch_init(options.n_batch, 0, 1)) {}
    ~Scorer() { llama_batch_free(batch_); }

    int n_scored() const { return static_cast<int>(std::count(scored_.begin(), scored_.end(), true)); }

    int most_outputs() const {
        int most = 1;
        for (const Piece & piece : pieces_) {
            most = std::max(most, piece.outputs);
        }
        return most;
    }

    // Scores a window in all of `pairs`, and drops those that fail. False where nothing can be compared any more.
    bool window(int index, std::vector<llama_token> tokens, Context & base, const std::vector<Context *> & all) {
        Header header;
        header.window = index;
        header.n_ctx = options_.n_ctx;
        header.n_scores = n_scored();
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
        std::vector<std::vector<Score>> scores(pairs.size());
        for (auto & of_pair : scores) {
            of_pair.resize(header.n_scores);
        }
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
            if (pairs[p]->llama == nullptr) {
                continue;
            }
            left = true;
            write_whole(file_of(options_, pairs[p]->pair, index), header, scores[p]);
            report(index, pairs[p]->pair, scores[p], now() - start, pairs.size());
        }
        return left;
    }

private:
    const Options & options_;
    const llama_vocab * vocab_;
    const size_t n_vocab_;
    const std::vector<bool> scored_;
    const std::vector<Piece> pieces_;
    llama_batch batch_;
    std::vector<Row> base_rows_, pair_rows_;

    // Decoding returns before a device is done, and asking for logits waits: so a pair is decoded before the one ahead of
    // it is compared.
    bool score(const Piece & piece, const std::vector<llama_token> & tokens, Context & base,
               const std::vector<Context *> & pairs, std::vector<std::vector<Score>> & scores, size_t done) {
        if (!decode(base, tokens, piece)) {
            return false;
        }
        const auto decode_next = [&](size_t p) {
            for (; p < pairs.size(); ++p) {
                if (pairs[p]->llama != nullptr && decode(*pairs[p], tokens, piece)) {
                    break;
                }
            }
            return p;
        };
        size_t p = decode_next(0);
        describe_rows(base, piece.outputs, true, base_rows_);
        if (!check(base, base_rows_)) {
            return false;
        }
        while (p < pairs.size()) {
            const size_t next = decode_next(p + 1);
            describe_rows(*pairs[p], piece.outputs, false, pair_rows_);
            if (check(*pairs[p], pair_rows_)) {
                compare_rows(base, *pairs[p], tokens, piece, scores[p].data() + done);
            }
            p = next;
        }
        return true;
    }

    static void forget(Context & context) { llama_memory_clear(llama_get_memory(context.llama), true); }

    bool decode(Context & context, const std::vector<llama_token> & tokens, const Piece & piece) {
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

    // Rows come in the order of the batch's outputs.
    const float * logits_of(const Context & context) const { return llama_get_logits(context.llama); }

    void describe_rows(const Context & context, int n, bool with_entropy, std::vector<Row> & rows) const {
        rows.resize(n);
        const float * logits = n > 0 ? logits_of(context) : nullptr;
        in_parallel(n, options_.threads, [&](int i) {
            rows[i] = describe(logits + i * n_vocab_, n_vocab_, with_entropy);
        });
    }

    static bool check(Context & context, const std::vector<Row> & rows) {
        for (const Row & row : rows) {
            if (!row.finite) {
                context.drop("the logits are not finite");
                return false;
            }
        }
        return true;
    }

    void compare_rows(const Context & base, const Context & pair, const std::vector<llama_token> & tokens,
                      const Piece & piece, Score * scores) const {
        const int n = piece.outputs;
        std::vector<int> positions;
        for (int i = piece.first; i < piece.first + piece.tokens; ++i) {
            if (scored_[i]) {
                positions.push_back(i);
            }
        }
        const float * of_base = n > 0 ? logits_of(base) : nullptr;
        const float * of_pair = n > 0 ? logits_of(pair) : nullptr;
        in_parallel(n, options_.threads, [&](int i) {
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
    }

    void report(int window, const Pair & pair, const std::vector<Score> & scores, double seconds, size_t beside) const {
        Sums sums;
        for (const Score & score : scores) {
            sums.nll_base += score.nll_base;
            sums.nll += score.nll;
            sums.kld += score.kld;
            sums.same_top += score.same_top;
        }
        const double n = static_cast<double>(scores.size());
        printf("{\"window\": %d, \"pair\": \"%s\", \"scored\": %zu, \"kld_mean\": %.9g, \"nll_base_mean\": %.9g, "
               "\"nll_mean\": %.9g, \"same_top\": %ld, \"window_seconds\": %.3f, \"pairs_in_window\": %zu}\n",
               window, pair.name().c_str(), scores.size(), sums.kld / n, sums.nll_base / n, sums.nll / n, sums.same_top,
               seconds, beside);
        fflush(stdout);
    }
};

const char FEATURES[] =
    "{\"flash_attn_type\": "
#ifdef KVSWEEP_HAS_FLASH_ATTN_TYPE
    "true"
#else
    "false"
#endif
    ", \"swa_full\": "
#ifdef KVSWEEP_HAS_SWA_FULL
    "true"
#else
    "false"
#endif
    ", \"n_outputs_max\": "
#ifdef KVSWEEP_HAS_N_OUTPUTS_MAX
    "true"
#else
    "false"
#endif
    "}";

std::string in_json(const std::string & text) {
    std::string quoted = "\"";
    for (const char c : text) {
        if (c == '"' || c == '\\') {
            quoted += '\\';
        }
        quoted += static_cast<unsigned char>(c) < 0x20 ? ' ' : c;
    }
    return quoted + "\"";
}

int run(const Options & options) {
#ifdef KVSWEEP_HAS_BACKEND_LOAD_ALL
    ggml_backend_load_all();
#endif
    llama_backend_init();
    const std::string text = read_text(options.text);
    llama_model_params model_params = llama_model_default_params();
    model_params.n_gpu_layers = options.n_gpu_layers;
    llama_model * model = llama_model_load_from_file(options.model.c_str(), model_params);
    if (model == nullptr) {
        fail("failed to load model '%s'", options.model.c_str());
    }
    const llama_vocab * vocab = llama_model_get_vocab(model);
    std::vector<llama_token> tokens = tokenize(vocab, text);
    const long needed = static_cast<long>(options.windows) * options.n_ctx;
    if (static_cast<long>(tokens.size()) < needed) {
        fail("you need at least %ld tokens for %d windows of %d tokens; the text tokenizes to only %zu tokens", needed,
             options.windows, options.n_ctx, tokens.size());
    }
    Scorer scorer(options, model);
    printf("{\"scorer\": 1, \"features\": %s, \"n_ctx\": %d, \"windows\": %d, \"positions\": %s, \"scored\": %d, "
           "\"n_vocab\": %d, \"n_tokens\": %zu, \"add_bos\": %s, \"n_batch\": %d, \"n_ubatch\": %d, \"most_outputs\": %d, \"threads\": %d, "
           "\"n_ctx_train\": %d, \"rounded_base\": %s}\n",
           FEATURES, options.n_ctx, options.windows,
           in_json(options.blocks == 0 ? "half" : std::to_string(options.blocks) + "x" + std::to_string(options.block_tokens)).c_str(),
           scorer.n_scored(), llama_vocab_n_tokens(vocab), tokens.size(), llama_vocab_get_add_bos(vocab) ? "true" : "false",
           options.n_batch, options.n_ubatch, scorer.most_outputs(), options.threads, llama_model_n_ctx_train(model),
           options.round_base ? "true" : "false");
    fflush(stdout);

    // The first pair's context comes first: some engines decide by the first cache of a process what all others are.
    std::vector<Context> pairs;
    for (const Pair & pair : options.pairs) {
        pairs.emplace_back(pair);
    }
    Context base(Pair {"f16", "f16"});
    create(pairs[0], "pair", model, options, scorer.most_outputs());
    create(base, "base", model, options, scorer.most_outputs());
    if (base.llama == nullptr) {
        fail("the f16 context could not be created");
    }
    for (size_t p = 1; p < pairs.size(); ++p) {
        create(pairs[p], "pair", model, options, scorer.most_outputs());
    }
    std::vector<Context *> all;
    for (Context & pair : pairs) {
        all.push_back(&pair);
    }
    for (int window = 0; window < options.windows; ++window) {
        const auto start = tokens.begin() + static_cast<long>(window) * options.n_ctx;
        if (!scorer.window(window, std::vector<llama_token>(start, start + options.n_ctx), base, all)) {
            if (base.llama == nullptr) {
                fail("the f16 pass failed: %s", base.trouble.c_str());
            }
            break;
        }
    }
    int failed = 0;
    for (const Context & pair : pairs) {
        printf("{\"pair\": %s, \"end\": %s}\n", in_json(pair.pair.name()).c_str(),
               pair.trouble.empty() ? "\"complete\"" : in_json(pair.trouble).c_str());
        failed += !pair.trouble.empty();
    }
    fflush(stdout);
    pairs.clear();
    base.release();
    llama_model_free(model);
    llama_backend_free();
    return failed == 0 ? 0 : 3;
}

} // namespace

int main(int argc, char ** argv) {
    if (argc == 2 && strcmp(argv[1], "--features") == 0) {
        puts(FEATURES);
        return 0;
    }
    try {
        Options options;
        if (!parse(argc, argv, options)) {
            return 0;
        }
        if (options.threads == 0) {
            options.threads = physical_cores();
        }
        return run(options);
    } catch (const std::exception & error) {
        fflush(stdout);
        say("error: %s", error.what());
        return 1;
    }
}
