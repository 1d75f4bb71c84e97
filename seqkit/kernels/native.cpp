// The sweeps over the steps of a recurrent layer on packed data (see closed_form.py for what they compute), on a CPU.
//
// A plain C ABI on raw pointers, so that one build serves every version of torch. The vector width follows the
// compiler's flags; setup.py builds one library for each.
//
// D directions, N tokens, B sequences, H units, S slots of a unit (LSTM: gates i f g o; GRU: r z q n, where q is the
// recurrent part of n; RNN: 1), G of which the recurrent weight feeds: the first ones. All arrays are dense.
//
// How it is fast. A sequence in one direction depends on nothing else, so sequences are dealt to threads and no thread
// ever waits for another one. A thread lays its sequences end to end into a few lanes of about equal length and
// advances all lanes together: the number of rows per step stays constant, where in the packed order it would dwindle
// while each step still had to read the whole weight. The weight is packed once a call into panels as wide as a
// register tile; each panel is read once a step and serves all rows. The products of the inputs are made a few steps
// ahead, in as much memory as a thread's cache holds; in inference there is no array of all gates.

#include <algorithm>
#include <cmath>
#include <cstdint>
#include <cstdlib>
#include <cstring>
#include <numeric>
#include <queue>
#include <vector>

#if defined(__AVX512F__)
#include <immintrin.h>
enum { WIDTH = 16, PANEL = 4, ROWS = 6 };
#elif defined(__AVX__)
enum { WIDTH = 8, PANEL = 2, ROWS = 6 };
#elif defined(__aarch64__)
enum { WIDTH = 4, PANEL = 4, ROWS = 6 };
#else
enum { WIDTH = 4, PANEL = 2, ROWS = 5 };
#endif

typedef int64_t Int;
typedef float vec __attribute__((vector_size(4 * WIDTH)));
typedef int32_t ivec __attribute__((vector_size(4 * WIDTH)));
typedef float loose __attribute__((vector_size(4 * WIDTH), aligned(4), may_alias));

#define INLINE static inline __attribute__((always_inline))

// ---------------------------------------------------------------------------------------------------- vectors

INLINE vec load(const float* p) { return *(const loose*)p; }
INLINE void store(float* p, vec v) { *(loose*)p = v; }

// The first n elements, at the end of a row.
INLINE vec load(const float* p, Int n) {
    if (n >= WIDTH) return load(p);
#if defined(__AVX512F__)
    return (vec)_mm512_maskz_loadu_ps((__mmask16)((1u << n) - 1), p);
#else
    vec v = {};
    std::memcpy(&v, p, n * sizeof(float));
    return v;
#endif
}
INLINE void store(float* p, vec v, Int n) {
    if (n >= WIDTH) return store(p, v);
#if defined(__AVX512F__)
    _mm512_mask_storeu_ps(p, (__mmask16)((1u << n) - 1), (__m512)v);
#else
    std::memcpy(p, &v, n * sizeof(float));
#endif
}

// 1 / x for normal x whose inverse is normal.
INLINE vec inverse(vec x) {
#if defined(__AVX512F__)
    vec guess = (vec)_mm512_rcp14_ps((__m512)x);  // and one step of Newton's: a division takes three times as long
    return guess * (2.0f - x * guess);
#else
    return 1.0f / x;
#endif
}

// x = n + f, |f| <= 1/2: 2^f - 1 and, in `power`, 2^n, for x within +-bound (of at most 125); NaN stays NaN.
INLINE vec split_power(vec x, float bound, vec& power) {
#if defined(__AVX512F__)
    x = (vec)_mm512_max_ps(_mm512_set1_ps(-bound), _mm512_min_ps(_mm512_set1_ps(bound), (__m512)x));
    vec n = (vec)_mm512_roundscale_ps((__m512)x, _MM_FROUND_TO_NEAREST_INT);
    power = (vec)_mm512_scalef_ps(_mm512_set1_ps(1.0f), (__m512)n);
#else
    const float magic = 12582912.0f;  // 1.5 * 2^23: adding it rounds to an integer, which stands in the low bits
    x = x > bound ? bound - vec{} : x;
    x = x < -bound ? -bound - vec{} : x;
    vec shifted = x + magic;
    vec n = shifted - magic;
    power = (vec)(((ivec)shifted << 23) + 0x3f800000);
#endif
    vec f = x - n, p = 1.54035128e-4f * f + 1.33907353e-3f;  // minimax of (2^f - 1) / f, to 1e-8
    p = p * f + 9.61823761e-3f;
    p = p * f + 5.55035733e-2f;
    p = p * f + 2.40226492e-1f;
    p = p * f + 6.93147182e-1f;
    return p * f;
}
const float LOG2_E = 1.44269504f;
INLINE vec sigmoid(vec x) {
    vec power, fraction = split_power(-LOG2_E * x, 125.0f, power);
    return inverse(power * fraction + (power + 1.0f));
}
INLINE vec tanh(vec x) {
    vec power, fraction = split_power(2.0f * LOG2_E * x, 58.0f, power);
    vec e = power * fraction + (power - 1.0f);  // e^2x - 1 without cancellation
    return e * inverse(e + 2.0f);
}

