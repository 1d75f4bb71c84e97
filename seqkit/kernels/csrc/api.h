// The functions that Python calls through ctypes (compiled.py lists them): a plain C ABI on raw pointers, so that one
// build works with every version of Python and torch. All arrays are dense.
//
// They return 0, or 1 if memory ran out.
#pragma once

#include <cstdint>

#if defined(_WIN32)
#define EXPORT extern "C" __declspec(dllexport)
#else
#define EXPORT extern "C" __attribute__((visibility("default")))
#endif

typedef int64_t Int;

// setup.py defines SEQKIT_SOURCE as the hash of all files in this folder (library_files.py). compiled.py computes the
// hash of the installed files and refuses a library with another one.
EXPORT uint64_t seqkit_source();

// pool.cpp: runs the following calls on the threads of an OpenMP runtime, given its GOMP_parallel; null, the default,
// means own threads. A forked process always has own threads.
EXPORT int seqkit_use_openmp(void* gomp_parallel);

// rnn.cpp: T steps, B sequences, H units, D directions, I features. Without data, the gates contain everything but the
// recurrent product. Weights and biases ending in _2 belong to the reverse direction.
EXPORT int seqkit_rnn_forward(int cell, Int steps, Int batch, Int units, Int directions, const Int* sizes, int threads,
                              Int features, const float* data, const float* input_weight,
                              const float* input_weight_2, const float* weight, const float* weight_2,
                              const float* input_bias, const float* input_bias_2, const float* bias,
                              const float* bias_2, float* gates, const float* h0, const float* c0, float* output,
                              float* cells, float* h_n, float* c_n, const float* mask, const float* keep_hidden,
                              const float* keep_cell, const float* gain, const float* cell_gain,
                              const float* cell_bias, float* normal, float* scale);
EXPORT int seqkit_rnn_backward(int cell, Int steps, Int batch, Int units, Int directions, const Int* sizes,
                               int threads, const float* weight, const float* weight_2, const float* gates,
                               const float* cells, const float* output, const float* h0, const float* c0,
                               const float* d_output, const float* d_h_n, const float* d_c_n, float* d_gates,
                               float* before, float* d_h0, float* d_c0, const float* mask, const float* keep_hidden,
                               const float* keep_cell, const float* gain, const float* cell_gain,
                               const float* cell_bias, float* normal, float* scale, float* products,
                               float* cell_normal, float* d_cell_normal);

// crf.cpp: T steps, B sequences, C tags. `transposed` is the transpose of the transitions.
EXPORT int seqkit_crf_forward(Int steps, Int batch, Int tags, const Int* sizes, int threads, const double* potentials,
                              const double* start, const double* transitions, const double* end, double* states,
                              double* norms);
EXPORT int seqkit_crf_backward(Int steps, Int batch, Int tags, const Int* sizes, int threads, const double* potentials,
                               const double* transposed, const double* end, const double* states, double* marginals,
                               double* after);
EXPORT int seqkit_crf_viterbi(Int steps, Int batch, Int tags, const Int* sizes, int threads, const double* scores,
                              const double* start, const double* transitions, const double* end, Int* found,
                              double* best);

// gather.cpp
EXPORT int seqkit_gather(const char* items, Int item, Int size, const Int* begins, const Int* batch_sizes, Int steps,
                         char* out);
