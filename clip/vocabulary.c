#include "clip/vocabulary.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include "base/file.h"
#include "base/memory.h"
#include "base/json_file.h"

enum { MAX_TOKENS = 1 << 20, MAX_WORD = 1024 };

/* Bytes stand for themselves as characters where those are printable, and for U+0100 and on, in order, where
 * they are not. */
static void byte_character(int b, char out[3]) {
    int c = b, next = 256;
    if (!((b >= 33 && b <= 126) || (b >= 161 && b <= 172) || b >= 174)) {
        for (int k = 0; k < b; k++) {
            next += !((k >= 33 && k <= 126) || (k >= 161 && k <= 172) || k >= 174);
        }
        c = next;
    }
    if (c < 128) {
        snprintf(out, 3, "%c", c);
        return;
    }
    out[0] = (char)(0xc0 | c >> 6);
    out[1] = (char)(0x80 | (c & 63));
    out[2] = 0;
}

static size_t hash_pair(int32_t a, int32_t b) {
    uint64_t h = ((uint64_t)(uint32_t)a << 32 | (uint32_t)b) * 0x9E3779B97F4A7C15u;
    return (size_t)(h >> 24);
}

const ib_merge *ib_vocabulary_merge(const ib_vocabulary *v, int32_t left, int32_t right) {
    for (size_t i = hash_pair(left, right);; i++) {
        const ib_merge *m = &v->merge[i & (v->slots - 1)];
        if (m->left < 0) {
            return NULL;
        }
        if (m->left == left && m->right == right) {
            return m;
        }
    }
}

/* The number of a token; -1 if there is none. */
static int32_t number_of(const json_t *vocab, const char *token) {
    const json_t *n = json_object_get(vocab, token);
    return json_is_integer(n) && json_integer_value(n) >= 0 && json_integer_value(n) < MAX_TOKENS
               ? (int32_t)json_integer_value(n)
               : -1;
}

static int check_tokens(ib_vocabulary *v, json_t *vocab, const char *path, ib_error *err) {
    const char *token;
    json_t *n;
    if (!json_is_object(vocab) || !json_object_size(vocab)) {
        return ib_fail(err, IB_E_FORMAT, "%s: holds no vocabulary", path);
    }
    json_object_foreach(vocab, token, n) {
        if (number_of(vocab, token) < 0) {
            return ib_fail(err, IB_E_FORMAT, "%s: token '%.60s' has no whole number from 0 to %d", path,
                           token, MAX_TOKENS - 1);
        }
        size_t above = (size_t)json_integer_value(n) + 1;
        v->size = above > v->size ? above : v->size;
    }
    for (int b = 0; b < 256; b++) {
        char alone[3], last[8];
        byte_character(b, alone);
        snprintf(last, sizeof last, "%s</w>", alone);
        v->byte[b] = number_of(vocab, alone);
        v->last_byte[b] = number_of(vocab, last);
        if (v->byte[b] < 0 || v->last_byte[b] < 0) {
            return ib_fail(err, IB_E_FORMAT,
                           "%s: byte %d has no token '%s'; is this the vocabulary of a CLIP model?", path, b,
                           v->byte[b] < 0 ? alone : last);
        }
    }
    v->begin = number_of(vocab, "<|startoftext|>");
    v->pad = v->end = number_of(vocab, "<|endoftext|>");
    if (v->begin < 0 || v->end < 0) {
        return ib_fail(err, IB_E_FORMAT, "%s: there is no token '%s'", path,
                       v->begin < 0 ? "<|startoftext|>" : "<|endoftext|>");
    }
    return IB_OK;
}

static int make_table(ib_vocabulary *v, size_t merges, const char *path, ib_error *err) {
    if (merges > MAX_TOKENS) {
        return ib_fail(err, IB_E_FORMAT, "%s: %zu merges, expected at most %d", path, merges, MAX_TOKENS);
    }
    for (v->slots = 64; v->slots < 2 * merges;) {
        v->slots *= 2;
    }
    if (!(v->merge = ib_calloc(v->slots, sizeof *v->merge))) {
        return ib_fail(err, IB_E_MEMORY, "out of memory for the %zu merges of %s", merges, path);
    }
    for (size_t i = 0; i < v->slots; i++) {
        v->merge[i].left = -1;
    }
    return IB_OK;
}

