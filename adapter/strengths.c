/* How far the parts of a model are followed at a gap. */
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "adapter/adapter_file.h"
#include "adapter/private.h"

float ib_strength_at(const ib_strengths *s, ib_strength which, float gap_seconds, bool pictures) {
    int n = s->bins;
    const float *value = s->value[which], *middle = s->gap_seconds;
    if (!n) {
        return 1;
    }
    if (gap_seconds <= middle[0]) {
        return value[0];
    }
    if (gap_seconds >= middle[n - 1]) {
        float beyond = log2f(gap_seconds / middle[n - 1]);
        return pictures ? value[n - 1] : value[n - 1] * fmaxf(0, 1 - beyond);
    }
    int k = 1;
    while (gap_seconds > middle[k]) {
        k++;
    }
    float part = logf(gap_seconds / middle[k - 1]) / logf(middle[k] / middle[k - 1]);
    return value[k - 1] + part * (value[k] - value[k - 1]);
}

void ib_adapter_set_strengths(ib_adapter *a, const ib_strengths *s) {
    a->config.strengths = s ? *s : (ib_strengths){0};
    a->trust = a->config.strengths.bins || !a->config.motion ? 1 : a->config.trust;
}

const ib_strengths *ib_adapter_strengths(const ib_adapter *a) {
    return &a->config.strengths;
}

float ib_adapter_gate(const ib_adapter_work *w, int i) {
    return w->gate_mean ? w->gate_mean[i] : 0;
}

/* As few digits as bring the same number back. Returns the text's length with the mark before it. */
static size_t write_number(char *text, size_t size, const char *mark, float v) {
    int n = snprintf(text, size, "%s%.6g", mark, (double)v);
    if (strtof(text + strlen(mark), NULL) != v) {
        n = snprintf(text, size, "%s%.9g", mark, (double)v);
    }
    return (size_t)n;
}

void ib_strengths_write(const ib_strengths *s, char text[IB_STRENGTHS_TEXT]) {
    size_t at = 0;
    text[0] = 0;
    for (int k = 0; k < s->bins; k++) {
        at += write_number(text + at, IB_STRENGTHS_TEXT - at, k ? "; " : "", s->gap_seconds[k]);
        for (int i = 0; i < IB_STRENGTHS; i++) {
            at += write_number(text + at, IB_STRENGTHS_TEXT - at, " ", s->value[i][k]);
        }
    }
}

/* A number from least to most at *text, which then points behind it. */
static bool read_number(const char **text, float least, float most, float *out) {
    char *end;
    float v = strtof(*text, &end);
    bool good = end != *text && v >= least && v <= most;
    *text = end;
    *out = v;
    return good;
}

bool ib_strengths_read(const char *text, ib_strengths *s) {
    *s = (ib_strengths){0};
    for (int k = 0; k < IB_STRENGTH_BINS; k++) {
        float before = k ? s->gap_seconds[k - 1] : 0;
        if (!read_number(&text, 1e-6f, 1e6f, &s->gap_seconds[k]) || s->gap_seconds[k] <= before) {
            return false;
        }
        for (int i = 0; i < IB_STRENGTHS; i++) {
            if (!read_number(&text, 0, 1, &s->value[i][k])) {
                return false;
            }
        }
        s->bins = k + 1;
        if (!*text) {
            return true;
        }
        if (*text++ != ';') {
            return false;
        }
    }
    return false;
}
