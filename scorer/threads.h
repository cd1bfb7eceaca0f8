// The processor's cores, and work shared by threads.
#pragma once

#include <algorithm>
#include <atomic>
#include <thread>
#include <vector>

int physical_cores();

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
