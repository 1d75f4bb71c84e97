// Where tasks run: on the threads of torch's OpenMP runtime if Python passes its entry point, else on own threads.
//
// Torch's threads spin for milliseconds after each of its operations. Own threads compete with them for the cores.

#include "api.h"
#include "pool.h"

#include <algorithm>
#include <atomic>
#include <cfenv>
#include <chrono>
#include <condition_variable>
#include <exception>
#include <memory>
#include <mutex>
#include <system_error>
#include <thread>
#include <vector>

#if defined(_WIN32)
static int process() { return 0; }  // nothing forks
#else
#include <unistd.h>
static int process() { return getpid(); }
#endif

namespace {

// How long an own thread spins before it sleeps: longer than the time between the calls of one layer.
constexpr std::chrono::microseconds SPIN(200);

void relax() {
#if defined(__x86_64__) || defined(__i386__)
    __builtin_ia32_pause();
#elif defined(__aarch64__)
    asm volatile("isb");  // `yield` does nothing on most processors
#else
    std::this_thread::yield();
#endif
}

// Waits until `ready()`, for a short time; returns whether it is.
template <class Ready>
bool spin(const Ready& ready) {
    const auto end = std::chrono::steady_clock::now() + SPIN;
    do {
        for (int i = 0; i < 16; ++i, relax())
            if (ready()) return true;
    } while (std::chrono::steady_clock::now() < end);
    return ready();
}

// The tasks of one call. It is on the caller's stack.
struct Job {
    void (*task)(const void*, Int);
    const void* context;
    Int count;
    std::atomic<Int> next{0};           // the first task that no thread has taken; for torch's threads
    std::atomic<Int> unfinished{count};  // for own threads
    std::fenv_t environment{};           // the caller's rounding and treatment of subnormal numbers
    std::atomic<bool> failed{false};
    std::exception_ptr error{};  // of the thread that set `failed`

    void run(Int i) {
        try {
            task(context, i);
        } catch (...) {
            if (!failed.exchange(true)) error = std::current_exception();
        }
    }

    // Takes and runs tasks until all are taken. Leaves the thread as it was.
    void run_rest() {
        std::fenv_t own;
        std::fegetenv(&own);
        std::fesetenv(&environment);
        for (Int i; (i = next++) < count;) run(i);
        std::fesetenv(&own);
    }
};

struct Worker {
    std::atomic<uint32_t> call{0};  // the last call that needs this thread
    std::mutex mutex;
    std::condition_variable wake;
};

class Pool {
public:
    const int owner = process();

    // Runs a job with the help of up to `helpers` threads; returns false if the pool is at work.
    bool run(Job& given, Int helpers) {
        std::unique_lock<std::mutex> alone(busy, std::try_to_lock);
        if (!alone) return false;
        helpers = grow(helpers);
        job = &given;
        const uint32_t call = ++calls;
        untaken = uint64_t(call) << 32 | uint64_t(given.count);
        for (Int i = 0; i < helpers; ++i) {
            Worker& worker = *workers[i];
            {
                std::lock_guard<std::mutex> lock(worker.mutex);
                worker.call = call;
            }
            worker.wake.notify_one();
        }
        take(call);
        auto finished = [&] { return given.unfinished == 0; };
        if (!spin(finished)) {
            std::unique_lock<std::mutex> lock(mutex);
            done.wait(lock, finished);
        }
        return true;
    }

private:
    std::mutex busy;  // held during a call
    std::vector<std::unique_ptr<Worker>> workers;
    uint32_t calls = 0;
    // The number of the current call, and in the lower half how many of its tasks no thread has taken. A thread that
    // wakes late, in another call, sees it from the number. As long as a task that it has taken is unfinished, the
    // call lasts and `job` is valid.
    std::atomic<uint64_t> untaken{0};
    std::atomic<Job*> job{nullptr};
    std::mutex mutex;
    std::condition_variable done;

    // Takes and runs tasks of a call until all are taken.
    void take(uint32_t call) {
        Job* taken = nullptr;
        Int ended = 0;
        for (uint64_t seen = untaken; seen >> 32 == call && uint32_t(seen);) {
            Job* current = job;
            if (!untaken.compare_exchange_weak(seen, seen - 1)) continue;
            if (!taken) std::fesetenv(&current->environment);
            taken = current;
            taken->run(taken->count - uint32_t(seen));
            ++ended;
            seen = untaken;
        }
        if (!taken || (taken->unfinished -= ended)) return;  // from here on, the job may be gone
        { std::lock_guard<std::mutex> lock(mutex); }         // the caller either sees the end or waits already
        done.notify_one();
    }

    void work(Worker& worker) {
        for (uint32_t last = 0;;) {
            auto called = [&] { return worker.call != last; };
            if (!spin(called)) {
                std::unique_lock<std::mutex> lock(worker.mutex);
                worker.wake.wait(lock, called);
            }
            take(last = worker.call);
        }
    }

    // Starts threads until there are `count`; returns how many of those there are. The system may refuse more.
    Int grow(Int count) {
        while (Int(workers.size()) < count) {
            workers.push_back(std::make_unique<Worker>());
            try {
                std::thread([this, worker = workers.back().get()] { work(*worker); }).detach();
            } catch (const std::system_error&) {
                workers.pop_back();
                break;
            }
        }
        return std::min<Int>(count, workers.size());
    }
};

// The pool of this process. It is never destroyed: threads may use it until the process ends.
Pool& pool() {
    static std::atomic<Pool*> shared{nullptr};
    Pool* found = shared;
    if (found && found->owner == process()) return *found;
    auto fresh = std::make_unique<Pool>();  // after a fork the old one has no threads, and its locks may be held
    return *(shared.compare_exchange_strong(found, fresh.get()) ? fresh.release() : found);
}

// GOMP_parallel of libgomp, which the runtimes of LLVM and Intel have as well: calls a function on each of its threads.
typedef void Parallel(void (*function)(void*), void* data, unsigned threads, unsigned flags);

std::atomic<Parallel*> openmp{nullptr};
std::atomic<int> openmp_owner{0};  // libgomp does not work in a forked process

}  // namespace

int seqkit_use_openmp(void* gomp_parallel) {
    openmp = (Parallel*)gomp_parallel;
    openmp_owner = process();
    return 0;
}

void run_tasks(int threads, Int count, void (*task)(const void*, Int), const void* context) {
    Job job{task, context, count};
    std::fegetenv(&job.environment);
    Parallel* parallel = openmp_owner == process() ? openmp.load() : nullptr;
    // Always with all threads: libgomp ends those that a call does not need.
    if (parallel) parallel([](void* data) { ((Job*)data)->run_rest(); }, &job, threads, 0);
    else if (!pool().run(job, std::min<Int>(threads, count) - 1)) job.run_rest();
    if (job.failed) std::rethrow_exception(job.error);
}
