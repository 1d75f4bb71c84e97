// Shared by the forward and the backward sweep of a recurrent layer.
#pragma once

#include <utility>
#include <vector>

#include "gemm.h"
#include "pool.h"
#include "schedule.h"

// The options that torch's layers lack (see Extras in cells.py); null where unused. Row b of `mask` is for sequence b.
struct Extras {
    const float* mask;                     // (D, B, H)
    const float *keep_hidden, *keep_cell;  // (D, N, H)
    const float* gain;                     // (D, G, H), of the recurrent product
    const float *cell_gain, *cell_bias;    // (D, H)
    float* normal;                         // (D, N, G, H) the normalised recurrent product; forward writes it
    float* scale;                          // (D, N) and the inverse of its standard deviation
    // Backward writes these: the gradient of the recurrent product (D, N, G, H), the normalised cell state, and the
    // gradient of the scaled and shifted cell state (both (D, N, H)).
    float *products, *cell_normal, *d_cell_normal;
};

// The packed weights of one direction: the recurrent weight and, in a forward sweep over data, the input weights, each
// with the first of a token's slots that its product is added to.
struct Panels {
    Packed recurrent;
    std::vector<std::pair<Int, Packed>> inputs;
};

// A weight to pack, (columns, depth) if `transposed`, else (depth, columns).
struct Source {
    Packed* packed;
    const float* weight;
    bool transposed;
};

// Packs the weights, then runs the sweeps of all directions, on `threads` threads.
template <class Sweep>
static void run(const Sweep& work, const std::vector<Panels>& panels, const std::vector<Source>& sources,
                int threads) {
    static thread_local Arena arena;
    Int size = 0, directions = panels.size(), parts = std::max<Int>(1, threads / directions);
    for (const Source& source : sources) size += source.packed->size();
    float* memory = arena.reserve(size);
    std::vector<std::pair<const Source*, Int>> pieces;
    for (const Source& source : sources) {
        source.packed->data = memory;
        memory += source.packed->size();
        for (Int panel = 0; panel < source.packed->panels; ++panel) pieces.push_back({&source, panel});
    }
    parallel(threads, pieces.size(), [&](Int i) {
        const Source& source = *pieces[i].first;
        source.packed->fill(pieces[i].second, source.weight, source.transposed);
    });
    parallel(threads, directions * parts, [&](Int p) { work.run(p / parts, p % parts, parts, panels[p / parts]); });
    arena.release();
}
