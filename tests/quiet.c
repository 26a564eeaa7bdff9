/* Linked into every test, benchmark and fuzzer: what FFmpeg has to say of damaged files is not worth reading
 * there. */
#include "video_io/reader.h"

__attribute__((constructor)) static void quiet(void) {
    ib_ffmpeg_quiet();
}
