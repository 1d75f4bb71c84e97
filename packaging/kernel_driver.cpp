// Checks the compiled sweeps without Python and torch, for systems that have neither.
//
//     cd seqkit/kernels/csrc
//     c++ -std=c++17 -O3 -pthread -DSEQKIT_SOURCE=0 -I . ../../../packaging/kernel_driver.cpp rnn.cpp crf.cpp pool.cpp
//
// Recurrent layers are compared with a scalar loop over each sequence alone, in double precision; its gradients come
// from a tape of all operations. CRFs are compared with sums over all paths. Prints a line for each group; returns 1
// if a difference is too large.

#include <algorithm>
#include <cmath>
#include <cstdio>
#include <string>
#include <thread>
#include <vector>

#include "api.h"
#include "tape.h"

typedef std::vector<float> Floats;

// Random numbers that are the same on every system.
struct Random {
    uint64_t state;

    double uniform() {  // in [0, 1)
        state = state * 6364136223846793005u + 1442695040888963407u;
        return double(state >> 33) / double(1u << 31);
    }

    Floats floats(Int count, double low, double high) {
        Floats values(count);
        for (float& value : values) value = float(low + (high - low) * uniform());
        return values;
    }
};

// The largest difference of a group, relative to the largest expected value of each array.
struct Group {
    std::string name;
    double tolerance, worst = 0.0;
    int arrays = 0;

    template <class Found>
    void compare(const Found& found, const Doubles& expected) {
        double largest = 1.0, difference = 0.0;
        for (double e : expected) largest = std::max(largest, std::abs(e));
        for (size_t i = 0; i < expected.size(); ++i) {
            const double d = std::abs(double(found[i]) - expected[i]);
            difference = std::max(difference, std::isnan(d) ? INFINITY : d);
        }
        if (found.size() != expected.size()) difference = INFINITY;
        worst = std::max(worst, difference / largest);
        ++arrays;
    }

    void expect(bool same) { worst = same ? worst : INFINITY, ++arrays; }

    bool report() const {
        const bool good = worst <= tolerance;
        std::printf("%-4s %-28s %4d comparisons, largest difference %.1e\n", good ? "ok" : "FAIL", name.c_str(), arrays,
                    worst);
        std::fflush(stdout);
        return good;
    }
};

struct Batch {
    std::vector<Int> lengths, sizes, starts;
    Int tokens = 0;

    explicit Batch(std::vector<Int> given) : lengths(std::move(given)) {
        for (Int t = 0; t < lengths[0]; ++t) {
            starts.push_back(tokens);
            sizes.push_back(std::count_if(lengths.begin(), lengths.end(), [&](Int n) { return n > t; }));
            tokens += sizes.back();
        }
    }

    Int steps() const { return sizes.size(); }
    Int count() const { return lengths.size(); }
};

enum Cell { LSTM, GRU, RNN_TANH, RNN_RELU };
enum Option { BIAS = 1, MASK = 2, KEEP_HIDDEN = 4, KEEP_CELL = 8, NORMAL = 16, CELL_NORMAL = 32, FROM_GATES = 64 };

static const float* pointer(const Floats& values) { return values.empty() ? nullptr : values.data(); }
static float* pointer(Floats& values) { return values.empty() ? nullptr : values.data(); }

// A layer on a batch: its inputs, what the library computes, and what the scalar loop computes.
struct Case {
    const Batch& batch;
    int cell, options;
    Int H, D, I = 5, N = batch.tokens, B = batch.count();
    Int G = cell == LSTM ? 4 : cell == GRU ? 3 : 1, S = cell == LSTM || cell == GRU ? 4 : 1;
    Random random{uint64_t(1 + cell + 10 * H + 1000 * D + 10000 * options + 1000000 * N)};
    bool lstm = cell == LSTM, normal = options & NORMAL, cell_normal = lstm && options & CELL_NORMAL;
    Floats data = random.floats(N * I, -3.0, 3.0), input = weights(I), recurrent = weights(H);
    Floats input_bias = some(BIAS, D * G * H, -1.0, 1.0), bias = some(BIAS, D * G * H, -1.0, 1.0);
    Floats h0 = random.floats(D * B * H, -1.0, 1.0), c0 = random.floats(lstm ? D * B * H : 0, -1.0, 1.0);
    Floats mask = some(MASK, D * B * H, 0.0, 2.0), keep_hidden = some(KEEP_HIDDEN, D * N * H, 0.0, 1.0);
    Floats keep_cell = lstm ? some(KEEP_CELL, D * N * H, 0.0, 1.0) : Floats();
    Floats gain = some(NORMAL, D * G * H, 0.5, 1.5), cell_gain = random.floats(cell_normal ? D * H : 0, 0.5, 1.5);
    Floats cell_bias = random.floats(cell_normal ? D * H : 0, -0.5, 0.5);
    // Gradients of the results.
    Floats d_output = random.floats(N * D * H, -1.0, 1.0), d_h = random.floats(D * B * H, -1.0, 1.0);
    Floats d_c = random.floats(lstm ? D * B * H : 0, -1.0, 1.0);

