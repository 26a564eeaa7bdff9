/* Damaged pictures and videos of the kinds that are put right in reading (orientation, shape, HDR, fields):
 * frames, or a sentence that names the file; no crash, no hang. Files are made by ffmpeg and
 * tests/oriented.py. */
#include "tests/corrupt.h"
#include "tests/clips.h"
#include "video_io/orientation.h"
#include "video_io/reader.h"

enum { CASES = 240, PARSER_CASES = 20000 };

static const struct {
    const char *name, *make; /* a shell command that writes $F */
} kinds[] = {
    {"exif.png", "python3 tests/oriented.py $F png-late 6"},
    {"exif.webp", "python3 tests/oriented.py $F webp-prefix 5"},
    {"animated.webp", "python3 tests/oriented.py $F animated-webp"},
    {"exif.tif", "python3 tests/oriented.py $F tiff-be 8"},
    {"density.jpg", "python3 tests/oriented.py $F jpeg-density 300 150"},
    {"fields.mpg",
     "ffmpeg -y -v error -f lavfi -i testsrc2=s=64x48:r=50:d=0.4 -vf tinterlace=interleave_top,setfield=tff "
     "-c:v mpeg2video -q:v 8 -g 4 -flags +ilme+ildct $F"},
    {"hdr.mp4",
     "ffmpeg -y -v error -f lavfi -i testsrc2=s=64x48:r=25:d=0.2 -pix_fmt yuv420p10le -c:v libx264 -qp 30 "
     "-color_primaries bt2020 -color_trc smpte2084 -colorspace bt2020nc $F"},
    {"shape.mp4",
     "ffmpeg -y -v error -f lavfi -i testsrc2=s=72x48:r=25:d=0.2 -vf setsar=32/27 -c:v libx264 -qp 30 $F"},
};

static void read_all(const char *path, int *frames, int *refused) {
    ib_error err = {0};
    ib_reader *r = NULL;
    const ib_frame *f;
    ib_frame still = {0};
    int rc = ib_reader_open(&r, path,
                            &(ib_reader_options){.width = 48, .height = 48, .rgb = true, .threads = 1}, &err),
        n = 0;
    while (!rc && n < 500 && (rc = ib_reader_next(r, &f, &err)) > 0) {
        CHECK(f->width == 48 && f->height == 48 && f->rgb);
        n++;
        rc = 0;
    }
    CHECK(rc <= 0 && (!rc || strstr(err.text, path)));
    *frames += n;
    *refused += rc < 0;
    ib_reader_close(&r);
    err = (ib_error){0};
    rc = ib_read_still(&still, path, &(ib_reader_options){.rgb = true, .threads = 1}, &err);
    CHECK(rc ? !still.plane[0] && strstr(err.text, path) : still.width >= 1 && still.height >= 1);
    ib_frame_free(&still);
}

/* The parser of tags by itself, on memory that ends where the file ends. */
static void damage_tags(const uint8_t *good, size_t size, ib_rng *rng) {
    uint8_t *b = malloc(size + 64);
    for (int i = 0; i < PARSER_CASES; i++) {
        size_t n = size;
        memcpy(b, good, size);
        corrupt_damage(b, &n, i, rng);
        uint8_t *exact = malloc(n ? n : 1);
        memcpy(exact, b, n);
        ib_picture_tags t = ib_picture_tags_of(exact, n);
        if (t.orientation < 0 || t.orientation > 8) {
            CHECK_INT(t.orientation, 0);
        }
        free(exact);
    }
    free(b);
}

int main(void) {
    ib_rng rng;
    ib_rng_seed(&rng, 7);
    if (!make_scratch("corrupt_pictures")) {
        return check_skip("test_corrupt_pictures", "no scratch directory");
    }
    for (size_t k = 0; k < sizeof kinds / sizeof *kinds; k++) {
        char command[1000];
        const char *path = in_scratch(kinds[k].name), *damaged = in_scratch("damaged");
        int frames = 0, refused = 0;
        size_t size = 0;
        snprintf(command, sizeof command, "F='%s'; { %s ; } >/dev/null 2>&1 </dev/null", path, kinds[k].make);
        uint8_t *good = system(command) ? NULL : corrupt_load(path, &size);
        if (!good) {
            printf("SKIPPED %s: it cannot be made here\n", kinds[k].name);
            continue;
        }
        uint8_t *b = malloc(size + 64);
        for (int i = 0; i < CASES; i++) {
            size_t n = size;
            memcpy(b, good, size);
            if (i) {
                corrupt_damage(b, &n, i, &rng);
            }
            corrupt_store(damaged, b, n);
            corrupt_begin((int)k * 1000 + i + 1);
            read_all(damaged, &frames, &refused);
            corrupt_end();
        }
        corrupt_begin((int)k * 1000 + 999);
        if (strstr(kinds[k].make, "oriented")) {
            damage_tags(good, size, &rng);
        }
        corrupt_end();
        printf("%s: %d damaged, %d frames, %d refused\n", kinds[k].name, CASES - 1, frames, refused);
        CHECK(refused < CASES || strstr(kinds[k].name, "animated")); /* which FFmpeg 5.1 cannot read */
        free(b);
        free(good);
    }
    remove_scratch();
    return check_report("test_corrupt_pictures");
}
