/* Outputs that take nothing from the user (base/output.h), and unfinished work that is gone on with
 * (base/resume.h). */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>
#include "base/file.h"
#include "base/output.h"
#include "base/resume.h"
#include "tests/check.h"

static char folder[] = "/tmp/inbetween-output-XXXXXX";

/* One of a few names in the scratch folder. */
static const char *in_scratch(const char *name) {
    static char path[64][256];
    static int next;
    char *p = path[next++ % 64];
    snprintf(p, sizeof path[0], "%s/%s", folder, name);
    return p;
}

static void put(const char *path, const char *text) {
    FILE *f = fopen(path, "w");
    if (f) {
        fputs(text, f);
        fclose(f);
    }
}

static bool holds(const char *path, const char *text) {
    char got[64] = "";
    FILE *f = fopen(path, "r");
    size_t n = f ? fread(got, 1, sizeof got - 1, f) : 0;
    if (f) {
        fclose(f);
    }
    got[n] = 0;
    bool same = f && !strcmp(got, text);
    if (!same) {
        printf("    %s holds '%s', not '%s'\n", path, f ? got : "(no file)", text);
    }
    return same;
}

static bool accept_png(const char *name) {
    return strstr(name, ".png") != NULL;
}

static int check_one(const char *output, const char *input, ib_error *err) {
    return ib_output_check(output, &input, 1, accept_png, err);
}

static void test_check(void) {
    ib_error err = {0};
    const char *a = in_scratch("a.png"), *hard = in_scratch("hard"), *soft = in_scratch("soft"),
               *b = in_scratch("b.png");
    put(a, "a");
    put(b, "b");
    CHECK_INT(link(a, hard), 0);
    CHECK_INT(symlink("a.png", soft), 0);
    const char *const same[] = {a, hard, soft, in_scratch("../"), in_scratch("a.png@1.5s"), folder};
    char clip[300], prompt[300];
    for (size_t i = 0; i < 6; i++) {
        if (i != 3) {
            CHECK_ERROR(check_one(a, same[i], &err), &err, IB_E_ARGUMENT, "would be lost");
            CHECK_ERROR(check_one(soft, same[i], &err), &err, IB_E_ARGUMENT, "would be lost");
        }
        CHECK_OK(check_one(in_scratch("new.png"), same[i], &err), &err);
        CHECK_OK(check_one(folder, same[i], &err), &err); /* a folder is not replaced */
    }
    snprintf(clip, sizeof clip, "clip:%s", folder);
    snprintf(prompt, sizeof prompt, "text:%s", a);
    CHECK_ERROR(check_one(a, clip, &err), &err, IB_E_ARGUMENT, "a.png: is the input");
    CHECK_OK(check_one(a, prompt, &err), &err);
    CHECK_OK(check_one(a, b, &err), &err);
    CHECK_OK(check_one(hard, in_scratch("missing"), &err), &err);
    CHECK_ERROR(check_one(hard, folder, &err), &err, IB_E_ARGUMENT,
                "would be lost"); /* as a.png it is read */
    put(in_scratch("report.html"), "r");
    CHECK_OK(check_one(in_scratch("report.html"), folder, &err), &err); /* beside what is read */
    const char *const none[] = {NULL, NULL};
    CHECK_OK(ib_output_check(a, none, 2, NULL, &err), &err);
    unlink(hard);
    unlink(soft);
}

static void test_move(void) {
    ib_error err = {0};
    const char *from = in_scratch("from"), *to = in_scratch("to");
    put(from, "new");
    put(to, "old");
    CHECK_ERROR(ib_move(from, to, false, &err), &err, IB_E_IO, "there is a file of that name");
    CHECK(holds(from, "new") && holds(to, "old"));
    CHECK_OK(ib_move(from, to, true, &err), &err);
    CHECK(!ib_is_file(from) && holds(to, "new"));
    CHECK_OK(ib_move(to, from, false, &err), &err);
    CHECK(!ib_is_file(to) && holds(from, "new"));
    CHECK_ERROR(ib_move(in_scratch("missing"), to, true, &err), &err, IB_E_IO, "to");
    CHECK_ERROR(ib_move(in_scratch("missing"), to, false, &err), &err, IB_E_IO, "to");
}

/* A run that makes `parts` parts more and leaves. */
static void work(const char *key, int64_t there, int parts) {
    ib_error err = {0};
    ib_resume r;
    CHECK_OK(ib_resume_begin(&r, in_scratch("out"), key, ".txt", &err), &err);
    CHECK_INT(r.done, there);
    for (int i = 1; i <= parts; i++) {
        char *part = ib_resume_part(&r, r.done + i, ".txt");
        put(part, "x");
        free(part);
    }
    ib_resume_leave(&r);
}

