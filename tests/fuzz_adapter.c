/* libFuzzer target: the metadata of adapters and of pool members, the latter under a valid seal. An input is
 * lines: a letter that names one of the good file's pairs, and what takes its value's place; an empty line
 * removes the first pair left. */
#include "base/json.h"
#include "base/seal.h"
#include "fuzz_edits.h"
#include "pool/member.h"

enum { ROOM = 1 << 20 };

static json_t *header;
static uint8_t tensors[ROOM];
static size_t tensor_bytes;

static void good_file(void) {
    static uint8_t bytes[ROOM];
    char folder[] = "/tmp/ib_fuzz_XXXXXX", path[64];
    ib_adapter *a = NULL;
    ib_adapter_config config = {
        .space_id = "clip:tiny:image", .layout = IB_LAYOUT_SINGLE, .width = 4, .fine = 16, .fine_blocks = 1};
    ib_member m = {.name = "anna", .token = "0123456789abcdef0123456789abcdef", .serial = 2, .round = 1};
    ib_error err = {0};
    if (!mkdtemp(folder) || ib_adapter_create(&a, &config, 1, &err) ||
        ib_member_write(&m, a, true, folder, NULL, &err)) {
        printf("%s\n", err.text);
        abort();
    }
    ib_adapter_free(&a);
    snprintf(path, sizeof path, "%s/anna.safetensors", folder);
    size_t n = fuzz_take(path, bytes, ROOM), length = 0;
    rmdir(folder);
    for (int i = 7; i >= 0; i--) {
        length = length << 8 | bytes[i];
    }
    header = json_loadb((const char *)bytes + 8, length, 0, NULL);
    if (!header || !json_object_get(header, "__metadata__")) {
        abort();
    }
    tensor_bytes = n - 8 - length;
    memcpy(tensors, bytes + 8 + length, tensor_bytes);
}

static void change(json_t *metadata, const char *line, size_t n) {
    size_t which = n ? (uint8_t)line[0] % json_object_size(metadata) : 0;
    void *at = json_object_iter(metadata);
    while (at && which--) {
        at = json_object_iter_next(metadata, at);
    }
    if (!at) {
        return;
    }
    if (n) {
        json_t *value = json_stringn(line + 1, n - 1);
        json_object_iter_set_new(metadata, at, value ? value : json_integer(7));
    } else {
        json_object_del(metadata, json_object_iter_key(at));
    }
}

static size_t put_file(json_t *changed, uint8_t *bytes) {
    size_t n = json_dumpb(changed, (char *)bytes + 8, ROOM - 8, JSON_COMPACT);
    if (n > ROOM - 8 - tensor_bytes) {
        return 0;
    }
    for (int i = 0; i < 8; i++) {
        bytes[i] = (uint8_t)((uint64_t)n >> 8 * i);
    }
    memcpy(bytes + 8 + n, tensors, tensor_bytes);
    return 8 + n + tensor_bytes;
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size) {
    static uint8_t bytes[ROOM];
    char path[64];
    ib_adapter *a;
    ib_member m;
    ib_error err = {0};
    if (!header) {
        good_file();
    }
    json_t *changed = json_deep_copy(header);
    json_t *metadata = json_object_get(changed, "__metadata__");
    const char *line = (const char *)data, *end = line + size;
    while (line < end && json_object_size(metadata)) {
        const char *stop = memchr(line, '\n', (size_t)(end - line));
        stop = stop ? stop : end;
        change(metadata, line, (size_t)(stop - line));
        line = stop + 1;
    }
    size_t n = put_file(changed, bytes);
    json_decref(changed);
    if (!n) {
        return 0;
    }
    int fd = fuzz_file(bytes, n, path);
    if (ib_adapter_open(&a, path, &err) ? a || err.code >= 0 || !err.text[0] : !a) {
        abort();
    }
    ib_adapter_free(&a);
    err = (ib_error){0};
    ib_seal_write(path, NULL);
    if (ib_member_read(&m, path, ROOM, &err)) {
        if (m.weights || err.code >= 0 || !err.text[0]) {
            abort();
        }
    } else {
        if (!ib_member_name_fits(m.name) || m.bytes > n) {
            abort();
        }
        ib_member_free(&m);
    }
    close(fd);
    return 0;
}
