/* What a stopped clip goes on with: the key of its frames changes with everything that moves the embeddings
 * that lead them. */
#include "render/diffused_text.h"
#include "tests/check.h"

static char *key_of(const ib_diffused_options *o) {
    ib_key k = {0};
    ib_diffused_key(&k, o, 64, 64);
    CHECK(!k.failed && k.text);
    return k.text;
}

static void test_key(void) {
    ib_diffused_options o;
    ib_diffused_defaults(&o);
    char *plain = key_of(&o), *again = key_of(&o);
    CHECK(!strcmp(plain, again));
    free(again);
    for (int i = 0; i < 8; i++) {
        ib_diffused_options other = o;
        ib_search_asked *s = &other.way.search;
        other.way.guide_scale = i == 0 ? 1.5 : 1;
        other.way.trust = i == 1 ? 0.5 : -1;
        s->candidates = i == 2 ? 8 : 0;
        s->beam = i == 3 ? 2 : 0;
        s->condense = i == 4 ? 2 : 0;
        s->seconds = i == 5 ? 1 : 0;
        s->seed = i == 6 ? 2 : 0;
        other.seed = i == 7 ? 2 : 0;
        char *text = key_of(&other);
        printf("%d: %zu bytes\n", i, strlen(text));
        CHECK(strcmp(text, plain) != 0);
        free(text);
    }
    free(plain);
}

static void test_judge_is_an_input(void) {
    ib_diffused_options o;
    size_t n, found = 0;
    ib_diffused_defaults(&o);
    o.way.search.judge = "judge.safetensors";
    const char **list = ib_diffused_inputs(&o, &n);
    CHECK(list != NULL);
    for (size_t i = 0; list && i < n; i++) {
        found += list[i] && !strcmp(list[i], "judge.safetensors");
    }
    CHECK_INT(found, 1);
    free(list);
}

int main(void) {
    RUN(test_key());
    RUN(test_judge_is_an_input());
    return check_report("test_diffused_key");
}