static void test_resume(void) {
    ib_error err = {0};
    ib_resume r, other;
    const char *dir = in_scratch(".out.resume");
    char *part;
    work("one", 0, 3);
    work("one", 3, 2);
    work("one", 5, 0);
    CHECK(ib_is_dir(dir) && !ib_is_file(in_scratch("out")));
    work("two", 0, 1); /* another key begins anew */
    work("one", 0, 2);
    work(NULL, 0, 2); /* not to be gone on with */
    work(NULL, 0, 1);
    work("one", 0, 3);
    /* a gap ends what is whole; half-written parts do not count */
    CHECK_OK(ib_resume_begin(&r, in_scratch("out"), "one", ".txt", &err), &err);
    CHECK_ERROR(ib_resume_begin(&other, in_scratch("out"), "one", ".txt", &err), &err, IB_E_IO,
                "another process is writing it");
    CHECK(!other.folder);
    part = ib_resume_part(&r, 2, ".txt");
    unlink(part);
    free(part);
    ib_resume_leave(&r);
    work("one", 1, 0);
    /* publishing is remembered */
    CHECK_OK(ib_resume_begin(&r, in_scratch("out"), "one", ".txt", &err), &err);
    CHECK_OK(ib_resume_publish(&r, 9, &err), &err);
    ib_resume_leave(&r);
    CHECK_OK(ib_resume_begin(&r, in_scratch("out"), "one", ".txt", &err), &err);
    CHECK(r.publishing);
    CHECK_INT(r.done, 9);
    ib_resume_remove(&r);
    ib_resume_remove(&r);
    CHECK(!ib_is_dir(dir));
    /* what is not ours stays, and is in the way */
    CHECK_INT(mkdir(dir, 0777), 0);
    put(in_scratch(".out.resume/notes"), "mine");
    CHECK_ERROR(ib_resume_begin(&r, in_scratch("out"), "one", ".txt", &err), &err, IB_E_IO, "in the way");
    CHECK(holds(in_scratch(".out.resume/notes"), "mine"));
    unlink(in_scratch(".out.resume/notes"));
    rmdir(dir);
    put(dir, "mine");
    CHECK_ERROR(ib_resume_begin(&r, in_scratch("out"), "one", ".txt", &err), &err, IB_E_IO, "in the way");
    CHECK(holds(dir, "mine"));
    unlink(dir);
    /* a link to a folder of the user's is no folder of ours */
    CHECK_INT(mkdir(in_scratch("user"), 0777), 0);
    CHECK_INT(symlink("user", dir), 0);
    CHECK_ERROR(ib_resume_begin(&r, in_scratch("out"), "one", ".txt", &err), &err, IB_E_IO, "in the way");
    CHECK(!ib_is_file(in_scratch("user/key")) && !ib_is_file(in_scratch("user/lock")));
    unlink(dir);
    rmdir(in_scratch("user"));
    /* a damaged key is another key */
    work("one", 0, 2);
    put(in_scratch(".out.resume/key"), "inbetween resume 1\nabc");
    work("one", 0, 0);
    CHECK_ERROR(ib_resume_begin(&r, in_scratch("no/out"), "one", ".txt", &err), &err, IB_E_IO, "no/out");
    CHECK_OK(ib_resume_begin(&r, in_scratch("out"), NULL, ".txt", &err), &err);
    ib_resume_remove(&r);
}

/* The key's text follows options and inputs. */
static char *key_of(const char *input, int option) {
    ib_key k = {0};
    ib_key_add(&k, "option %d\n", option);
    ib_key_add_input(&k, input);
    ib_key_add_input(&k, NULL);
    CHECK(!k.failed && k.text && strlen(k.text) == k.bytes);
    char *text = strdup(k.text);
    ib_key_free(&k);
    return text;
}

static void expect_key(const char *input, int option, const char *with, int with_option, bool same) {
    char *a = key_of(input, option), *b = key_of(with, with_option);
    CHECK_INT(!strcmp(a, b), same);
    free(a);
    free(b);
}

static void test_key(void) {
    const char *a = in_scratch("a.png");
    char *before = key_of(in_scratch("a.png@1s"), 1);
    expect_key(a, 1, a, 1, true);
    expect_key(a, 1, a, 2, false);
    expect_key(a, 1, in_scratch("b.png"), 1, false);
    expect_key("text:a ball", 1, "text:a ball", 1, true);
    put(a, "changed");
    char *after = key_of(in_scratch("a.png@1s"), 1);
    CHECK(strcmp(before, after) != 0); /* another size */
    free(before);
    free(after);
}

int main(void) {
    if (!mkdtemp(folder)) {
        return 1;
    }
    RUN(test_check());
    RUN(test_move());
    RUN(test_resume());
    RUN(test_key());
    unlink(in_scratch("a.png"));
    unlink(in_scratch("b.png"));
    unlink(in_scratch("from"));
    unlink(in_scratch("report.html"));
    CHECK_INT(rmdir(folder), 0); /* nothing was left in it */
    return check_report("test_output");
}
