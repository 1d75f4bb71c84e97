// Which thread runs which sequences, and in which order.
//
// A sequence in one direction depends on no other sequence, so sequences are distributed over threads and no thread
// waits for another. A thread concatenates its sequences into a few lanes of about equal length and advances all lanes
// together, one token each. The number of rows per step stays constant; in packed order it would shrink from step to
// step, although each step reads the whole weight.
#pragma once

#include <algorithm>
#include <numeric>
#include <queue>
#include <vector>

#include "simd.h"

// Lanes of concatenated sequences, the longest lane first.
struct Lanes {
    std::vector<std::vector<Int>> sequences;
    std::vector<Int> loads;

    Lanes(const std::vector<Int>& members, const std::vector<Int>& lengths, Int count) {
        typedef std::pair<Int, Int> Load;  // the lane with the smallest load takes the next longest sequence
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

    // The cost in rows. A step costs at least as much as FLOOR rows, because it reads the whole weight.
    Int cost() const {
        const Int FLOOR = 6;
        Int total = 0, lanes = loads.size();
        for (Int r = 0; r < lanes; ++r)
            total += (loads[r] - (r + 1 < lanes ? loads[r + 1] : 0)) * std::max(r + 1, FLOOR);
        return total;
    }
};

// Chooses the number of lanes with the lowest cost for the sequences `members`, longest first.
static Lanes schedule(const std::vector<Int>& members, const std::vector<Int>& lengths) {
    Int total = 0, count = members.size();
    for (Int j : members) total += lengths[j];
    Lanes best(members, lengths, count);  // one lane for each sequence: the packed order
    if (!total) return best;
    Int few = total / lengths[members[0]] / ROWS * ROWS;
    for (Int lanes : {few, few + ROWS}) {
        if (lanes < 1 || lanes >= count) continue;
        Lanes other(members, lengths, lanes);
        if (other.cost() < best.cost()) best = std::move(other);
    }
    return best;
}

enum Cell { LSTM, GRU, RNN_TANH, RNN_RELU };

struct Layer : Layout {
    Cell cell;
    Int units, directions, slots, fed;  // H, D, S, G

    Layer(int cell, Int steps, Int batch, Int units, Int directions, const Int* sizes)
        : Layout(steps, batch, sizes), cell((Cell)cell), units(units), directions(directions),
          slots(cell == LSTM || cell == GRU ? 4 : 1), fed(cell == LSTM ? 4 : cell == GRU ? 3 : 1) {}

    // The sequences of one of `parts` threads. Assigned back and forth (0 1 2 2 1 0 ...), so that loads are similar.
    std::vector<Int> members(Int part, Int parts) const {
        std::vector<Int> found;
        for (Int j = 0; j < batch && lengths[j]; ++j) {
            Int round = j / parts, place = j % parts;
            if ((round % 2 ? parts - 1 - place : place) == part) found.push_back(j);
        }
        return found;
    }
};

// The current token of a lane: number k of `sequence` in the order of the sweep, which goes up or down the time steps.
struct Cursor {
    const std::vector<Int>* lane;
    size_t next;
    Int sequence, length, k;
    bool up;

    Int step() const { return up ? k : length - 1 - k; }

    // Moves to the first token of the lane's next sequence; returns false if there is none.
    bool begin(const Layer& layer) {
        if (next == lane->size()) return false;
        sequence = (*lane)[next++];
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
                m = r;  // lanes are sorted by load: those after this one have ended already
        }
    }
}
