// Runs numbered tasks on several threads.
#pragma once

#include "layout.h"

// Runs task(context, i) once for each i < count, on up to `threads` threads, one of which is the caller's. Threads take
// the tasks in order. Returns when all have ended; throws the first exception of a task.
//
// Any number of threads may call it at once; it also works in a forked process. See seqkit_use_openmp in api.h for
// whose threads they are. Own threads serve one call at a time; other calls run their tasks themselves.
void run_tasks(int threads, Int count, void (*task)(const void*, Int), const void* context);

// Calls body(i) once for each i < count; see `run_tasks`. With one thread or one task it is a loop.
template <class Body>
void parallel(int threads, Int count, const Body& body) {
    if (threads > 1 && count > 1)
        run_tasks(threads, count, [](const void* context, Int i) { (*(const Body*)context)(i); }, &body);
    else
        for (Int i = 0; i < count; ++i) body(i);
}

// Calls the body of a function that Python calls. Returns 0, or 1 if it throws: only an allocation does.
template <class Body>
int guarded(const Body& body) {
    try {
        body();
    } catch (...) {
        return 1;
    }
    return 0;
}
