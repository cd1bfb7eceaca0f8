#include "text.h"

#include "messages.h"

#include <cerrno>
#include <cstdint>
#include <cstring>
#include <fstream>
#include <iterator>

namespace {

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

} // namespace

std::vector<llama_token> tokens_of(const std::string & path, const llama_vocab * vocab) {
    const std::string text = read_text(path);
    if (text.size() > INT32_MAX - 2) {
        fail("%s: longer than the 2 GiB that an engine tokenizes at once", path.c_str());
    }
    std::vector<llama_token> tokens(text.size() + 2);
    const int n = llama_tokenize(vocab, text.data(), static_cast<int32_t>(text.size()), tokens.data(),
                                 static_cast<int32_t>(tokens.size()), true, false);
    if (n < 0) {
        fail("%s: cannot be tokenized", path.c_str());
    }
    tokens.resize(n);
    return tokens;
}