// ---------------------------------------------------------------------------------------------------- products

// Memory that a thread keeps from call to call: on fresh pages the kernel's work costs more than ours.
struct Arena {
    enum { KEPT = 1 << 24 };  // floats
    float* data = nullptr;
    Int size = 0;

    ~Arena() { std::free(data); }
    float* room(Int floats) {
        if (floats > size) {
            std::free(data);
            size = (floats + 15) / 16 * 16;
            data = (float*)std::aligned_alloc(64, size * sizeof(float));
        }
        return data;
    }
    void end() {
        if (size <= KEPT) return;
        std::free(data);
        data = nullptr, size = 0;
    }
};

// The columns of a weight in panels of up to PANEL vectors, each panel (K, its width) and padded with zeros.
struct Packed {
    Int depth, columns, vectors, panels;
    float* data = nullptr;  // `size()` floats

    Packed(Int depth, Int columns)
        : depth(depth), columns(columns), vectors((columns + WIDTH - 1) / WIDTH),
          panels((vectors + PANEL - 1) / PANEL) {}

    Int size() const { return (depth * vectors * WIDTH + 15) / 16 * 16; }
    Int first(Int panel) const { return panel * vectors / panels; }  // in vectors

    // From weight (columns, depth) if transposed, else from weight (depth, columns).
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
        for (Int k0 = 0; k0 < depth; k0 += 16) {  // by blocks of one cache line of the source
            Int end = std::min(k0 + 16, depth);
            for (Int c = 0; c < width; ++c) {
                const float* row = weight + (begin + c) * depth;
                if (c < count) __builtin_prefetch(row + k0 + 16);  // no hardware sees that these are next
                for (Int k = k0; k < end; ++k) to[k * width + c] = c < count ? row[k] : 0.0f;
            }
        }
    }
};

// c[r] = start[r] + a[r] . panel for R rows and V vectors of columns; the last vector has `tail` columns. `start` may
// be c, or null for zeros.
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

// c[r] = start[r] + a[r] . weight for m rows; see `tile`. A panel stays in the cache while all rows pass.
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

// ---------------------------------------------------------------------------------------------------- schedule

// Sequences laid end to end in lanes, the longest lane first.
struct Lanes {
    std::vector<std::vector<Int>> sequences;
    std::vector<Int> loads;

    Lanes(const std::vector<Int>& members, const std::vector<Int>& lengths, Int count) {
        typedef std::pair<Int, Int> Load;  // the least loaded lane takes the next longest sequence
        std::priority_queue<Load, std::vector<Load>, std::greater<Load>> queue;
        for (Int lane = 0; lane < count; ++lane) queue.push({0, lane});
        std::vector<std::vector<Int>> lanes(count);
        std::vector<Int> load(count), order(count);
        for (Int j : members) {
            Int lane = queue.top().second;
            queue.pop();
            lanes[lane].push_back(j);
            queue.push({load[lane] += lengths[j], lane});
        }
        std::iota(order.begin(), order.end(), 0);
        std::stable_sort(order.begin(), order.end(), [&](Int a, Int b) { return load[a] > load[b]; });
        for (Int lane : order) {
            sequences.push_back(std::move(lanes[lane]));
            loads.push_back(load[lane]);
        }
    }

    // In rows: a step costs as much as FLOOR rows at least, because it reads the whole weight.
    Int cost() const {
        const Int FLOOR = 6;
        Int total = 0, lanes = loads.size();
        for (Int r = 0; r < lanes; ++r)
            total += (loads[r] - (r + 1 < lanes ? loads[r + 1] : 0)) * std::max(r + 1, FLOOR);
        return total;
    }
};

static Lanes schedule(const std::vector<Int>& members, const std::vector<Int>& lengths) {
    Int total = 0, count = members.size();
    for (Int j : members) total += lengths[j];
    Lanes best(members, lengths, count);  // every sequence its own lane: the packed order
    if (!total) return best;
    Int few = total / lengths[members[0]] / ROWS * ROWS;
    for (Int lanes : {few, few + ROWS}) {
        if (lanes < 1 || lanes >= count) continue;
        Lanes other(members, lengths, lanes);
        if (other.cost() < best.cost()) best = std::move(other);
    }
    return best;
}

