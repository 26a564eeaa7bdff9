#include "clip/tokenizer.h"

#include <stdbool.h>
#include <stdlib.h>
#include <string.h>
#include <unicase.h>
#include <unictype.h>
#include <uninorm.h>
#include <unistr.h>
#include "clip/vocabulary.h"

/* A word's pairs are searched once for each merge, so that time grows with the square of its length. */
enum { MAX_PROMPT_BYTES = 16384 };

struct ib_tokenizer {
    ib_vocabulary vocabulary;
};

int ib_tokenizer_open(ib_tokenizer **out, const char *path, ib_error *err) {
    ib_tokenizer *t = calloc(1, sizeof *t);
    *out = NULL;
    if (!t) {
        return ib_fail(err, IB_E_MEMORY, "out of memory for opening %s", path);
    }
    int rc = ib_vocabulary_load(&t->vocabulary, path, err);
    if (rc) {
        free(t);
        return rc;
    }
    *out = t;
    return IB_OK;
}

void ib_tokenizer_close(ib_tokenizer **t) {
    if (!*t) {
        return;
    }
    ib_vocabulary_free(&(*t)->vocabulary);
    free(*t);
    *t = NULL;
}

size_t ib_tokenizer_size(const ib_tokenizer *t) {
    return t->vocabulary.size;
}

/* ---- words ---- */

typedef enum character { SPACE, LETTER, DIGIT, OTHER } character;

/* The character at s and its length; n > 0 bytes are left, and they are UTF-8. */
static character look_tokenizer(const uint8_t *s, size_t n, size_t *bytes) {
    ucs4_t c;
    int m = u8_mbtouc(&c, s, n);
    *bytes = m > 0 ? (size_t)m : 1;
    if (uc_is_property_white_space(c)) {
        return SPACE;
    }
    if (uc_is_general_category(c, UC_LETTER)) {
        return LETTER;
    }
    return uc_is_general_category(c, UC_NUMBER) ? DIGIT : OTHER;
}

static size_t run_of(character kind, const uint8_t *s, size_t n) {
    size_t at = 0, m;
    while (at < n && look_tokenizer(s + at, n - at, &m) == kind) {
        at += m;
    }
    return at;
}

/* Bytes of the word at s, by the pattern of OpenAI's tokenizer: the two special tokens' names; the English
 * endings 's 't 're 've 'm 'll 'd; a run of letters; a single digit; a run of what is neither letter, number
 * nor white space. 0: white space. */
static size_t word_at(const uint8_t *s, size_t n) {
    static const char *const whole[] = {
        "<|startoftext|>", "<|endoftext|>", "'s", "'t", "'re", "'ve", "'m", "'ll", "'d"};
    for (size_t i = 0; i < sizeof whole / sizeof *whole; i++) {
        size_t m = strlen(whole[i]);
        if (n >= m && !memcmp(s, whole[i], m)) {
            return m;
        }
    }
    size_t m;
    character kind = look_tokenizer(s, n, &m);
    return kind == SPACE ? 0 : kind == DIGIT ? m : run_of(kind, s, n);
}

/* ---- byte pairs ---- */

/* Merges the tokens of one word, the lowest rank first and all its occurrences at once; their number
 * afterwards. */
static size_t merge_all(const ib_vocabulary *v, int32_t *token, size_t n) {
    while (n > 1) {
        const ib_merge *best = NULL;
        for (size_t i = 0; i + 1 < n; i++) {
            const ib_merge *m = ib_vocabulary_merge(v, token[i], token[i + 1]);
            if (m && (!best || m->rank < best->rank)) {
                best = m;
            }
        }
        if (!best) {
            break;
        }
        size_t to = 0;
        for (size_t i = 0; i < n; to++) {
            bool here = i + 1 < n && token[i] == best->left && token[i + 1] == best->right;
            token[to] = here ? best->into : token[i];
            i += here ? 2 : 1;
        }
        n = to;
    }
    return n;
}

static size_t encode_word(const ib_vocabulary *v, const uint8_t *word, size_t n, int32_t *token) {
    for (size_t i = 0; i < n; i++) {
        token[i] = i + 1 < n ? v->byte[word[i]] : v->last_byte[word[i]];
    }
    return merge_all(v, token, n);
}

int ib_tokenizer_encode(const ib_tokenizer *t, const char *text, size_t length, int32_t *ids, ib_error *err) {
    const ib_vocabulary *v = &t->vocabulary;
    size_t bytes = strlen(text), n = 0, at = 0;
    uint8_t *clean = NULL;
    int32_t *word = NULL;
    int rc = IB_OK;
    if (length < 2) {
        return ib_fail(err, IB_E_ARGUMENT, "a prompt needs room for 2 tokens, not %zu", length);
    }
    if (bytes > MAX_PROMPT_BYTES) {
        return ib_fail(err, IB_E_ARGUMENT, "a prompt of %zu bytes, expected at most %d", bytes,
                       MAX_PROMPT_BYTES);
    }
    if (u8_check((const uint8_t *)text, bytes)) {
        return ib_fail(err, IB_E_ARGUMENT, "the prompt '%.60s' is not UTF-8", text);
    }
    ids[n++] = v->begin;
    if (bytes) {
        clean = u8_tolower((const uint8_t *)text, bytes, NULL, UNINORM_NFC, NULL, &bytes);
        word = malloc((bytes + 1) * sizeof *word);
        if (!clean || !word) {
            rc = ib_fail(err, IB_E_MEMORY, "out of memory for a prompt");
            goto end;
        }
    }
    while (at < bytes && n + 1 < length) {
        size_t m = word_at(clean + at, bytes - at);
        if (!m) {
            look_tokenizer(clean + at, bytes - at, &m);
            at += m;
            continue;
        }
        size_t tokens = encode_word(v, clean + at, m, word);
        for (size_t i = 0; i < tokens && n + 1 < length; i++) {
            ids[n++] = word[i];
        }
        at += m;
    }
    ids[n++] = v->end;
    while (n < length) {
        ids[n++] = v->pad;
    }
end:
    free(word);
    free(clean);
    return rc;
}
