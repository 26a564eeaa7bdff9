/* Pools whose members train with guides: one pixel model for all, and its file in the folder. */
#include "pool/guide.h"
#include "tests/pools.h"

/* A model that was trained with guides of a pixel model. */
static ib_adapter *make_guided(const char *guide, const ib_strengths *strengths) {
    ib_adapter *plain = make_adapter("walk", 1), *a = NULL;
    ib_adapter_config c = *ib_adapter_config_of(plain);
    ib_error err = {0};
    snprintf(c.guide, sizeof c.guide, "%s", guide);
    c.strengths = *strengths;
    CHECK_OK(ib_adapter_create(&a, &c, 1, &err), &err);
    ib_adapter_free(&plain);
    return a;
}

/* One pixel model for all, and its file in the folder, which is nobody's publication. */
static void test_guide(void) {
    const ib_strengths x = {1, {0.25f}, {{1}, {0.5f}, {0.5f}}}, y = {1, {0.25f}, {{0.5f}, {1}, {0.5f}}},
                       low = {1, {0.25f}, {{0.5f}, {0.5f}, {0.5f}}};
    char *pool = in_dir("guided"), *pixels = in_dir("friday.safetensors"),
         *others = in_dir("monday.safetensors"), *copy = ib_join(pool, IB_POOL_GUIDE),
         *out = in_dir("guided.safetensors");
    char sha[65], id[160], other[160];
    ib_adapter *a = make_adapter("pixels", 1), *b = NULL;
    ib_pool *p = NULL;
    ib_pool_news news;
    ib_survey s;
    ib_error err = {0};
    bool there = true;
    CHECK_OK(ib_mkdirs(pool, &err), &err);
    CHECK_OK(ib_adapter_save(a, pixels, NULL, 0, &err), &err);
    CHECK_OK(ib_adapter_save(a, others, (ib_st_meta[]){{"day", "monday"}}, 1, &err), &err);
    CHECK_OK(ib_sha256_file(pixels, sha, &err), &err);
    snprintf(id, sizeof id, "sha256:%s friday.safetensors", sha);
    CHECK_OK(ib_sha256_file(others, sha, &err), &err);
    snprintf(other, sizeof other, "sha256:%s monday.safetensors", sha);
    ib_adapter_free(&a);

    /* the copy */
    CHECK_OK(ib_pool_guide_check(pool, id, &there, &err), &err);
    CHECK(!there);
    CHECK_OK(ib_pool_guide_share(pool, pixels, &err), &err);
    CHECK_OK(ib_pool_guide_share(pool, pixels, &err), &err);
    CHECK_OK(ib_pool_guide_check(pool, id, &there, &err), &err);
    CHECK(there);
    size_t n, m;
    uint8_t *bytes = slurp(pixels, &n), *got = slurp(copy, &m);
    CHECK(n == m && !memcmp(bytes, got, n));
    free(got);
    CHECK_ERROR(ib_pool_guide_check(pool, other, &there, &err), &err, IB_E_MISMATCH,
                "but the guides are of monday.safetensors");
    CHECK_ERROR(ib_pool_guide_check(pool, "prior:motion:2 prior", &there, &err), &err, IB_E_MISMATCH,
                "of prior (motion:2)");
    CHECK_ERROR(ib_pool_guide_check(pool, "", &there, &err), &err, IB_E_MISMATCH, "of no pixel model");
    CHECK_ERROR(ib_pool_guide_share(pool, others, &err), &err, IB_E_MISMATCH,
                "has another pixel model already");
    got = slurp(copy, &m);
    CHECK(n == m && !memcmp(bytes, got, n));
    free(got);

    /* its members */
    a = make_guided(id, &x);
    publish(pool, "anna", 1, a);
    ib_adapter_free(&a);
    a = make_guided(id, &y);
    publish(pool, "bert", 1, a);
    b = make_guided(other, &x);
    publish(pool, "carl", 1, b);
    ib_adapter_free(&b);
    CHECK_OK(ib_pool_open(&p, pool, "dora", &err), &err);
    CHECK_OK(ib_pool_listen(p, ib_adapter_config_of(a), 32, most, &news, &err), &err);
    CHECK_INT(news.members, 2);
    CHECK_INT(news.remarks, 1);
    CHECK(said(&news, "carl.safetensors: trained with guides of monday.safetensors"));
    CHECK(said(&news, "expected those of friday.safetensors"));
    ib_pool_news_free(&news);
    ib_pool_close(&p);
    ib_adapter_free(&a);
    CHECK_OK(ib_pool_survey(&s, pool, 0, &err), &err);
    CHECK(s.news.members == 2 && s.guide_file && !strcmp(s.guide, id));
    CHECK_OK(ib_pool_survey_save(&s, out, &err), &err);
    ib_pool_survey_free(&s);
    CHECK_OK(ib_adapter_open(&a, out, &err), &err);
    for (int w = 0; a && w < IB_STRENGTHS; w++) {
        CHECK_INT(ib_adapter_strengths(a)->bins, 1);
        CHECK_NEAR(ib_adapter_strengths(a)->value[w][0], low.value[w][0], 0);
    }
    CHECK(a && !strcmp(ib_adapter_config_of(a)->guide, id));
    ib_adapter_free(&a);

    /* cut short, or something of the user's: named, and left alone */
    store(copy, bytes, n / 2);
    CHECK_ERROR(ib_pool_guide_check(pool, id, &there, &err), &err, IB_E_FORMAT, copy);
    CHECK(there);
    CHECK_ERROR(ib_pool_guide_share(pool, pixels, &err), &err, IB_E_FORMAT, copy);
    CHECK_OK(ib_pool_survey(&s, pool, 0, &err), &err);
    CHECK(!s.guide_file && said(&s.news, IB_POOL_GUIDE));
    ib_pool_survey_free(&s);
    got = slurp(copy, &m);
    CHECK_INT(m, n / 2);
    CHECK(!ib_member_name_fits("guide") && ib_member_name_fits("guide2"));
    free(got);
    free(bytes);
    free(pool);
    free(pixels);
    free(others);
    free(copy);
    free(out);
}

int main(void) {
    dir = scratch_begin("pool-guide");
    RUN(test_guide());
    scratch_end(dir);
    return check_report("test_pool_guide");
}
