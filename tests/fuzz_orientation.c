/* libFuzzer target: any bytes as a picture file, for what it says about its orientation. */
#include <stdlib.h>
#include <string.h>
#include "video_io/orientation.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

/* The first byte may put a beginning before the others, so that most inputs reach a parser. */
int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size) {
    static const struct {
        const char *bytes;
        size_t n;
    } beginnings[] = {{"", 0},      {"\x89PNG\r\n\x1a\n", 8},          {"RIFF\0\0\0\0WEBP", 12}, {"II*\0", 4},
                      {"MM\0*", 4}, {"\xff\xd8\xff\xe0\0\x10JFIF", 10}};
    size_t k = size ? data[0] % (sizeof beginnings / sizeof *beginnings) : 0, n = beginnings[k].n;
    size_t rest = size ? size - 1 : 0;
    uint8_t *b = malloc(n + rest + 1);
    if (!b) {
        abort();
    }
    memcpy(b, beginnings[k].bytes, n);
    if (rest) {
        memcpy(b + n, data + 1, rest);
    }
    uint8_t *exact = malloc(n + rest ? n + rest : 1); /* nothing behind its end */
    if (!exact) {
        abort();
    }
    memcpy(exact, b, n + rest);
    ib_picture_tags t = ib_picture_tags_of(exact, n + rest);
    if (t.orientation < 0 || t.orientation > 8) {
        abort();
    }
    free(exact);
    free(b);
    return 0;
}
