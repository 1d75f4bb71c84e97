// Vectors of floats: loads, stores, the nonlinearities of the gates, and layer normalisation.
#pragma once

#include <cmath>
#include <cstring>

#include "layout.h"

// WIDTH: floats in a vector register. A register tile of a matrix product has ROWS rows and PANEL vectors of columns:
// ROWS * PANEL sums, PANEL vectors of the weight and a factor or two fill the 32 registers of AVX-512 and NEON and the
// 16 of the others.
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

typedef float vec __attribute__((vector_size(4 * WIDTH)));
typedef int32_t ivec __attribute__((vector_size(4 * WIDTH)));
typedef float loose __attribute__((vector_size(4 * WIDTH), aligned(4), may_alias));

#define INLINE static inline __attribute__((always_inline))

INLINE vec load(const float* p) { return *(const loose*)p; }
INLINE void store(float* p, vec v) { *(loose*)p = v; }

// The first n elements of a vector, for the end of a row.
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
    vec guess = (vec)_mm512_rcp14_ps((__m512)x);  // one Newton step follows; a division takes three times as long
    return guess * (2.0f - x * guess);
#else
    return 1.0f / x;
#endif
}

// Splits x = n + f with |f| <= 1/2: returns 2^f - 1 and sets `power` to 2^n. x is first limited to +-bound (at most
// 125); NaN stays NaN.
INLINE vec split_power(vec x, float bound, vec& power) {
#if defined(__AVX512F__)
    x = (vec)_mm512_max_ps(_mm512_set1_ps(-bound), _mm512_min_ps(_mm512_set1_ps(bound), (__m512)x));
    vec n = (vec)_mm512_roundscale_ps((__m512)x, _MM_FROUND_TO_NEAREST_INT);
    power = (vec)_mm512_scalef_ps(_mm512_set1_ps(1.0f), (__m512)n);
#else
    const float magic = 12582912.0f;  // 1.5 * 2^23: adding it rounds to an integer, in the low bits of the sum
    x = x > bound ? bound - vec{} : x;
    x = x < -bound ? -bound - vec{} : x;
    vec shifted = x + magic;
    vec n = shifted - magic;
    power = (vec)(((ivec)shifted << 23) + 0x3f800000);
#endif
    vec f = x - n, p = 1.54035128e-4f * f + 1.33907353e-3f;  // minimax polynomial of (2^f - 1) / f, error 1e-8
    p = p * f + 9.61823761e-3f;
    p = p * f + 5.55035733e-2f;
    p = p * f + 2.40226492e-1f;
    p = p * f + 6.93147182e-1f;
    return p * f;
}

const float LOG2_E = 1.44269504f;

// Below -86.6 the result is 0, so that its product with an infinity is NaN as in torch.
INLINE vec sigmoid(vec x) {
    vec power, fraction = split_power(-LOG2_E * x, 125.0f, power);
    vec value = inverse(power * fraction + (power + 1.0f));
    return x < -86.6f ? vec{} : value;
}

INLINE vec tanh(vec x) {
    vec power, fraction = split_power(2.0f * LOG2_E * x, 58.0f, power);
    vec e = power * fraction + (power - 1.0f);  // e^2x - 1, without cancellation
    return e * inverse(e + 2.0f);
}

// array + index, or null if the array is null.
static const float* at(const float* array, Int index) { return array ? array + index : nullptr; }


INLINE float total(vec v) {
    float sum = 0.0f;
    for (int i = 0; i < WIDTH; ++i) sum += v[i];
    return sum;
}

// Writes n values, normalised to mean 0 and variance 1, to `normal`; returns the inverse of the standard deviation.
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

// Computes the gradient of the values from that of the normalised values; may work in place.
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

// to = factor * values, elementwise.
static void scaled(const float* factor, const float* values, float* to, Int n) {
    for (Int u = 0; u < n; u += WIDTH) store(to + u, load(factor + u, n - u) * load(values + u, n - u), n - u);
}

// Zoneout: share * before + (1 - share) * now, or `now` without a share.
INLINE vec kept(const float* share, vec before, vec now, Int n) {
    if (!share) return now;
    vec part = load(share, n);
    return part * before + (1.0f - part) * now;  // exact for shares 0 and 1
}

