#include "video_io/stream.h"

#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>
#include <libavutil/error.h>
#include <libavutil/mem.h>

bool ib_is_stream(const char *path) {
    struct stat st;
    return !stat(path, &st) && !S_ISREG(st.st_mode) && !S_ISDIR(st.st_mode);
}

/* A pipe that nobody has opened for writing yet has neither something to read nor an end. */
static int read_some(void *user, uint8_t *buffer, int bytes) {
    enum { WAIT_MS = 100 };
    ib_stream *s = user;
    for (;;) {
        struct pollfd p = {.fd = s->fd, .events = POLLIN};
        if (s->stopped(s->user)) {
            return AVERROR_EXIT;
        }
        int ready = poll(&p, 1, WAIT_MS);
        if (ready < 0 && errno != EINTR) {
            return AVERROR(errno);
        }
        if (ready <= 0) {
            continue;
        }
        ssize_t n = read(s->fd, buffer, (size_t)bytes);
        if (n < 0 && (errno == EINTR || errno == EAGAIN)) {
            continue;
        }
        return n < 0 ? AVERROR(errno) : n ? (int)n : AVERROR_EOF;
    }
}

int ib_stream_open(ib_stream *s, const char *path, bool (*stopped)(void *user), void *user, ib_error *err) {
    enum { BUFFER_BYTES = 1 << 15 };
    *s = (ib_stream){.fd = open(path, O_RDONLY | O_NONBLOCK | O_CLOEXEC), .stopped = stopped, .user = user};
    if (s->fd < 0) {
        return ib_fail(err, IB_E_IO, "%s: cannot be opened: %s", path, strerror(errno));
    }
    uint8_t *buffer = av_malloc(BUFFER_BYTES);
    if (buffer && !(s->pb = avio_alloc_context(buffer, BUFFER_BYTES, 0, s, read_some, NULL, NULL))) {
        av_freep(&buffer);
    }
    if (!buffer) {
        ib_stream_close(s);
        return ib_fail(err, IB_E_MEMORY, "%s: out of memory", path);
    }
    return 0;
}

void ib_stream_close(ib_stream *s) {
    if (!s->stopped) {
        return;
    }
    if (s->pb) {
        av_freep(&s->pb->buffer);
    }
    avio_context_free(&s->pb);
    if (s->fd >= 0) {
        close(s->fd);
    }
    *s = (ib_stream){0};
}
