// Sweeps of a recurrent layer over the time steps of packed sequences, for float32 on a CPU. closed_form has the same
// computation in plain torch, with explanations.
//
// The compiler's flags determine the vector width; setup.py builds one library for each.
//
// D directions, N tokens, B sequences, H units, S slots of a unit (LSTM: gates i f g o; GRU: r z q n, where q is the
// recurrent part of n; RNN: 1). The recurrent weight feeds the first G slots. All arrays are dense.
//
// Why it is fast: schedule.h keeps the number of rows per step constant. The weight is packed once a call into panels
// as wide as a register tile (gemm.h); a step reads each panel once, for all rows. Input products are computed a few
// steps ahead, as many as fit in a thread's cache; in inference there is no array of all gates.

#include "rnn_backward.h"
#include "rnn_forward.h"

// Sums the biases of each slot; either bias may be null.
static void add_biases(const Layer& layer, const float* input, const float* hidden, float* slots) {
    Int fed = layer.fed * layer.units, shared = layer.cell == GRU ? 2 * layer.units : fed;
    for (Int u = 0; u < fed; ++u) {
        if (input) slots[u < shared ? u : u + layer.units] += input[u];  // n of a GRU comes after q
        if (hidden) slots[u] += hidden[u];
    }
}

uint64_t seqkit_source() { return SEQKIT_SOURCE; }

int seqkit_rnn_forward(int cell, Int steps, Int batch, Int units, Int directions, const Int* sizes, int threads,
                       Int features, const float* data, const float* input_weight, const float* input_weight_2,
                       const float* weight, const float* weight_2, const float* input_bias,
                       const float* input_bias_2, const float* bias, const float* bias_2, float* gates,
                       const float* h0, const float* c0, float* output, float* cells, float* h_n, float* c_n,
                       const float* mask, const float* keep_hidden, const float* keep_cell, const float* gain,
                       const float* cell_gain, const float* cell_bias, float* normal, float* scale) {
    return guarded([&] {
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
    });
}

int seqkit_rnn_backward(int cell, Int steps, Int batch, Int units, Int directions, const Int* sizes, int threads,
                        const float* weight, const float* weight_2, const float* gates, const float* cells,
                        const float* output, const float* h0, const float* c0, const float* d_output,
                        const float* d_h_n, const float* d_c_n, float* d_gates, float* before, float* d_h0,
                        float* d_c0, const float* mask, const float* keep_hidden, const float* keep_cell,
                        const float* gain, const float* cell_gain, const float* cell_bias, float* normal,
                        float* scale, float* products, float* cell_normal, float* d_cell_normal) {
    return guarded([&] {
        Extras more{mask,   keep_hidden, keep_cell, gain,        cell_gain,    cell_bias,
                    normal, scale,       products,  cell_normal, d_cell_normal};
        Backward work{Layer(cell, steps, batch, units, directions, sizes), more,
                      gates, cells, output, h0, c0, d_output, d_h_n, d_c_n, d_gates, before, d_h0, d_c0};
        std::vector<Panels> panels(directions, Panels{Packed(work.layer.fed * units, units), {}});
        std::vector<Source> sources{{&panels[0].recurrent, weight, false}};
        if (directions == 2) sources.push_back({&panels[1].recurrent, weight_2, false});
        run(work, panels, sources, threads);
    });
}