    Floats weights(Int columns) { return random.floats(D * G * H * columns, -1.0 / std::sqrt(H), 1.0 / std::sqrt(H)); }
    Floats some(int option, Int count, double low, double high) {
        return options & option ? random.floats(count, low, high) : Floats();
    }

    // The inputs of a token's nonlinearities without the recurrent product, in the slots of direction d.
    Doubles slots(Int d, Int token) const {
        Doubles x(S * H);
        for (Int row = 0; row < G * H; ++row) {
            const bool last = cell == GRU && row >= 2 * H;  // n, whose recurrent part has a slot of its own
            double total = 0.0;
            for (Int i = 0; i < I; ++i) total += double(input[(d * G * H + row) * I + i]) * data[token * I + i];
            if (options & BIAS) total += input_bias[d * G * H + row], x[row] += bias[d * G * H + row];
            x[last ? row + H : row] += total;
        }
        return x;
    }

    struct Results {
        Floats output, h_n, c_n, d_gates, before, d_h0, d_c0, products, d_cell_normal, inferred;
        int code = 0;
        std::vector<const Floats*> all() const {
            return {&output, &h_n, &c_n, &d_gates, &before, &d_h0, &d_c0, &products, &d_cell_normal, &inferred};
        }
        bool operator==(const Results& other) const {
            bool same = code == 0 && other.code == 0;
            for (size_t i = 0; i < all().size(); ++i) same = same && *all()[i] == *other.all()[i];
            return same;
        }
    };

    Results run(int threads) const {
        Results found;
        Floats gates(D * N * S * H), cells(lstm ? D * N * H : 0), normals(normal ? D * N * G * H : 0);
        Floats scales(normal ? D * N : 0), no_gates, none;
        if (options & FROM_GATES)
            for (Int row = 0; row < D * N; ++row) {
                const Doubles x = slots(row / N, row % N);
                std::copy(x.begin(), x.end(), &gates[row * S * H]);
            }
        Floats scratch = gates;
        forward(threads, gates, cells, normals, scales, found, found.output);
        Results inference;
        forward(threads, options & FROM_GATES ? scratch : none, none, none, none, inference, found.inferred);
        found.code |= inference.code;
        found.d_gates.resize(gates.size()), found.before.resize(D * N * H);
        found.d_h0 = d_h, found.d_c0 = d_c;
        found.products.resize(normals.size());
        Floats cell_normals(cell_normal ? D * N * H : 0);
        found.d_cell_normal = cell_normals;
        found.code |= seqkit_rnn_backward(
            cell, batch.steps(), B, H, D, batch.sizes.data(), threads, recurrent.data(), &recurrent[(D - 1) * G * H * H],
            gates.data(), pointer(cells), found.output.data(), h0.data(), pointer(c0), d_output.data(), d_h.data(),
            pointer(d_c), found.d_gates.data(), found.before.data(), found.d_h0.data(), pointer(found.d_c0),
            pointer(mask), pointer(keep_hidden), pointer(keep_cell), pointer(gain), pointer(cell_gain),
            pointer(cell_bias), pointer(normals), pointer(scales), pointer(found.products), pointer(cell_normals),
            pointer(found.d_cell_normal));
        return found;
    }

