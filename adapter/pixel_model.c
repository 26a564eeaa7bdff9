#include "adapter/pixel_model.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include "adapter/named.h"
#include "base/file.h"
#include "latent/guides.h"

enum { DIGITS = 64, SHOWN = 12 };
static const char sha256_mark[] = "sha256:", prior_mark[] = "prior:";

static size_t length(const char *id) {
    return strcspn(id, " ");
}

bool ib_pixel_model_same(const char *a, const char *b) {
    return ib_guide_same_model(a, b);
}

int ib_adapter_check_guides(const ib_adapter *a, const char *name, const ib_latent_file *f, ib_error *err) {
    const ib_guide_table *t = ib_latent_guides(f);
    const char *wanted = ib_adapter_config_of(a)->guide;
    return !t || !*wanted || ib_guide_same_model(wanted, t->model)
               ? IB_OK
               : ib_fail(err, IB_E_MISMATCH,
                         "%s: its guides come from the pixel model %s, %s was trained with those of %s",
                         ib_latent_path(f), t->model, name ? name : "the adapter", wanted);
}

const char *ib_pixel_model_sha256(const char *id) {
    size_t mark = sizeof sha256_mark - 1;
    return !strncmp(id, sha256_mark, mark) && length(id) == mark + DIGITS ? id + mark : NULL;
}

char *ib_pixel_model_file(const char *id) {
    const char *want = ib_pixel_model_sha256(id);
    char sha256[65], *file = NULL;
    bool found = want && !ib_adapter_named_file(&file, IB_ADAPTER_DEFAULT, NULL) &&
                 !ib_sha256_file(file, sha256, NULL) && !strncmp(sha256, want, DIGITS);
    if (!found) {
        free(file);
        return NULL;
    }
    return file;
}

ib_pixel_model_words ib_pixel_model_name(const char *id) {
    ib_pixel_model_words w;
    const char *digits = ib_pixel_model_sha256(id), *file = id + length(id);
    size_t mark = sizeof prior_mark - 1;
    file += *file == ' ';
    if (digits) {
        snprintf(w.text, sizeof w.text, "%.80s%s(sha256 %.*s...)", file, *file ? " " : "", SHOWN, digits);
    } else if (!strncmp(id, prior_mark, mark)) {
        snprintf(w.text, sizeof w.text, "prior (%.*s)", (int)(length(id) - mark), id + mark);
    } else {
        snprintf(w.text, sizeof w.text, "%.150s", *id ? id : "no pixel model");
    }
    return w;
}