// ---------------------------------------------------------------------------------------------------- sweeps

enum { PROJECTED = 1 << 16 };  // floats of input products that a thread makes at a time: they stay in its cache

enum Cell { LSTM, GRU, RNN_TANH, RNN_RELU };

struct Layer {
    Cell cell;
    Int steps, batch, units, directions, tokens, slots, fed;  // T, B, H, D, N, S, G
    std::vector<Int> offsets, lengths;

    Layer(int cell, Int steps, Int batch, Int units, Int directions, const Int* sizes)
        : cell((Cell)cell), steps(steps), batch(batch), units(units), directions(directions), tokens(0),
          slots(cell == LSTM || cell == GRU ? 4 : 1), fed(cell == LSTM ? 4 : cell == GRU ? 3 : 1),
          offsets(steps), lengths(batch) {
        for (Int t = 0; t < steps; ++t) {
            offsets[t] = tokens;
            tokens += sizes[t];
            for (Int j = t + 1 < steps ? sizes[t + 1] : 0; j < sizes[t]; ++j) lengths[j] = t + 1;
        }
    }
    // Which of the sequences share `part` of `parts`, dealt there and back.
    std::vector<Int> members(Int part, Int parts) const {
        std::vector<Int> found;
        for (Int j = 0; j < batch && lengths[j]; ++j) {
            Int round = j / parts, place = j % parts;
            if ((round % 2 ? parts - 1 - place : place) == part) found.push_back(j);
        }
        return found;
    }
};

// Where a lane stands: the `k`-th token of `sequence` in the order of the sweep, which runs up or down the steps.
struct Cursor {
    const std::vector<Int>* rest;
    size_t next;
    Int sequence, length, k;
    bool up;

    Int step() const { return up ? k : length - 1 - k; }
    bool begin(const Layer& layer) {
        if (next == rest->size()) return false;
        sequence = (*rest)[next++];
        length = layer.lengths[sequence];
        k = 0;
        return true;
    }
};

// Calls `starts(lane, cursor)` before each sequence, `advance(m, cursors)` for each step of m lanes, and
// `ends(lane, cursor)` after each sequence.
template <class Starts, class Advance, class Ends>
static void sweep(const Layer& layer, const Lanes& lanes, bool up, Starts starts, Advance advance, Ends ends) {
    std::vector<Cursor> cursors(lanes.sequences.size());
    for (size_t r = 0; r < cursors.size(); ++r) {
        cursors[r] = {&lanes.sequences[r], 0, 0, 0, 0, up};
        cursors[r].begin(layer);
        starts(r, cursors[r]);
    }
    Int m = cursors.size();
    while (m) {
        advance(m, cursors.data());
        for (Int r = m; r-- > 0;) {
            if (++cursors[r].k < cursors[r].length) continue;
            ends(r, cursors[r]);
            if (cursors[r].begin(layer))
                starts(r, cursors[r]);
            else
                m = r;  // the lanes are sorted by load: those behind this one have ended before
        }
    }
}

// What a layer does besides (see Extras in layout.py); null where it does nothing. Row r of `mask` is that of sequence r.
struct Extras {
    const float* mask;                     // (D, B, H)
    const float *keep_hidden, *keep_cell;  // (D, N, H)
    const float* gain;                     // (D, G, H), of the recurrent product
    const float *cell_gain, *cell_bias;    // (D, H)
    float* normal;                         // (D, N, G, H) the recurrent product, normalised; forward writes it
    float* scale;                          // (D, N) and the inverse of its standard deviation
    // What backward writes: the gradient of the recurrent product (D, N, G, H), the normalised cell state and the
    // gradient of what it becomes by gain and bias (both (D, N, H)).
    float *products, *cell_normal, *d_cell_normal;
};

static const float* at(const float* array, Int index) { return array ? array + index : nullptr; }

