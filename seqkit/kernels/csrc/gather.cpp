// Gathers wide values of some sequences in packed order: step by step, within a step longest sequence first.
// A plain C function on raw pointers, which seqkit/data/rows/gather.py calls. It needs no OpenMP and no vector
// extensions, so more compilers build it than the sweeps.

#include <cstdint>
#include <cstring>

#include "source.h"

// Copies values of `size` bytes. Sequence b begins at items + begins[b] * item; its values are contiguous.
EXPORT void seqkit_gather(const char* items, int64_t item, int64_t size, const int64_t* begins,
                          const int64_t* batch_sizes, int64_t steps, char* out) {
    for (int64_t step = 0; step < steps; ++step) {
        const int64_t ahead = step + 2 < steps ? batch_sizes[step + 2] : 0;
        for (int64_t sequence = 0; sequence < batch_sizes[step]; ++sequence, out += size) {
            const char* from = items + begins[sequence] * item + step * size;
#if defined(__GNUC__)
            // The hardware does not prefetch so many distant sequences: prefetch the values of two steps ahead.
            if (sequence < ahead)
                for (int64_t byte = 0; byte < size; byte += 64) __builtin_prefetch(from + 2 * size + byte, 0, 2);
#endif
            std::memcpy(out, from, size);
        }
    }
}
