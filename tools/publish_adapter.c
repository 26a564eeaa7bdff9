/* ib_publish_adapter FROM TO TRUST SOURCES.json NOTES: an adapter as it is given away: its tensors as halves,
 * the trust that it is to be used with, and in its metadata, beside what training wrote, `inbetween.sources`
 * (the JSON text of SOURCES.json: what it was trained on, with licences) and `inbetween.notes` (a sentence).
 */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include "adapter/adapter.h"
#include "adapter/adapter_file.h"

enum { MOST = 64, MOST_BYTES = 1 << 20 };

static char *read_text(const char *path) {
    FILE *f = fopen(path, "r");
    char *text = calloc(1, MOST_BYTES + 1);
    size_t n = f && text ? fread(text, 1, MOST_BYTES + 1, f) : 0;
    if (f) {
        fclose(f);
    }
    if (!n || n > MOST_BYTES) {
        free(text);
        return NULL;
    }
    return text;
}

/* What describes the architecture is written anew with the tensors. */
static int carried(const ib_st *file, const ib_adapter *a, ib_st_meta meta[MOST]) {
    ib_adapter_meta own;
    int n = 0;
    ib_adapter_describe(ib_adapter_config_of(a), &own);
    for (size_t i = 0; i < ib_st_metadata_count(file) && n < MOST - 2; i++) {
        const char *key, *value;
        bool again = false;
        ib_st_metadata_at(file, i, &key, &value);
        for (size_t k = 0; k < own.n; k++) {
            again = again || !strcmp(own.pair[k].key, key);
        }
        again = again || !strcmp(key, "inbetween.sources") || !strcmp(key, "inbetween.notes");
        if (!again) {
            meta[n++] = (ib_st_meta){key, value};
        }
    }
    return n;
}

/* The same weights with another trust. */
static int with_trust(ib_adapter **out, ib_adapter *a, double trust, ib_error *err) {
    ib_adapter_config c = *ib_adapter_config_of(a);
    c.trust = trust;
    int rc = ib_adapter_create(out, &c, 1, err);
    if (!rc) {
        memcpy(ib_adapter_params(*out), ib_adapter_params(a), ib_adapter_param_count(a) * sizeof(float));
    }
    return rc;
}

int main(int argc, char **argv) {
    ib_st *file = NULL;
    ib_adapter *a = NULL, *out = NULL;
    ib_st_meta meta[MOST];
    ib_error err = {0};
    if (argc != 6) {
        fputs("Usage: ib_publish_adapter FROM TO TRUST SOURCES.json NOTES\n", stderr);
        return 2;
    }
    char *sources = read_text(argv[4]);
    if (!sources) {
        fprintf(stderr, "ib_publish_adapter: %s: cannot be read, is empty or has more than 1 MiB\n", argv[4]);
        return 1;
    }
    int rc = ib_st_open(&file, argv[1], &err);
    rc = rc ? rc : ib_adapter_from(&a, file, argv[1], &err);
    rc = rc ? rc : with_trust(&out, a, strtod(argv[3], NULL), &err);
    if (!rc) {
        int n = carried(file, a, meta);
        meta[n++] = (ib_st_meta){"inbetween.sources", sources};
        meta[n++] = (ib_st_meta){"inbetween.notes", argv[5]};
        rc = ib_adapter_save_as(out, argv[2], IB_F16, meta, (size_t)n, &err);
    }
    if (rc) {
        fprintf(stderr, "ib_publish_adapter: %s\n", err.text);
    }
    ib_adapter_free(&out);
    ib_adapter_free(&a);
    ib_st_close(&file);
    free(sources);
    return rc ? 1 : 0;
}