    void forward(int threads, Floats& gates, Floats& cells, Floats& normals, Floats& scales, Results& found,
                 Floats& output) const {
        output.resize(N * D * H), found.h_n = h0, found.c_n = c0;
        const Int second = (D - 1) * G * H;
        const float *b = pointer(input_bias), *c = pointer(bias);
        found.code = seqkit_rnn_forward(
            cell, batch.steps(), B, H, D, batch.sizes.data(), threads, I, options & FROM_GATES ? nullptr : data.data(),
            input.data(), &input[second * I], recurrent.data(), &recurrent[second * H], b, b ? b + second : b, c,
            c ? c + second : c, pointer(gates), h0.data(), pointer(c0), output.data(), pointer(cells), found.h_n.data(),
            pointer(found.c_n), pointer(mask), pointer(keep_hidden), pointer(keep_cell), pointer(gain),
            pointer(cell_gain), pointer(cell_bias), pointer(normals), pointer(scales));
    }

    // Runs the scalar loop over each sequence in each direction, and compares all results.
    void check(const Results& found, Group& group) const {
        Doubles output(N * D * H), h_n(D * B * H), c_n(lstm ? D * B * H : 0), d_gates(D * N * S * H), before(D * N * H);
        Doubles d_h0(h_n), d_c0(c_n), products(normal ? D * N * G * H : 0), d_cell_normal(cell_normal ? D * N * H : 0);
        for (Int d = 0; d < D; ++d)
            for (Int b = 0; b < B; ++b) {
                const Int length = batch.lengths[b], state = (d * B + b) * H;
                Tape tape;
                std::vector<Scalar> h(H), c(lstm ? H : 0), x(S * H), first_h, first_c;
                std::vector<std::vector<Scalar>> all_x, all_outputs, all_products, all_cells;
                for (Int u = 0; u < H; ++u) h[u] = tape.add(h0[state + u]);
                for (Int u = 0; u < H && lstm; ++u) c[u] = tape.add(c0[state + u]);
                first_h = h, first_c = c;
                std::vector<Int> tokens;
                for (Int k = 0; k < length; ++k) {
                    const Int token = batch.starts[d ? length - 1 - k : k] + b, row = d * N + token;
                    tokens.push_back(token);
                    std::vector<Scalar> masked = h, product(G * H), cells;
                    for (Int u = 0; u < H; ++u) {
                        if (!mask.empty()) masked[u] = tape.scaled(h[u], mask[state + u]);
                        before[row * H + u] = tape[masked[u]];
                    }
                    const Doubles own = slots(d, token);
                    for (Int s = 0; s < S * H; ++s) x[s] = tape.add(own[s]);
                    all_x.push_back(x);
                    for (Int g = 0; g < G * H; ++g) product[g] = tape.dot(&recurrent[(d * G * H + g) * H], masked);
                    all_products.push_back(product);
                    if (normal) product = tape.normalised(product);
                    for (Int g = 0; g < G * H; ++g)
                        x[g] = tape.sum(x[g], normal ? tape.scaled(product[g], gain[d * G * H + g]) : product[g]);
                    std::vector<Scalar> now(H), gate(H);
                    for (Int u = 0; u < H; ++u) {
                        if (lstm) {
                            const Scalar in = tape.product(tape.sigmoid(x[u]), tape.tanh(x[2 * H + u]));
                            now[u] = tape.sum(tape.product(tape.sigmoid(x[H + u]), c[u]), in);
                            gate[u] = tape.sigmoid(x[3 * H + u]);
                        } else if (cell == GRU) {
                            const Scalar r = tape.sigmoid(x[u]), z = tape.sigmoid(x[H + u]);
                            const Scalar n = tape.tanh(tape.sum(x[3 * H + u], tape.product(r, x[2 * H + u])));
                            now[u] = tape.sum(n, tape.product(z, tape.sum(h[u], tape.scaled(n, -1.0))));
                        } else {
                            now[u] = cell == RNN_TANH ? tape.tanh(x[u]) : tape.relu(x[u]);
                        }
                    }
                    std::vector<Scalar> squashed = now;
                    if (cell_normal) {
                        squashed = tape.normalised(now);
                        for (Int u = 0; u < H; ++u)
                            squashed[u] = tape.sum(tape.scaled(squashed[u], cell_gain[d * H + u]),
                                                   tape.add(cell_bias[d * H + u]));
                        all_cells.push_back(squashed);
                    }
                    for (Int u = 0; u < H; ++u) {
                        const Int place = row * H + u;
                        if (lstm) c[u] = tape.kept(keep_cell.empty() ? nullptr : &keep_cell[place], c[u], now[u]);
                        const Scalar out = lstm ? tape.product(gate[u], tape.tanh(squashed[u])) : now[u];
                        h[u] = tape.kept(keep_hidden.empty() ? nullptr : &keep_hidden[place], h[u], out);
                        output[(token * D + d) * H + u] = tape[h[u]];
                    }
                    all_outputs.push_back(h);
                }
                for (Int u = 0; u < H; ++u) {
                    h_n[state + u] = tape[h[u]], tape.gradient[h[u].place] += d_h[state + u];
                    if (lstm) c_n[state + u] = tape[c[u]], tape.gradient[c[u].place] += d_c[state + u];
                }
                for (Int k = 0; k < length; ++k)
                    for (Int u = 0; u < H; ++u)
                        tape.gradient[all_outputs[k][u].place] += d_output[(tokens[k] * D + d) * H + u];
                tape.backward();
                for (Int u = 0; u < H; ++u) d_h0[state + u] = tape.gradient[first_h[u].place];
                for (Int u = 0; u < H && lstm; ++u) d_c0[state + u] = tape.gradient[first_c[u].place];
                for (Int k = 0; k < length; ++k) {
                    const Int row = d * N + tokens[k];
                    auto gradients = [&](Doubles& to, const std::vector<std::vector<Scalar>>& of) {
                        const Int width = of[k].size();
                        for (Int i = 0; i < width; ++i) to[row * width + i] = tape.gradient[of[k][i].place];
                    };
                    gradients(d_gates, all_x);
                    if (normal) gradients(products, all_products);
                    if (cell_normal) gradients(d_cell_normal, all_cells);
                }
            }
        const std::vector<const Doubles*> expected{&output, &h_n,  &c_n,      &d_gates,       &before,
                                                   &d_h0,   &d_c0, &products, &d_cell_normal, &output};
        for (size_t i = 0; i < expected.size(); ++i) group.compare(*found.all()[i], *expected[i]);
        group.expect(found.code == 0);
    }
};

