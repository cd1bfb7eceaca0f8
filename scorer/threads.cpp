#include "threads.h"

#ifdef __APPLE__
#include <cstdint>
#include <sys/sysctl.h>
#else
#include <fstream>
#include <set>
#include <string>
#endif

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
