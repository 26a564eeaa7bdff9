/* libFuzzer target: words of a command line, one a line; the first byte chooses the command. Nothing is run.
 * Each word is read as gaps and as a time, too. */
#include <math.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>
#include "base/text.h"
#include "cli/gaps.h"
#include "cli/private.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

enum { WORDS = 64 };

static void read_word(const char *word) {
    int least = -1, most = -1, gap[IB_EVAL_MAX_GAPS], twice = 0;
    double seconds;
    size_t n = 0;
    if (cli_gap_range(word, &least, &most) && (least < 2 || most < least || most > CLI_GAP_MOST)) {
        abort();
    }
    if (cli_gap_list(word, gap, &n, &twice)) {
        if (!n || n > IB_EVAL_MAX_GAPS || twice) {
            abort();
        }
        for (size_t i = 0; i < n; i++) {
            if (gap[i] < 2 || gap[i] > 1000) {
                abort();
            }
        }
    }
    if (ib_text_seconds(word, &seconds) && !(seconds >= 0 && isfinite(seconds))) {
        abort();
    }
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size) {
    size_t commands = 0, words = 0;
    char *word[WORDS + 1], *text;
    cli c = {0};
    while (cli_commands[commands]) {
        commands++;
    }
    if (!size || !(text = malloc(size))) {
        return 0;
    }
    memcpy(text, data + 1, size - 1);
    text[size - 1] = 0;
    for (char *at = text, *next; at && words < WORDS; at = next) {
        next = strchr(at, '\n');
        if (next) {
            *next++ = 0;
        }
        word[words++] = at;
    }
    word[words] = NULL;
    for (size_t i = 0; i < words; i++) {
        read_word(word[i]);
    }
    cli_bar_begin(&c.bar);
    int status = cli_parse(&c, cli_commands[data[0] % commands], (int)words, word);
    if (status && status != CLI_USAGE) {
        abort();
    }
    cli_release(&c);
    free(text);
    return 0;
}
