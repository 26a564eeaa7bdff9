#include <stdarg.h>
#include <stdlib.h>
#include <string.h>
#include <sys/ioctl.h>
#include <unistd.h>
#include "base/clock.h"
#include "base/text.h"
#include "cli/private.h"

static const double redraw_seconds = 0.1, line_seconds = 10;

static int terminal_columns(void) {
    struct winsize w;
    return !ioctl(STDERR_FILENO, TIOCGWINSZ, &w) && w.ws_col >= 20 ? w.ws_col : 80;
}

void cli_bar_begin(cli_bar *b) {
    pthread_mutex_init(&b->lock, NULL);
    b->terminal = isatty(STDERR_FILENO);
    b->drawn = b->completed = false;
    b->last = -1;
}

void cli_bar_clear(cli_bar *b) {
    if (b->drawn) {
        fputs("\r\033[K", stderr);
        b->drawn = false;
    }
}

static void draw_line(cli_bar *b, double fraction, const char *text) {
    char bar[25];
    int columns = terminal_columns() - 1, cells = columns >= 72 ? 24 : columns >= 48 ? 12 : 0;
    int full = (int)(fraction * cells + 0.5);
    memset(bar, '#', (size_t)full);
    memset(bar + full, '.', (size_t)(cells - full));
    bar[cells] = 0;
    int room = columns - cells - 9;
    if (cells) {
        fprintf(stderr, "\r\033[K[%s] %3d%%  %.*s", bar, (int)(fraction * 100),
                (int)ib_text_fit(text, (size_t)room), text);
    } else {
        fprintf(stderr, "\r\033[K%3d%%  %.*s", (int)(fraction * 100),
                (int)ib_text_fit(text, (size_t)columns - 6), text);
    }
    fflush(stderr);
    b->drawn = true;
}

void cli_progress(cli *c, double fraction, const char *fmt, ...) {
    char line[512];
    va_list ap;
    if (cli_quiet(c)) {
        return;
    }
    fraction = fraction > 1 ? 1 : fraction > 0 ? fraction : 0;
    va_start(ap, fmt);
    vsnprintf(line, sizeof line, fmt, ap);
    va_end(ap);
    char *shown = ib_text_shown(line, strlen(line));
    const char *text = shown ? shown : fmt;
    cli_bar *b = &c->bar;
    pthread_mutex_lock(&b->lock);
    double now = ib_clock_seconds();
    bool end = fraction >= 1 && !b->completed;
    if (b->last < 0 && !b->terminal && !end) {
        b->last =
            now; /* the first plain line comes after one interval: short jobs print one line, at their end */
    }
    if (end || b->last < 0 || now - b->last >= (b->terminal ? redraw_seconds : line_seconds)) {
        if (b->terminal) {
            draw_line(b, fraction, text);
        } else {
            fprintf(stderr, "%3d%%  %s\n", (int)(fraction * 100), text);
        }
        b->last = now;
        b->completed = fraction >= 1;
    }
    pthread_mutex_unlock(&b->lock);
    free(shown);
}

void cli_progress_end(cli *c) {
    cli_bar *b = &c->bar;
    pthread_mutex_lock(&b->lock);
    if (b->drawn) {
        fputc('\n', stderr);
        b->drawn = false;
    }
    b->completed = false;
    b->last = -1;
    pthread_mutex_unlock(&b->lock);
}
