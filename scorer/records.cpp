#include "records.h"

#include "messages.h"

#include <cerrno>
#include <cstring>
#include <fstream>
#include <string>

namespace fs = std::filesystem;

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
