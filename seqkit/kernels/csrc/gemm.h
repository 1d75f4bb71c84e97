// Matrix products with a weight that is packed once and used at each time step.
#pragma once

#include <algorithm>
#include <cstdlib>
#include <new>

#include "simd.h"

// Memory that a thread keeps between calls. With fresh memory, the operating system's page faults cost more time than
// the products.
struct Arena {
    enum { KEPT = 1 << 24, LINE = 64 };  // floats; bytes of a cache line
    void* block = nullptr;
    Int size = 0;

    ~Arena() { std::free(block); }

    // Returns memory that begins with a cache line.
    float* reserve(Int floats) {
        if (floats > size) {
            clear();
            block = std::malloc(floats * sizeof(float) + LINE);  // older systems have no aligned allocation
            if (!block) throw std::bad_alloc();
            size = floats;
        }
        return (float*)(((uintptr_t)block + LINE - 1) / LINE * LINE);
    }

    // Frees the memory if it is too much to keep.
    void release() {
        if (size > KEPT) clear();
    }

private:
    void clear() {
        std::free(block);
        block = nullptr, size = 0;
    }
};

// The columns of a weight in panels of up to PANEL vectors. A panel has shape (depth, its width), padded with zeros.
struct Packed {
    Int depth, columns, vectors, panels;
    float* data = nullptr;  // `size()` floats

    Packed(Int depth, Int columns)
        : depth(depth), columns(columns), vectors((columns + WIDTH - 1) / WIDTH),
          panels((vectors + PANEL - 1) / PANEL) {}

    Int size() const { return (depth * vectors * WIDTH + 15) / 16 * 16; }
    Int first(Int panel) const { return panel * vectors / panels; }  // the panel's first column, in vectors

    // Copies one panel from a weight (columns, depth) if `transposed`, else from (depth, columns).
    void fill(Int panel, const float* weight, bool transposed) {
        Int begin = first(panel) * WIDTH, width = (first(panel + 1) - first(panel)) * WIDTH;
        Int count = std::min(width, columns - begin);
        float* to = data + begin * depth;
        if (!transposed) {
            for (Int k = 0; k < depth; ++k, to += width) {
                std::memcpy(to, weight + k * columns + begin, count * sizeof(float));
                std::fill(to + count, to + width, 0.0f);
            }
            return;
        }
        for (Int k0 = 0; k0 < depth; k0 += 16) {  // in blocks of one cache line of the source
            Int end = std::min(k0 + 16, depth);
            for (Int c = 0; c < width; ++c) {
                const float* row = weight + (begin + c) * depth;
                if (c < count) __builtin_prefetch(row + k0 + 16);  // the hardware does not predict this access pattern
                for (Int k = k0; k < end; ++k) to[k * width + c] = c < count ? row[k] : 0.0f;
            }
        }
    }
};

// c[r] = start[r] + a[r] . panel for R rows and V vectors of columns; the last vector has `tail` columns. `start` may
// equal c; null means zeros.
template <int R, int V>
static void tile(const float* const* a, const float* panel, Int depth, const float* const* start, float* const* c,
                 Int column, Int tail) {
    vec sum[R][V];
    for (int r = 0; r < R; ++r)
        for (int v = 0; v < V; ++v)
            sum[r][v] = start ? load(start[r] + column + v * WIDTH, v == V - 1 ? tail : WIDTH) : vec{};
    const float* row[R];
    for (int r = 0; r < R; ++r) row[r] = a[r];
    for (Int k = 0; k < depth; ++k, panel += V * WIDTH) {
        vec w[V];
        for (int v = 0; v < V; ++v) w[v] = *(const vec*)(panel + v * WIDTH);
        for (int r = 0; r < R; ++r)
            for (int v = 0; v < V; ++v) sum[r][v] += row[r][k] * w[v];
    }
    for (int r = 0; r < R; ++r)
        for (int v = 0; v < V; ++v) store(c[r] + column + v * WIDTH, sum[r][v], v == V - 1 ? tail : WIDTH);
}

typedef void Tile(const float* const*, const float*, Int, const float* const*, float* const*, Int, Int);

template <int V>
static Tile* tile_of(Int rows) {
    static Tile* const tiles[] = {tile<1, V>, tile<2, V>, tile<3, V>, tile<4, V>, tile<5, V>, tile<6, V>};
    return tiles[rows - 1];
}

static Tile* tile_of(Int rows, Int vectors) {
    switch (vectors) {
        case 1: return tile_of<1>(rows);
        case 2: return tile_of<2>(rows);
        case 3: return tile_of<(PANEL > 2 ? 3 : 2)>(rows);
        default: return tile_of<PANEL>(rows);
    }
}

// c[r] = start[r] + a[r] . weight for m rows; see `tile`. A panel stays in the cache while all rows use it.
static void multiply(Int m, const float* const* a, const Packed& weight, const float* const* start,
                     float* const* c) {
    Int blocks = (m + ROWS - 1) / ROWS;
    for (Int p = 0; p < weight.panels; ++p) {
        Int column = weight.first(p) * WIDTH, vectors = weight.first(p + 1) - weight.first(p);
        Int tail = std::min<Int>(WIDTH, weight.columns - column - (vectors - 1) * WIDTH);
        for (Int b = 0; b < blocks; ++b) {
            Int begin = b * m / blocks, end = (b + 1) * m / blocks;
            tile_of(end - begin, vectors)(a + begin, weight.data + column * weight.depth, weight.depth,
                                          start ? start + begin : nullptr, c + begin, column, tail);
        }
    }
}
