// Where the tokens of packed sequences are.
#pragma once

#include <vector>

#include "api.h"

// The token of time step t in sequence b (the longest sequence is 0) has index starts[t] + b.
struct Layout {
    Int steps, batch, tokens;           // T, B, N
    std::vector<Int> starts, lengths;   // (T), (B); lengths beyond the sequences that have a token are 0

    Layout(Int steps, Int batch, const Int* sizes)
        : steps(steps), batch(batch), tokens(0), starts(steps), lengths(batch) {
        for (Int t = 0; t < steps; ++t) {
            starts[t] = tokens;
            tokens += sizes[t];
            for (Int j = t + 1 < steps ? sizes[t + 1] : 0; j < sizes[t]; ++j) lengths[j] = t + 1;
        }
    }
};
