// Checks the compiled gather without Python, for systems that have none; see kernel_driver.cpp. Returns 1 if it is wrong.

#include <cstdio>
#include <numeric>
#include <vector>

#include "api.h"

int main() {
    const std::vector<Int> lengths{7, 7, 4, 1}, begins{9, 0, 18, 30}, batch_sizes{4, 3, 3, 3, 2, 2, 2};
    const Int steps = lengths[0], tokens = std::accumulate(lengths.begin(), lengths.end(), Int(0));
    bool good = true;
    for (Int size : {1, 4, 100, 1000}) {  // bytes of a value
        std::vector<char> items(40 * size), expected, found(tokens * size);
        for (size_t i = 0; i < items.size(); ++i) items[i] = char(i * 31 % 127);
        for (Int step = 0; step < steps; ++step)
            for (Int b = 0; b < batch_sizes[step]; ++b) {
                const char* value = items.data() + (begins[b] + step) * size;
                expected.insert(expected.end(), value, value + size);
            }
        seqkit_gather(items.data(), size, size, begins.data(), batch_sizes.data(), steps, found.data());
        good = good && found == expected;
    }
    std::printf("%s gather\n", good ? "ok" : "FAIL");
    return good ? 0 : 1;
}