INLINE float total(vec v) {
    float sum = 0.0f;
    for (int i = 0; i < WIDTH; ++i) sum += v[i];
    return sum;
}
// Of n values with mean 0 and variance 1, written to `normal`; returns the inverse of the standard deviation.
static float normalise(const float* values, float* normal, Int n) {
    vec sum = {};
    for (Int u = 0; u < n; u += WIDTH) sum += load(values + u, n - u);
    const float mean = total(sum) / n;
    for (Int u = 0; u < n; u += WIDTH) store(normal + u, load(values + u, n - u) - mean, n - u);
    vec squares = {};
    for (Int u = 0; u < n; u += WIDTH) squares += load(normal + u, n - u) * load(normal + u, n - u);
    const float scale = 1.0f / std::sqrt(total(squares) / n + 1e-5f);
    for (Int u = 0; u < n; ++u) normal[u] *= scale;
    return scale;
}
// From the gradient of normalised values to that of the values; may be in place.
static void normalise_back(const float* above, const float* normal, float scale, float* gradient, Int n) {
    vec sum = {}, along = {};
    for (Int u = 0; u < n; u += WIDTH) {
        vec a = load(above + u, n - u);
        sum += a, along += a * load(normal + u, n - u);
    }
    const float mean = total(sum) / n, slope = total(along) / n;
    for (Int u = 0; u < n; u += WIDTH)
        store(gradient + u, scale * (load(above + u, n - u) - mean - slope * load(normal + u, n - u)), n - u);
}
static void scaled(const float* factor, const float* values, float* to, Int n) {
    for (Int u = 0; u < n; u += WIDTH) store(to + u, load(factor + u, n - u) * load(values + u, n - u), n - u);
}
// share * before + (1 - share) * now
INLINE vec kept(const float* share, vec before, vec now, Int n) {
    if (!share) return now;
    vec part = load(share, n);
    return part * before + (1.0f - part) * now;  // exact for shares of 0 and 1
}

// The weights of one direction, packed: the recurrent one and, in a forward sweep over data, those of the inputs, each
// with the place among a token's slots where its product goes.
struct Panels {
    Packed recurrent;
    std::vector<std::pair<Int, Packed>> inputs;
};

struct Forward {
    Layer layer;
    Extras more;
    Int features;              // I
    const float* data;         // (N, I), or null if the gates hold all but the recurrent product already
    std::vector<float> bias;   // (D, S, H)
    float* gates;              // (D, N, S, H) what backward needs of the gates, or null if there is none
    const float *h0, *c0;      // (D, B, H)
    float* output;             // (N, D, H)
    float* cells;              // (D, N, H), LSTM, or null like the gates
    float *h_n, *c_n;          // (D, B, H)

    // From what enters the nonlinearities, `x`, which may be `g`, to the new state. The shares are those of this token.
    // `g`, the gates for backward, may be null; `candidate` has room for the new cell state and the normalised one.
    void activate(Int d, const float* x, float* g, const float* hidden, const float* cell, const float* keep_hidden,
                  const float* keep_cell, float* new_hidden, float* new_cell, float* candidate) const {
        Int H = layer.units;
        for (Int u = 0; u < H; u += WIDTH) {
            Int n = H - u;
            vec h;
            if (layer.cell == LSTM) {
                vec i = sigmoid(load(x + u, n)), f = sigmoid(load(x + H + u, n));
                vec z = tanh(load(x + 2 * H + u, n)), o = sigmoid(load(x + 3 * H + u, n));
                vec before = load(cell + u, n), c = f * before + i * z;
                if (g) {
                    store(g + u, i, n), store(g + H + u, f, n);
                    store(g + 2 * H + u, z, n), store(g + 3 * H + u, o, n);
                }
                store(new_cell + u, kept(at(keep_cell, u), before, c, n), n);
                if (more.cell_gain) {
                    store(candidate + u, c, n);
                    continue;
                }
                h = o * tanh(c);
            } else if (layer.cell == GRU) {
                vec r = sigmoid(load(x + u, n)), z = sigmoid(load(x + H + u, n)), q = load(x + 2 * H + u, n);
                vec candidate = tanh(load(x + 3 * H + u, n) + r * q);
                if (g) {
                    store(g + u, r, n), store(g + H + u, z, n);
                    store(g + 2 * H + u, q, n), store(g + 3 * H + u, candidate, n);
                }
                h = candidate + z * (load(hidden + u, n) - candidate);
            } else {
                vec y = load(x + u, n);
                h = layer.cell == RNN_TANH ? tanh(y) : y < 0.0f ? vec{} : y;
                if (g) store(g + u, h, n);
            }
            store(new_hidden + u, kept(at(keep_hidden, u), load(hidden + u, n), h, n), n);
        }
        if (!more.cell_gain) return;
        float* normal = candidate + H;
        normalise(candidate, normal, H);
        for (Int u = 0; u < H; u += WIDTH) {
            Int n = H - u, w = d * H + u;
            vec y = load(normal + u, n) * load(more.cell_gain + w, n) + load(more.cell_bias + w, n);
            vec h = load(g + 3 * H + u, n) * tanh(y);
            store(new_hidden + u, kept(at(keep_hidden, u), load(hidden + u, n), h, n), n);
        }
    }