// Compares the functions of a CRF with the sums over all paths of each sequence.
static void check_crf(const Batch& batch, Int C, int threads, Group& group) {
    Random random{uint64_t(C + 100 * batch.tokens)};
    auto drawn = [&](Int count) {
        Doubles values(count);
        for (double& value : values) value = 0.1 + 0.9 * random.uniform();
        return values;
    };
    auto logarithms = [](Doubles values) {
        for (double& value : values) value = std::log(value);
        return values;
    };
    const Int N = batch.tokens, B = batch.count(), *sizes = batch.sizes.data();
    const Doubles x = drawn(N * C), start = drawn(C), transitions = drawn(C * C), end = drawn(C);
    Doubles transposed(C * C), states(N * C), norms(N), marginals(N * C), after(N * C), best(B), pairs(C * C);
    for (Int i = 0; i < C * C; ++i) transposed[i] = transitions[i % C * C + i / C];
    std::vector<Int> tags(N);
    int code = seqkit_crf_forward(batch.steps(), B, C, sizes, threads, x.data(), start.data(), transitions.data(),
                                  end.data(), states.data(), norms.data());
    code |= seqkit_crf_backward(batch.steps(), B, C, sizes, threads, x.data(), transposed.data(), end.data(),
                                states.data(), marginals.data(), after.data());
    code |= seqkit_crf_viterbi(batch.steps(), B, C, sizes, threads, logarithms(x).data(), logarithms(start).data(),
                               logarithms(transitions).data(), logarithms(end).data(), tags.data(), best.data());
    for (Int n = 0; n < N; ++n)
        for (Int i = 0; i < C * C; ++i) pairs[i] += transitions[i] * states[n * C + i / C] * after[n * C + i % C];
    Doubles all_marginals(N * C), all_pairs(C * C), sums(B), found_sums(B, 1.0), bests(B), all_tags(N);
    for (Int b = 0; b < B; ++b) {
        const Int length = batch.lengths[b], count = std::llround(std::pow(C, length));
        Doubles own_marginals(length * C), own_pairs(C * C);
        std::vector<Int> path(length), best_path;
        double highest = 0.0;
        for (Int number = 0; number < count; ++number) {
            for (Int t = 0, rest = number; t < length; ++t, rest /= C) path[t] = rest % C;
            double weight = start[path[0]] * end[path.back()];
            for (Int t = 0; t < length; ++t) weight *= x[(batch.starts[t] + b) * C + path[t]];
            for (Int t = 1; t < length; ++t) weight *= transitions[path[t - 1] * C + path[t]];
            sums[b] += weight;
            for (Int t = 0; t < length; ++t) own_marginals[t * C + path[t]] += weight;
            for (Int t = 1; t < length; ++t) own_pairs[path[t - 1] * C + path[t]] += weight;
            if (weight > highest) highest = weight, best_path = path;
        }
        for (Int i = 0; i < C * C; ++i) all_pairs[i] += own_pairs[i] / sums[b];
        for (Int t = 0; t < length; ++t) {
            const Int n = batch.starts[t] + b;
            for (Int j = 0; j < C; ++j) all_marginals[n * C + j] = own_marginals[t * C + j] / sums[b];
            found_sums[b] *= norms[n], all_tags[n] = double(best_path[t]);
        }
        bests[b] = std::log(highest);
    }
    group.compare(found_sums, sums), group.compare(marginals, all_marginals), group.compare(pairs, all_pairs);
    group.compare(best, bests), group.compare(tags, all_tags), group.expect(code == 0);
}

