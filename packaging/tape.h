// Scalars that record how they were computed, for gradients of any loop.
#pragma once

#include <cmath>
#include <initializer_list>
#include <vector>

typedef std::vector<double> Doubles;

// A scalar on a tape. The tape holds its value and how much it changes with each of the scalars it was computed from.
struct Scalar {
    int place;
};

struct Tape {
    struct Source {
        int place;
        double slope;
    };
    Doubles value, gradient;
    std::vector<size_t> ends;
    std::vector<Source> sources;

    Scalar add(double result, std::initializer_list<Source> from = {}) {
        sources.insert(sources.end(), from);
        value.push_back(result), gradient.push_back(0.0), ends.push_back(sources.size());
        return {int(value.size()) - 1};
    }

    double operator[](Scalar x) const { return value[x.place]; }
    Scalar sum(Scalar x, Scalar y) { return add(value[x.place] + value[y.place], {{x.place, 1.0}, {y.place, 1.0}}); }
    Scalar scaled(Scalar x, double factor) { return add(factor * value[x.place], {{x.place, factor}}); }
    Scalar product(Scalar x, Scalar y) {
        return add(value[x.place] * value[y.place], {{x.place, value[y.place]}, {y.place, value[x.place]}});
    }
    Scalar tanh(Scalar x) {
        double y = std::tanh(value[x.place]);
        return add(y, {{x.place, 1.0 - y * y}});
    }
    Scalar sigmoid(Scalar x) {
        double y = 1.0 / (1.0 + std::exp(-value[x.place]));
        return add(y, {{x.place, y * (1.0 - y)}});
    }
    Scalar relu(Scalar x) { return value[x.place] > 0.0 ? scaled(x, 1.0) : add(0.0); }
    Scalar dot(const float* weights, const std::vector<Scalar>& x) {
        double total = 0.0;
        for (size_t i = 0; i < x.size(); ++i) {
            total += weights[i] * value[x[i].place];
            sources.push_back({x[i].place, weights[i]});
        }
        return add(total);
    }
    // share * before + (1 - share) * now
    Scalar kept(const float* share, Scalar before, Scalar now) {
        return share ? sum(scaled(before, *share), scaled(now, 1.0 - *share)) : now;
    }
    // Normalised to mean 0 and variance 1.
    std::vector<Scalar> normalised(const std::vector<Scalar>& x) {
        const double count = double(x.size());
        double mean = 0.0, variance = 1e-5;
        for (Scalar s : x) mean += value[s.place] / count;
        for (Scalar s : x) variance += (value[s.place] - mean) * (value[s.place] - mean) / count;
        const double scale = 1.0 / std::sqrt(variance);
        std::vector<Scalar> found;
        for (Scalar s : x) {
            const double y = (value[s.place] - mean) * scale;
            for (Scalar r : x) {
                const double z = (value[r.place] - mean) * scale;
                sources.push_back({r.place, scale * ((r.place == s.place) - (1.0 + y * z) / count)});
            }
            found.push_back(add(y));
        }
        return found;
    }

    // Computes the gradients of all scalars from those that were set.
    void backward() {
        for (size_t i = value.size(); i-- > 0;)
            for (size_t s = i ? ends[i - 1] : 0; s < ends[i]; ++s)
                gradient[sources[s].place] += sources[s].slope * gradient[i];
    }
};