    // The input products of the next `steps` tokens of each of m lanes, with the biases, a row of S·H values each, the
    // rows of a lane together. They are made where they are used, while the cache has them.
    void project(Int d, Int m, const Cursor* cursors, Int steps, const Panels& panels, float* memory) const {
        Int width = layer.slots * layer.units;
        std::vector<const float*> from, start;
        std::vector<float*> rows;
        for (Int r = 0; r < m; ++r) {
            Cursor ahead = cursors[r];
            for (Int j = 0; j < steps; ++j) {
                from.push_back(data + (layer.offsets[ahead.step()] + ahead.sequence) * features);
                rows.push_back(memory + (r * steps + j) * width);
                if (++ahead.k == ahead.length && !ahead.begin(layer)) break;
            }
        }
        const float* b = &bias[d * width];
        std::vector<float*> to(rows.size());
        for (const auto& [slot, weight] : panels.inputs) {
            for (size_t i = 0; i < to.size(); ++i) to[i] = rows[i] + slot;
            start.assign(to.size(), b + slot);
            multiply(to.size(), from.data(), weight, start.data(), to.data());
        }
        Int q = 2 * layer.units;  // of a GRU, in which the input has no part
        for (size_t i = 0; i < rows.size() && layer.cell == GRU; ++i)
            std::memcpy(rows[i] + q, b + q, layer.units * sizeof(float));
    }

    void run(Int d, Int part, Int parts, const Panels& panels) const {
        Int H = layer.units, N = layer.tokens, fed = layer.fed * H, width = layer.slots * H;
        Lanes lanes = schedule(layer.members(part, parts), layer.lengths);
        Int count = lanes.sequences.size();
        Int room = data ? std::max<Int>(count, PROJECTED / width) : 0, ahead = 0, done = 0;
        std::vector<const float*> hidden(count), cell(count), input(count);
        std::vector<float*> x(count), product(count);
        std::vector<float> masked(more.mask ? count * H : 0), products(more.gain ? count * fed : 0);
        std::vector<float> candidate(more.cell_gain ? 2 * H : 0);
        std::vector<float> carried(layer.cell == LSTM && !cells ? count * H : 0);
        for (Int r = 0; r < count && more.gain; ++r) product[r] = &products[r * fed];
        static thread_local Arena arena;
        float* rows = arena.room(room * width);
        auto mask = [&](Int r, Int sequence) {
            input[r] = hidden[r];
            if (!more.mask) return;
            scaled(more.mask + (d * layer.batch + sequence) * H, hidden[r], &masked[r * H], H);
            input[r] = &masked[r * H];
        };
        auto starts = [&](Int r, const Cursor& at) {
            hidden[r] = h0 + (d * layer.batch + at.sequence) * H;
            if (layer.cell == LSTM) cell[r] = c0 + (d * layer.batch + at.sequence) * H;
            mask(r, at.sequence);
        };
        auto advance = [&](Int m, const Cursor* cursors) {
            if (data && done == ahead) {
                done = 0, ahead = room / m;
                project(d, m, cursors, ahead, panels, rows);
            }
            for (Int r = 0; r < m; ++r) {
                Int row = d * N + layer.offsets[cursors[r].step()] + cursors[r].sequence;
                x[r] = data ? rows + (r * ahead + done) * width : gates + row * width;
            }
            ++done;
            if (more.gain)
                multiply(m, input.data(), panels.recurrent, nullptr, product.data());
            else
                multiply(m, input.data(), panels.recurrent, x.data(), x.data());
            for (Int r = 0; r < m; ++r) {
                Int token = layer.offsets[cursors[r].step()] + cursors[r].sequence, row = d * N + token;
                if (more.gain) {
                    float* normal = more.normal ? more.normal + row * fed : product[r];
                    float scale = normalise(product[r], normal, fed);
                    if (more.scale) more.scale[row] = scale;
                    const float* gain = more.gain + d * fed;
                    for (Int u = 0; u < fed; ++u) x[r][u] += gain[u] * normal[u];
                }
                float* new_hidden = output + (token * layer.directions + d) * H;
                float* new_cell = layer.cell != LSTM ? nullptr : cells ? cells + row * H : &carried[r * H];
                float* g = gates ? gates + row * width : more.cell_gain ? x[r] : nullptr;
                activate(d, x[r], g, hidden[r], cell[r], at(more.keep_hidden, row * H), at(more.keep_cell, row * H),
                         new_hidden, new_cell, candidate.data());
                hidden[r] = new_hidden, cell[r] = new_cell;
                mask(r, cursors[r].sequence);
            }
        };
        auto ends = [&](Int r, const Cursor& at) {
            Int row = (d * layer.batch + at.sequence) * H;
            std::memcpy(h_n + row, hidden[r], H * sizeof(float));
            if (layer.cell == LSTM) std::memcpy(c_n + row, cell[r], H * sizeof(float));
        };
        sweep(layer, lanes, d == 0, starts, advance, ends);
        arena.end();
    }
};