int main() {
    const char* names[] = {"LSTM", "GRU", "RNN tanh", "RNN relu"};
    const std::vector<Batch> batches{Batch({1}), Batch({9}), Batch({4, 4, 4, 1, 1}), Batch({40, 3, 2, 2, 1, 1, 1}),
                                     Batch({12, 11, 11, 9, 8, 8, 7, 5, 5, 3, 3, 2, 1})};
    const int all = BIAS | MASK | KEEP_HIDDEN | KEEP_CELL | NORMAL | CELL_NORMAL;
    const std::vector<int> options{BIAS, 0, FROM_GATES | BIAS, MASK, KEEP_HIDDEN | KEEP_CELL, BIAS | NORMAL,
                                   BIAS | CELL_NORMAL, all};
    bool good = true;
    for (int cell = LSTM; cell <= RNN_RELU; ++cell)
        for (Int units : {1, 3, 7, 16, 33, 130}) {
            Group group{std::string(names[cell]) + ", units " + std::to_string(units), 1e-4};
            for (const Batch& batch : batches)
                for (int option : options)
                    for (Int directions : {1, 2}) {
                        if (units > 33 && (option & ~BIAS) && option != all) continue;  // the tape would be long
                        // Normalising few values amplifies rounding errors.
                        if (units < 7 && option & (NORMAL | CELL_NORMAL)) continue;
                        const Case layer{batch, cell, option, units, directions};
                        const Case::Results found = layer.run(1);
                        layer.check(found, group);
                        for (int threads : {2, 3, 4}) group.expect(layer.run(threads) == found);
                    }
            good = group.report() && good;
        }
    Group crf{"CRF", 1e-10};
    for (Int tags : {1, 2, 3, 5})
        for (int threads : {1, 2, 4}) {
            for (const auto& lengths : {std::vector<Int>{1}, {5}, {4, 4, 3, 1, 1}, {6, 1, 1}})
                check_crf(Batch(lengths), tags, threads, crf);
        }
    good = crf.report() && good;
    Group threads{"calls of many threads at once", 0.0};
    const Case layer{batches.back(), LSTM, BIAS, 33, 2};
    const Case::Results expected = layer.run(1);
    std::vector<int> same(8);
    std::vector<std::thread> callers;
    for (int& good_calls : same)
        callers.emplace_back([&] {
            for (int i = 0; i < 50; ++i) good_calls += layer.run(2 + i % 3) == expected;
        });
    for (std::thread& caller : callers) caller.join();
    for (int good_calls : same) threads.expect(good_calls == 50);
    return threads.report() && good ? 0 : 1;
}
