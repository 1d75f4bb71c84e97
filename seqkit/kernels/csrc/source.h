// Identifies the source that a library was built from.
#pragma once

#include <cstdint>

#if defined(_WIN32)
#define EXPORT extern "C" __declspec(dllexport)
#else
#define EXPORT extern "C"
#endif

// setup.py defines SEQKIT_SOURCE as the hash of all files in this folder (source_hash.py). compiled.py computes the
// hash of the installed files and refuses a library with another one.
EXPORT uint64_t seqkit_source() { return SEQKIT_SOURCE; }