struct Backward {
    Layer layer;
    Extras more;
    const float *gates, *cells, *output, *h0, *c0;  // as Forward left them
    const float* d_output;                          // (N, D, H)
    const float *d_h_n, *d_c_n;                     // (D, B, H)
    float* d_gates;                                 // (D, N, S, H), before the nonlinearity; may be `gates`
    float* before;                                  // (D, N, H) the hidden state before each token
    float *d_h0, *d_c0;                             // (D, B, H)

    // From dh (with what comes from above) and dc of a token to its d_gates; leaves in dh what bypasses the weight.
    // `row` is that of the token among those of all directions; `gradient` has room for H values.
    void differentiate(Int direction, Int row, const float* g, const float* hidden, const float* cell,
                       const float* new_cell, const float* mask, const float* above, float* dg, float* dh, float* dc,
                       float* hidden_copy, float* gradient) const {
        Int H = layer.units;
        const float *keep_hidden = at(more.keep_hidden, row * H), *keep_cell = at(more.keep_cell, row * H);
        if (more.cell_gain) normalise_cell_back(direction, row, g, cell, new_cell, above, dh, gradient);
        for (Int u = 0; u < H; u += WIDTH) {
            Int n = H - u;
            vec total = load(dh + u) + load(above + u, n), h = load(hidden + u, n);
            vec stays = keep_hidden ? total * load(keep_hidden + u, n) : vec{}, d = total - stays;
            store(hidden_copy + u, mask ? h * load(mask + u, n) : h, n);
            if (layer.cell == LSTM) {
                vec i = load(g + u, n), f = load(g + H + u, n), z = load(g + 2 * H + u, n), o = load(g + 3 * H + u, n);
                vec before = load(cell + u, n), c = keep_cell ? f * before + i * z : load(new_cell + u, n);
                vec carried = load(dc + u), cell_stays = keep_cell ? carried * load(keep_cell + u, n) : vec{};
                vec squashed, e = carried - cell_stays;
                if (more.cell_gain) {
                    Int w = direction * H + u;
                    squashed = tanh(load(more.cell_normal + row * H + u, n) * load(more.cell_gain + w, n) +
                                    load(more.cell_bias + w, n));
                    e += load(gradient + u, n);
                } else {
                    squashed = tanh(c);
                    e += d * o * (1.0f - squashed * squashed);
                }
                store(dg + u, e * z * i * (1.0f - i), n);
                store(dg + H + u, e * before * f * (1.0f - f), n);
                store(dg + 2 * H + u, e * i * (1.0f - z * z), n);
                store(dg + 3 * H + u, d * squashed * o * (1.0f - o), n);
                store(dc + u, e * f + cell_stays);
                if (keep_hidden) store(dh + u, stays);
            } else if (layer.cell == GRU) {
                vec r = load(g + u, n), z = load(g + H + u, n), q = load(g + 2 * H + u, n), c = load(g + 3 * H + u, n);
                vec dn = d * (1.0f - z) * (1.0f - c * c), dq = dn * r;
                store(dg + u, dq * q * (1.0f - r), n);
                store(dg + H + u, d * (h - c) * z * (1.0f - z), n);
                store(dg + 2 * H + u, dq, n);
                store(dg + 3 * H + u, dn, n);
                store(dh + u, d * z + stays);
            } else {
                vec y = load(g + u, n);
                store(dg + u, layer.cell == RNN_TANH ? d * (1.0f - y * y) : y > 0.0f ? d : vec{}, n);
                if (keep_hidden) store(dh + u, stays);
            }
        }
    }

    // The gradient of the new cell state through its normalisation.
    void normalise_cell_back(Int d, Int row, const float* g, const float* cell, const float* new_cell,
                             const float* above, const float* dh, float* gradient) const {
        Int H = layer.units;
        const float *keep_hidden = at(more.keep_hidden, row * H), *gain = more.cell_gain + d * H;
        float *normal = more.cell_normal + row * H, *d_normal = more.d_cell_normal + row * H;
        for (Int u = 0; u < H; u += WIDTH) {
            Int n = H - u;
            vec c = load(new_cell + u, n);
            if (more.keep_cell) c = load(g + H + u, n) * load(cell + u, n) + load(g + u, n) * load(g + 2 * H + u, n);
            store(gradient + u, c, n);
        }
        float scale = normalise(gradient, normal, H);
        for (Int u = 0; u < H; u += WIDTH) {
            Int n = H - u;
            vec squashed = tanh(load(normal + u, n) * load(gain + u, n) + load(more.cell_bias + d * H + u, n));
            vec e = load(dh + u) + load(above + u, n);
            if (keep_hidden) e -= e * load(keep_hidden + u, n);
            e = e * load(g + 3 * H + u, n) * (1.0f - squashed * squashed);
            store(d_normal + u, e, n);
            store(gradient + u, e * load(gain + u, n), n);
        }
        normalise_back(gradient, normal, scale, gradient, H);
    }

