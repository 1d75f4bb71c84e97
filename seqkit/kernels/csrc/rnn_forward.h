// The forward sweep of a recurrent layer.
#pragma once

#include <utility>

#include "rnn.h"

// Floats of input products that a thread computes at once: they stay in its cache until they are used.
enum { PROJECTED = 1 << 16 };

struct Forward {
    Layer layer;
    Extras more;
    Int features;              // I
    const float* data;         // (N, I), or null if the gates contain everything but the recurrent product
    std::vector<float> bias;   // (D, S, H)
    float* gates;              // (D, N, S, H) the gates for backward, or null if there is none
    const float *h0, *c0;      // (D, B, H)
    float* output;             // (N, D, H)
    float* cells;              // (D, N, H), of an LSTM; null like the gates
    float *h_n, *c_n;          // (D, B, H)

    // Computes the new state of one token from the inputs `x` of its nonlinearities. `g`, the gates for backward, may
    // be `x` or null. The shares are those of this token. `candidate` is scratch memory for the new cell state and its
    // normalised values.
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

    // Computes the input products, with the biases, of the next `steps` tokens of each of m lanes: a row of S·H values
    // for each token, the rows of a lane together.
    void project(Int d, Int m, const Cursor* cursors, Int steps, const Panels& panels, float* memory) const {
        Int width = layer.slots * layer.units;
        std::vector<const float*> from, start;
        std::vector<float*> rows;
        for (Int r = 0; r < m; ++r) {
            Cursor ahead = cursors[r];
            for (Int j = 0; j < steps; ++j) {
                from.push_back(data + (layer.starts[ahead.step()] + ahead.sequence) * features);
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
        Int q = 2 * layer.units;  // the slot of a GRU that gets no input
        for (size_t i = 0; i < rows.size() && layer.cell == GRU; ++i)
            std::memcpy(rows[i] + q, b + q, layer.units * sizeof(float));
    }

    // Sweeps over the sequences of one of `parts` threads in direction d.
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
        float* rows = arena.reserve(room * width);
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
                Int row = d * N + layer.starts[cursors[r].step()] + cursors[r].sequence;
                x[r] = data ? rows + (r * ahead + done) * width : gates + row * width;
            }
            ++done;
            if (more.gain)
                multiply(m, input.data(), panels.recurrent, nullptr, product.data());
            else
                multiply(m, input.data(), panels.recurrent, x.data(), x.data());
            for (Int r = 0; r < m; ++r) {
                Int token = layer.starts[cursors[r].step()] + cursors[r].sequence, row = d * N + token;
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
        arena.release();
    }
};
