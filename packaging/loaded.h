// Makes a driver call the functions of a shared library: compile the driver with `-include loaded.h`, and name the library
// in the variable SEQKIT_LIBRARY when it runs.
#pragma once

#include <cstdio>
#include <cstdlib>

#include "api.h"

#if defined(_WIN32)
#define NOMINMAX
#define WIN32_LEAN_AND_MEAN
#include <windows.h>
inline void* open_library(const char* file) { return (void*)LoadLibraryA(file); }
inline void* find(void* library, const char* name) { return (void*)GetProcAddress((HMODULE)library, name); }
#else
#include <dlfcn.h>
inline void* open_library(const char* file) { return dlopen(file, RTLD_NOW | RTLD_LOCAL); }
inline void* find(void* library, const char* name) { return dlsym(library, name); }
#endif

// The address of a function in the library; ends the program if there is none.
inline void* loaded(const char* name) {
    static void* const library = open_library(std::getenv("SEQKIT_LIBRARY"));
    void* found = library ? find(library, name) : nullptr;
    if (!found) {
        std::printf("cannot load %s from %s\n", name, std::getenv("SEQKIT_LIBRARY"));
        std::exit(2);
    }
    return found;
}

// A macro does not expand its own name.
#define seqkit_rnn_forward ((decltype(&seqkit_rnn_forward))loaded("seqkit_rnn_forward"))
#define seqkit_rnn_backward ((decltype(&seqkit_rnn_backward))loaded("seqkit_rnn_backward"))
#define seqkit_crf_forward ((decltype(&seqkit_crf_forward))loaded("seqkit_crf_forward"))
#define seqkit_crf_backward ((decltype(&seqkit_crf_backward))loaded("seqkit_crf_backward"))
#define seqkit_crf_viterbi ((decltype(&seqkit_crf_viterbi))loaded("seqkit_crf_viterbi"))
#define seqkit_gather ((decltype(&seqkit_gather))loaded("seqkit_gather"))