    void run(Int d, Int part, Int parts, const Panels& panels) const {
        const Packed& weight = panels.recurrent;
        Int H = layer.units, N = layer.tokens, pitch = weight.vectors * WIDTH, fed = layer.fed * H;
        bool bypass = layer.cell == GRU || more.keep_hidden;
        Lanes lanes = schedule(layer.members(part, parts), layer.lengths);
        Int count = lanes.sequences.size();
        std::vector<float> carry(2 * count * pitch);  // dh and dc of each lane
        std::vector<float> unmasked(more.mask ? count * pitch : 0), gradient(more.cell_gain ? H : 0);
        std::vector<float*> dh(count), dc(count), dg(count), product(count);
        for (Int r = 0; r < count; ++r) dh[r] = &carry[2 * r * pitch], dc[r] = dh[r] + pitch;
        for (Int r = 0; r < count; ++r) product[r] = more.mask ? &unmasked[r * pitch] : dh[r];
        auto starts = [&](Int r, const Cursor& at) {
            Int row = (d * layer.batch + at.sequence) * H;
            std::memcpy(dh[r], d_h_n + row, H * sizeof(float));
            if (layer.cell == LSTM) std::memcpy(dc[r], d_c_n + row, H * sizeof(float));
        };
        auto advance = [&](Int m, const Cursor* cursors) {
            for (Int r = 0; r < m; ++r) {
                Int j = cursors[r].sequence, t = cursors[r].step(), token = layer.offsets[t] + j, row = d * N + token;
                Int earlier = d == 0 ? t - 1 : t + 1;
                bool first = earlier < 0 || earlier == cursors[r].length;
                Int previous = first ? 0 : layer.offsets[earlier] + j;
                const float* hidden = first ? h0 + (d * layer.batch + j) * H
                                            : output + (previous * layer.directions + d) * H;
                const float *cell = nullptr, *new_cell = nullptr;
                if (layer.cell == LSTM) {
                    cell = first ? c0 + (d * layer.batch + j) * H : cells + (d * N + previous) * H;
                    new_cell = cells + row * H;
                }
                Int slot = row * layer.slots * H, out = (token * layer.directions + d) * H;
                dg[r] = d_gates + slot;
                differentiate(d, row, gates + slot, hidden, cell, new_cell,
                              at(more.mask, (d * layer.batch + j) * H), d_output + out, dg[r], dh[r], dc[r],
                              before + row * H, gradient.data());
                if (more.gain) {
                    float* of_product = more.products + row * fed;
                    scaled(more.gain + d * fed, dg[r], of_product, fed);
                    normalise_back(of_product, more.normal + row * fed, more.scale[row], of_product, fed);
                    dg[r] = of_product;
                }
            }
            multiply(m, dg.data(), weight, bypass && !more.mask ? product.data() : nullptr, product.data());
            for (Int r = 0; r < m && more.mask; ++r) {
                const float* mask = more.mask + (d * layer.batch + cursors[r].sequence) * H;
                for (Int u = 0; u < H; ++u) dh[r][u] = (bypass ? dh[r][u] : 0.0f) + mask[u] * product[r][u];
            }
        };
        auto ends = [&](Int r, const Cursor& at) {
            Int row = (d * layer.batch + at.sequence) * H;
            std::memcpy(d_h0 + row, dh[r], H * sizeof(float));
            if (layer.cell == LSTM) std::memcpy(d_c0 + row, dc[r], H * sizeof(float));
        };
        sweep(layer, lanes, d != 0, starts, advance, ends);
    }
};

// A weight to be packed, (columns, depth) if transposed, else (depth, columns).
struct Source {
    Packed* packed;
    const float* weight;
    bool transposed;
};