static int add_merge(ib_vocabulary *v, const json_t *vocab, const char *left, const char *right, size_t rank,
                     const char *path, ib_error *err) {
    char both[2 * MAX_WORD];
    if (strlen(left) >= MAX_WORD || strlen(right) >= MAX_WORD) {
        return ib_fail(err, IB_E_FORMAT, "%s: merge %zu is of more than %d bytes", path, rank + 1, MAX_WORD);
    }
    snprintf(both, sizeof both, "%s%s", left, right);
    ib_merge m = {number_of(vocab, left), number_of(vocab, right), number_of(vocab, both), (int32_t)rank};
    if (m.left < 0 || m.right < 0 || m.into < 0) {
        return ib_fail(err, IB_E_FORMAT,
                       "%s: merge %zu ('%.60s' and '%.60s') is not of tokens in the vocabulary into one",
                       path, rank + 1, left, right);
    }
    size_t i = hash_pair(m.left, m.right);
    for (;; i++) {
        ib_merge *slot = &v->merge[i & (v->slots - 1)];
        if (slot->left == m.left && slot->right == m.right) {
            return IB_OK; /* the first of two is the one that is applied */
        }
        if (slot->left < 0) {
            *slot = m;
            return IB_OK;
        }
    }
}

/* "left right" in place of a line or string. */
static int add_pair(ib_vocabulary *v, const json_t *vocab, char *pair, size_t rank, const char *path,
                    ib_error *err) {
    char *space = strchr(pair, ' ');
    if (!space || space == pair || !space[1] || strchr(space + 1, ' ')) {
        return ib_fail(err, IB_E_FORMAT,
                       "%s: merge %zu ('%.60s') is not two tokens with a blank between them", path, rank + 1,
                       pair);
    }
    *space = 0;
    int rc = add_merge(v, vocab, pair, space + 1, rank, path, err);
    *space = ' ';
    return rc;
}

static int load_merges_txt(ib_vocabulary *v, const json_t *vocab, const char *path, ib_error *err) {
    char *text, *next;
    size_t bytes, lines = 1, rank = 0;
    int rc = ib_text_load(&text, &bytes, path, IB_JSON_LARGE_BYTES, err);
    if (rc) {
        return rc;
    }
    for (size_t i = 0; i < bytes; i++) {
        lines += text[i] == '\n';
        if (!text[i]) {
            rc = ib_fail(err, IB_E_FORMAT, "%s: not a text file", path);
        }
    }
    rc = rc ? rc : make_table(v, lines, path, err);
    for (char *line = text; !rc && line; line = next) {
        if ((next = strchr(line, '\n'))) {
            *next++ = 0;
        }
        size_t n = strlen(line);
        if (n && line[n - 1] == '\r') {
            line[n - 1] = 0;
        }
        if (*line && strncmp(line, "#version", 8)) {
            rc = add_pair(v, vocab, line, rank++, path, err);
        }
    }
    free(text);
    return rc;
}

static int load_merges_json(ib_vocabulary *v, const json_t *vocab, const json_t *merges, const char *path,
                            ib_error *err) {
    char pair[2 * MAX_WORD];
    size_t rank;
    const json_t *m;
    if (!json_is_array(merges)) {
        return ib_fail(err, IB_E_FORMAT, "%s: its model has no list of merges", path);
    }
    int rc = make_table(v, json_array_size(merges), path, err);
    json_array_foreach(merges, rank, m) {
        const char *left = json_string_value(json_array_get(m, 0)),
                   *right = json_string_value(json_array_get(m, 1));
        if (rc) {
            break;
        }
        if (json_is_string(m) && json_string_length(m) < sizeof pair) {
            snprintf(pair, sizeof pair, "%s", json_string_value(m));
            rc = add_pair(v, vocab, pair, rank, path, err);
        } else if (left && right && json_array_size(m) == 2) {
            rc = add_merge(v, vocab, left, right, rank, path, err);
        } else {
            rc = ib_fail(err, IB_E_FORMAT, "%s: merge %zu is not two tokens", path, rank + 1);
        }
    }
    return rc;
}

