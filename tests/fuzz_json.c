/* libFuzzer target: any bytes as other people's JSON, and as a name. */
#include <stdlib.h>
#include <string.h>
#include "base/json.h"
#include "base/text.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static void read_it(const char *text, size_t size) {
    json_t *ours, *strict = NULL;
    ib_error err = {0};
    int rc = ib_json_parse(&ours, text, size, 32, 10000, "fuzz", "", &err);
    if (rc ? ours || err.code != rc || !err.text[0] : !ours) {
        abort();
    }
    if (!ib_json_bound(text, size, 32, 10000, "fuzz", "", NULL)) {
        strict = json_loadb(text, size, JSON_REJECT_DUPLICATES, NULL);
    }
    if (strict && (!ours || !json_equal(ours, strict))) {
        abort(); /* what is strict JSON is read as that */
    }
    json_decref(strict);
    if (ours) {
        char *dump = ib_json_dump(ours, JSON_COMPACT);
        json_t *again = dump ? json_loads(dump, 0, NULL) : NULL;
        if (!again || !json_equal(ours, again) || !ib_text_is_plain(dump)) {
            abort();
        }
        json_decref(again);
        free(dump);
    }
    json_decref(ours);
}

static void show_it(const char *text, size_t size) {
    char *name = strndup(text, size), *shown = ib_text_shown(text, size), *utf8 = ib_text_utf8(name);
    json_t *j = ib_json_text(name), *own = json_string(name);
    if (!ib_text_is_plain(shown) || !j || strcmp(json_string_value(j), utf8) ||
        (own && !json_equal(j, own))) {
        abort();
    }
    for (size_t most = 0; most <= strlen(utf8) && most < 64; most++) {
        size_t n = ib_text_fit(utf8, most);
        json_t *part = json_stringn(utf8, n);
        if (n > most || !part) {
            abort();
        }
        json_decref(part);
    }
    json_decref(own);
    json_decref(j);
    free(utf8);
    free(shown);
    free(name);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size) {
    char *text = malloc(size ? size : 1); /* as long as it is: a byte too far is seen */
    if (!text) {
        return 0;
    }
    memcpy(text, data, size);
    read_it(text, size);
    show_it(text, size);
    free(text);
    return 0;
}