// Packs the weights, then runs the parts of all directions, with `threads` threads.
template <class Sweep>
static void run(const Sweep& work, const std::vector<Panels>& panels, const std::vector<Source>& sources,
                int threads) {
    static thread_local Arena arena;
    Int size = 0, directions = panels.size(), parts = std::max<Int>(1, threads / directions);
    for (const Source& source : sources) size += source.packed->size();
    float* memory = arena.room(size);
    std::vector<std::pair<const Source*, Int>> pieces;
    for (const Source& source : sources) {
        source.packed->data = memory;
        memory += source.packed->size();
        for (Int panel = 0; panel < source.packed->panels; ++panel) pieces.push_back({&source, panel});
    }
#pragma omp parallel num_threads(threads)
    {
#pragma omp for schedule(static)
        for (size_t i = 0; i < pieces.size(); ++i) {
            const Source& source = *pieces[i].first;
            source.packed->fill(pieces[i].second, source.weight, source.transposed);
        }
#pragma omp for schedule(static, 1)
        for (Int p = 0; p < directions * parts; ++p) work.run(p / parts, p % parts, parts, panels[p / parts]);
    }
    arena.end();
}

// What is added to a token's slots besides the products; either bias may be null.
static void add_biases(const Layer& layer, const float* input, const float* hidden, float* slots) {
    Int fed = layer.fed * layer.units, shared = layer.cell == GRU ? 2 * layer.units : fed;
    for (Int u = 0; u < fed; ++u) {
        if (input) slots[u < shared ? u : u + layer.units] += input[u];  // of GRU's n, behind q
        if (hidden) slots[u] += hidden[u];
    }
}

extern "C" {

// Counted up with every change of these functions; native.py refuses a library built from another source.
int seqkit_interface() { return 1; }

// Without data the gates hold all but the recurrent product. Of the weights and biases the second ones are those of
// the reverse direction.
void seqkit_forward(int cell, Int steps, Int batch, Int units, Int directions, const Int* sizes, int threads,
                    Int features, const float* data, const float* input_weight, const float* input_weight_2,
                    const float* weight, const float* weight_2, const float* input_bias, const float* input_bias_2,
                    const float* bias, const float* bias_2, float* gates, const float* h0, const float* c0,
                    float* output, float* cells, float* h_n, float* c_n, const float* mask, const float* keep_hidden,
                    const float* keep_cell, const float* gain, const float* cell_gain, const float* cell_bias,
                    float* normal, float* scale) {
    Extras more{mask, keep_hidden, keep_cell, gain, cell_gain, cell_bias, normal, scale, nullptr, nullptr, nullptr};
    Forward work{Layer(cell, steps, batch, units, directions, sizes),
                 more, features, data, {}, gates, h0, c0, output, cells, h_n, c_n};
    Int fed = work.layer.fed * units, width = work.layer.slots * units, joint = cell == GRU ? 2 * units : fed;
    const float *input_weights[] = {input_weight, input_weight_2}, *weights[] = {weight, weight_2};
    work.bias.resize(directions * width);
    add_biases(work.layer, input_bias, bias, work.bias.data());
    if (directions == 2) add_biases(work.layer, input_bias_2, bias_2, &work.bias[width]);
    std::vector<Panels> panels(directions, Panels{Packed(units, fed), {}});
    std::vector<Source> sources;
    for (Int d = 0; d < directions; ++d) {
        sources.push_back({&panels[d].recurrent, weights[d], true});
        if (!data) continue;
        panels[d].inputs.push_back({0, Packed(features, joint)});
        if (joint < fed) panels[d].inputs.push_back({3 * units, Packed(features, units)});
        const float* rows = input_weights[d];
        for (auto& input : panels[d].inputs) {
            sources.push_back({&input.second, rows, true});
            rows += input.second.columns * features;
        }
    }
    run(work, panels, sources, threads);
}

void seqkit_backward(int cell, Int steps, Int batch, Int units, Int directions, const Int* sizes, int threads,
                     const float* weight, const float* weight_2, const float* gates, const float* cells,
                     const float* output, const float* h0, const float* c0, const float* d_output,
                     const float* d_h_n, const float* d_c_n, float* d_gates, float* before, float* d_h0,
                     float* d_c0, const float* mask, const float* keep_hidden, const float* keep_cell,
                     const float* gain, const float* cell_gain, const float* cell_bias, float* normal, float* scale,
                     float* products, float* cell_normal, float* d_cell_normal) {
    Extras more{mask,   keep_hidden, keep_cell, gain,        cell_gain,    cell_bias,
                normal, scale,       products,  cell_normal, d_cell_normal};
    Backward work{Layer(cell, steps, batch, units, directions, sizes), more,
                  gates, cells, output, h0, c0, d_output, d_h_n, d_c_n, d_gates, before, d_h0, d_c0};
    std::vector<Panels> panels(directions, Panels{Packed(work.layer.fed * units, units), {}});
    std::vector<Source> sources{{&panels[0].recurrent, weight, false}};
    if (directions == 2) sources.push_back({&panels[1].recurrent, weight_2, false});
    run(work, panels, sources, threads);
}
}
