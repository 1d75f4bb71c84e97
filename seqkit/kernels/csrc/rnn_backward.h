// The backward sweep of a recurrent layer.
#pragma once

#include "rnn.h"

struct Backward {
    Layer layer;
    Extras more;
    const float *gates, *cells, *output, *h0, *c0;  // as Forward wrote them
    const float* d_output;                          // (N, D, H)
    const float *d_h_n, *d_c_n;                     // (D, B, H)
    float* d_gates;                                 // (D, N, S, H), before the nonlinearity; may be `gates`
    float* before;                                  // (D, N, H) the hidden state before each token
    float *d_h0, *d_c0;                             // (D, B, H)

    // Computes a token's d_gates from dh (plus the output's gradient `above`) and dc. Leaves in dh the part that does
    // not go through the recurrent weight. `row` is the token's row in the arrays (D, N, ...); `gradient` is scratch
    // memory for H values.
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
                // As in torch, a unit that is NaN passes the gradient on.
                store(dg + u, layer.cell == RNN_TANH ? d * (1.0f - y * y) : y <= 0.0f ? vec{} : d, n);
                if (keep_hidden) store(dh + u, stays);
            }
        }
    }

    // Computes the gradient of the new cell state through its normalisation.
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

    // Sweeps over the sequences of one of `parts` threads in direction d.
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
                Int j = cursors[r].sequence, t = cursors[r].step(), token = layer.starts[t] + j, row = d * N + token;
                Int earlier = d == 0 ? t - 1 : t + 1;
                bool first = earlier < 0 || earlier == cursors[r].length;
                Int previous = first ? 0 : layer.starts[earlier] + j;
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
