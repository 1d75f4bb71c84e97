// Gathers wide values of some sequences in packed order: step by step, within a step longest sequence first.
// seqkit/data/rows/gather.py calls it. It needs no threads and no vector extensions, so more compilers build it than
// the sweeps.

#include <cstring>

#include "api.h"

uint64_t seqkit_source() { return SEQKIT_SOURCE; }

// Copies values of `size` bytes. Sequence b begins at items + begins[b] * item; its values are contiguous.
int seqkit_gather(const char* items, Int item, Int size, const Int* begins, const Int* batch_sizes, Int steps,
                  char* out) {
    for (Int step = 0; step < steps; ++step) {
        const Int ahead = step + 2 < steps ? batch_sizes[step + 2] : 0;
        for (Int sequence = 0; sequence < batch_sizes[step]; ++sequence, out += size) {
            const char* from = items + begins[sequence] * item + step * size;
#if defined(__GNUC__)
            // The hardware does not prefetch so many distant sequences: prefetch the values of two steps ahead.
            if (sequence < ahead)
                for (Int byte = 0; byte < size; byte += 64) __builtin_prefetch(from + 2 * size + byte, 0, 2);
#endif
            std::memcpy(out, from, size);
        }
    }
    return 0;
}
