#include "tests/support/parallel.hpp"

#include <algorithm>
#include <atomic>
#include <exception>
#include <thread>

std::string run_in_parallel(const std::vector<Task>& tasks) {
    std::vector<std::string> complaints(tasks.size());
    std::atomic<size_t> next{0};
    const auto work = [&] {
        for (size_t i = next++; i < tasks.size(); i = next++) {
            try {
                tasks[i].work();
            } catch (const std::exception& error) {
                complaints[i] = tasks[i].name + ": " + error.what() + "\n";
            }
        }
    };
    std::vector<std::thread> threads;
    for (unsigned i = 0; i < 4 * std::max(1U, std::thread::hardware_concurrency()); ++i)
        threads.emplace_back(work);
    for (std::thread& thread : threads)
        thread.join();
    std::string all;
    for (const std::string& complaint : complaints)
        all += complaint;
    return all;
}