static int load_whole(ib_vocabulary *v, json_t **kept, const char *path, ib_error *err) {
    int rc = ib_json_load(kept, path, IB_JSON_LARGE_BYTES, err);
    if (rc) {
        return rc;
    }
    json_t *model = json_object_get(*kept, "model");
    json_t *vocab = json_object_get(model, "vocab");
    rc = check_tokens(v, vocab, path, err);
    return rc ? rc : load_merges_json(v, vocab, json_object_get(model, "merges"), path, err);
}

static int load_two(ib_vocabulary *v, json_t **kept, const char *vocab_path, const char *merges_path,
                    ib_error *err) {
    int rc = ib_json_load(kept, vocab_path, IB_JSON_LARGE_BYTES, err);
    rc = rc ? rc : check_tokens(v, *kept, vocab_path, err);
    return rc ? rc : load_merges_txt(v, *kept, merges_path, err);
}

/* The pad token by special_tokens_map.json or tokenizer_config.json, if one of them names it. */
static int load_padding(ib_vocabulary *v, const json_t *vocab, const char *folder, ib_error *err) {
    static const char *const names[] = {"special_tokens_map.json", "tokenizer_config.json"};
    for (int i = 0; i < 2; i++) {
        char *path = ib_join(folder, names[i]);
        json_t *root = NULL;
        int rc = IB_OK;
        if (!path) {
            return ib_fail(err, IB_E_MEMORY, "out of memory for opening %s", folder);
        }
        if (ib_is_file(path) && !(rc = ib_json_load(&root, path, IB_JSON_SMALL_BYTES, err))) {
            const json_t *pad = json_object_get(root, "pad_token");
            const char *text = json_string_value(json_is_object(pad) ? json_object_get(pad, "content") : pad);
            int32_t n = text ? number_of(vocab, text) : -1;
            v->pad = n >= 0 ? n : v->pad;
            i = n >= 0 ? 2 : i;
        }
        json_decref(root);
        free(path);
        if (rc) {
            return rc;
        }
    }
    return IB_OK;
}

int ib_vocabulary_load(ib_vocabulary *v, const char *path, ib_error *err) {
    json_t *kept = NULL;
    bool is_dir = ib_is_dir(path), whole;
    const char *base = ib_basename(path);
    char *folder = is_dir ? strdup(path) : base == path ? strdup(".") : strndup(path, (size_t)(base - path));
    char *vocab = folder ? ib_join(folder, "vocab.json") : NULL,
         *merges = folder ? ib_join(folder, "merges.txt") : NULL;
    char *json = folder && is_dir ? ib_join(folder, "tokenizer.json") : strdup(path);
    int rc;
    *v = (ib_vocabulary){0};
    if (!folder || !vocab || !merges || !json) {
        rc = ib_fail(err, IB_E_MEMORY, "out of memory for opening %s", path);
        goto end;
    }
    whole = !is_dir || !ib_is_file(vocab) || !ib_is_file(merges);
    if (is_dir && whole && !ib_is_file(json)) {
        rc = ib_fail(err, IB_E_IO,
                     "%s: holds no tokenizer: looked for vocab.json with merges.txt, and for tokenizer.json",
                     path);
        goto end;
    }
    rc = whole ? load_whole(v, &kept, json, err) : load_two(v, &kept, vocab, merges, err);
    if (!rc) {
        rc = load_padding(v, whole ? json_object_get(json_object_get(kept, "model"), "vocab") : kept, folder,
                          err);
    }
end:
    json_decref(kept);
    free(json);
    free(merges);
    free(vocab);
    free(folder);
    if (rc) {
        ib_vocabulary_free(v);
    }
    return rc;
}

void ib_vocabulary_free(ib_vocabulary *v) {
    ib_free(v->merge);
    *v = (ib_vocabulary){0};
}
