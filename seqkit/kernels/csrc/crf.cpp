// Sweeps of a linear-chain CRF over packed sequences, for float64 on a CPU. crf.py documents what they compute.
//
// T steps, B sequences (longest first), N tokens, C tags; all arrays are dense. Each sequence is independent and runs
// in one thread.

#include <algorithm>
#include <vector>

#include "layout.h"
#include "pool.h"

namespace {

// out = row @ matrix
inline void product(Int C, const double* __restrict row, const double* __restrict matrix, double* __restrict out) {
    for (Int j = 0; j < C; ++j) out[j] = 0.0;
    Int i = 0;
    for (; i + 4 <= C; i += 4) {
        const double a = row[i], b = row[i + 1], c = row[i + 2], d = row[i + 3];
        const double *p = matrix + i * C, *q = p + C, *r = q + C, *s = r + C;
        for (Int j = 0; j < C; ++j) out[j] += (a * p[j] + b * q[j]) + (c * r[j] + d * s[j]);
    }
    for (; i < C; ++i)
        for (Int j = 0; j < C; ++j) out[j] += row[i] * matrix[i * C + j];
}

// Finds the best path of one sequence.
void best_path(Int C, Int b, const Layout& layout, const double* scores, const double* start, const double* transitions,
               const double* end, Int* tags, double* best) {
    const Int length = layout.lengths[b];
    // Pointers to the tags before are doubles: all vectors have the same width.
    std::vector<double> held(C), next(C), from(length * C);
    for (Int j = 0; j < C; ++j) held[j] = start[j] + scores[b * C + j];
    for (Int t = 1; t < length; ++t) {
        const double* __restrict x = scores + (layout.starts[t] + b) * C;
        double* __restrict v = next.data();
        double* __restrict back = from.data() + t * C;
        for (Int j = 0; j < C; ++j) v[j] = held[0] + transitions[j], back[j] = 0.0;
        for (Int i = 1; i < C; ++i) {
            const double* __restrict row = transitions + i * C;
            const double value = held[i], index = double(i);
            for (Int j = 0; j < C; ++j) {
                const double candidate = value + row[j];
                const bool more = candidate > v[j];
                v[j] = more ? candidate : v[j];
                back[j] = more ? index : back[j];
            }
        }
        for (Int j = 0; j < C; ++j) v[j] += x[j];
        held.swap(next);
    }
    for (Int j = 0; j < C; ++j) held[j] += end[j];
    Int tag = std::max_element(held.begin(), held.end()) - held.begin();
    best[b] = held[tag];
    for (Int t = length - 1; t >= 0; --t) {
        tags[layout.starts[t] + b] = tag;
        tag = Int(from[t * C + tag]);
    }
}

}  // namespace

int seqkit_crf_forward(Int steps, Int batch, Int C, const Int* sizes, int threads, const double* potentials,
                       const double* start, const double* transitions, const double* end, double* states,
                       double* norms) {
    return guarded([&] {
        const Layout layout(steps, batch, sizes);
        parallel(threads, batch, [&](Int b) {
            const double* before = nullptr;
            for (Int t = 0; t < layout.lengths[b]; ++t) {
                const Int n = layout.starts[t] + b;
                const double* __restrict x = potentials + n * C;
                double* __restrict p = states + n * C;
                if (before) product(C, before, transitions, p);
                else std::copy(start, start + C, p);
                double sum = 0.0;
                for (Int j = 0; j < C; ++j) sum += p[j] *= x[j];
                const double scale = 1.0 / sum;
                for (Int j = 0; j < C; ++j) p[j] *= scale;
                norms[n] = sum;
                before = p;
            }
            double last = 0.0;
            for (Int j = 0; j < C; ++j) last += before[j] * end[j];
            norms[layout.starts[layout.lengths[b] - 1] + b] *= last;
        });
    });
}

// Writes `marginals` and `after`.
int seqkit_crf_backward(Int steps, Int batch, Int C, const Int* sizes, int threads, const double* potentials,
                       const double* transposed, const double* end, const double* states, double* marginals,
                       double* after) {
    return guarded([&] {
        const Layout layout(steps, batch, sizes);
        parallel(threads, batch, [&](Int b) {
            std::vector<double> future(end, end + C);
            for (Int t = layout.lengths[b] - 1; t >= 0; --t) {
                const Int n = layout.starts[t] + b;
                const double* __restrict p = states + n * C;
                const double* __restrict x = potentials + n * C;
                double* __restrict m = marginals + n * C;
                double* __restrict w = after + n * C;
                double* __restrict f = future.data();
                double sum = 0.0;
                for (Int j = 0; j < C; ++j) sum += m[j] = p[j] * f[j];
                const double scale = 1.0 / sum;
                for (Int j = 0; j < C; ++j) m[j] *= scale;
                // No token follows the last one, and its `after` is zero.
                const bool inner = t + 1 < layout.lengths[b];
                for (Int j = 0; j < C; ++j) w[j] = inner ? w[j] * scale : 0.0;
                if (!t) break;
                double* __restrict above = after + (layout.starts[t - 1] + b) * C;
                for (Int j = 0; j < C; ++j) above[j] = f[j] * x[j] * scale;
                product(C, above, transposed, f);
            }
        });
    });
}

int seqkit_crf_viterbi(Int steps, Int batch, Int C, const Int* sizes, int threads, const double* scores,
                       const double* start, const double* transitions, const double* end, Int* tags,
                       double* best) {
    return guarded([&] {
        const Layout layout(steps, batch, sizes);
        parallel(threads, batch, [&](Int b) { best_path(C, b, layout, scores, start, transitions, end, tags, best); });
    });
}
