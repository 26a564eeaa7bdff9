#include "eval/program.h"

#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <pthread.h>
#include <signal.h>
#include <spawn.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

#include "base/clock.h"
#include "base/memory.h"

extern char **environ;

enum {
    LOOK_MS = 100,   /* between two looks at the stop flag */
    KIND_MS = 2000,  /* to end after its input ended, or after SIGTERM */
    HEAD_BYTES = 256 /* of a question's line, without the places */
};

struct ib_program {
    char *name;
    pid_t pid; /* also of its group; 0: reaped */
    int status;
    int in, out; /* of the program, our ends; -1: closed */
    double patience_seconds;
    const atomic_int *stop;
    pthread_mutex_t one; /* at a time */
    ib_error failure;
    char *question; /* what is being sent */
    size_t question_room;
};

/* ---- starting ---- */

/* Both ends close at exec and are none of the standard files, whatever the caller has closed. */
static int make_pipe(int end[2]) {
    int p[2];
    end[0] = end[1] = -1;
    if (pipe(p)) {
        return -1;
    }
    for (int i = 0; i < 2; i++) {
        end[i] = fcntl(p[i], F_DUPFD_CLOEXEC, 3);
        close(p[i]);
    }
    return end[0] < 0 || end[1] < 0 ? -1 : 0;
}

static void close_end(int *fd) {
    if (*fd >= 0) {
        close(*fd);
    }
    *fd = -1;
}

/* With the signals as a fresh program has them, in a group of its own. */
static int spawn(pid_t *pid, const char *command, int in, int out) {
    posix_spawn_file_actions_t files;
    posix_spawnattr_t how;
    sigset_t none, usual;
    char *const argv[] = {"sh", "-c", (char *)command, NULL};
    sigemptyset(&none);
    sigemptyset(&usual);
    sigaddset(&usual, SIGPIPE);
    int rc = posix_spawn_file_actions_init(&files);
    if (rc) {
        return rc;
    }
    rc = posix_spawnattr_init(&how);
    if (!rc) {
        posix_spawnattr_setpgroup(&how, 0);
        posix_spawnattr_setsigmask(&how, &none);
        posix_spawnattr_setsigdefault(&how, &usual);
        posix_spawnattr_setflags(&how,
                                 POSIX_SPAWN_SETPGROUP | POSIX_SPAWN_SETSIGMASK | POSIX_SPAWN_SETSIGDEF);
        rc = posix_spawn_file_actions_adddup2(&files, in, STDIN_FILENO);
        rc = rc ? rc : posix_spawn_file_actions_adddup2(&files, out, STDOUT_FILENO);
        rc = rc ? rc : posix_spawn(pid, "/bin/sh", &files, &how, argv, environ);
        posix_spawnattr_destroy(&how);
    }
    posix_spawn_file_actions_destroy(&files);
    return rc;
}

int ib_program_open(ib_program **out, const char *name, const char *command, double patience_seconds,
                    const atomic_int *stop, ib_error *err) {
    int to[2] = {-1, -1}, from[2] = {-1, -1};
    ib_program *p = calloc(1, sizeof *p);
    char *own = strdup(name);
    *out = NULL;
    if (!p || !own) {
        free(p);
        free(own);
        return ib_fail(err, IB_E_MEMORY, "out of memory for the program %s", name);
    }
    *p = (ib_program){.name = own, .in = -1, .out = -1, .patience_seconds = patience_seconds, .stop = stop};
    pthread_mutex_init(&p->one, NULL);
    int why = make_pipe(to) || make_pipe(from) ? errno : spawn(&p->pid, command, to[0], from[1]);
    p->in = to[1];
    p->out = from[0];
    close_end(&to[0]);
    close_end(&from[1]);
    if (!why && (fcntl(p->in, F_SETFL, O_NONBLOCK) || fcntl(p->out, F_SETFL, O_NONBLOCK))) {
        why = errno;
    }
    if (why) {
        ib_fail(err, IB_E_IO, "%s: cannot be started: %s", name, strerror(why));
        ib_program_close(&p);
        return IB_E_IO;
    }
    *out = p;
    return IB_OK;
}

/* ---- ending ---- */

/* Waits for it to end, for so long. True: it is gone, and with it whatever it left in its group. */
static bool reap(ib_program *p, int ms) {
    for (int waited = 0; p->pid > 0; waited += 10) {
        siginfo_t ended = {0};
        int rc = waitid(P_PID, (id_t)p->pid, &ended, WEXITED | WNOHANG | WNOWAIT);
        if (!rc && ended.si_pid == p->pid) {
            kill(-p->pid, SIGKILL); /* before its number is free for others */
            waitpid(p->pid, &p->status, 0);
            p->pid = 0;
        } else if (rc && errno != EINTR) {
            p->pid = 0; /* the caller's SIGCHLD is ignored, or took it */
        } else if (waited >= ms) {
            return false;
        } else {
            nanosleep(&(struct timespec){.tv_nsec = 10000000}, NULL);
        }
    }
    return true;
}

bool ib_program_failed(ib_program *p) {
    pthread_mutex_lock(&p->one);
    bool failed = p->failure.code != IB_OK;
    pthread_mutex_unlock(&p->one);
    return failed;
}

void ib_program_close(ib_program **program) {
    ib_program *p = *program;
    if (!p) {
        return;
    }
    close_end(&p->in);
    close_end(&p->out);
    if (p->pid > 0 && (p->failure.code || !reap(p, KIND_MS))) {
        kill(-p->pid, SIGTERM);
        if (!reap(p, KIND_MS)) {
            kill(-p->pid, SIGKILL);
            reap(p, KIND_MS);
        }
    }
    pthread_mutex_destroy(&p->one);
    free(p->question);
    free(p->name);
    free(p);
    *program = NULL;
}

/* ---- asking ---- */

static int fail(ib_program *p, int code, const char *fmt, ...) {
    char text[512];
    va_list v;
    va_start(v, fmt);
    vsnprintf(text, sizeof text, fmt, v);
    va_end(v);
    return ib_fail(&p->failure, code, "%s: %s", p->name, text);
}

/* It hung up: how did it end? got: bytes of `all` that it answered. */
static int fail_ended(ib_program *p, size_t got, size_t all) {
    char how[128];
    close_end(&p->in);
    if (!reap(p, KIND_MS)) {
        snprintf(how, sizeof how, "closed its output");
    } else if (WIFSIGNALED(p->status)) {
        snprintf(how, sizeof how, "was killed by signal %d", WTERMSIG(p->status));
    } else if (WEXITSTATUS(p->status) == 127) {
        snprintf(how, sizeof how, "was not found by the shell, or ended with status 127");
    } else {
        snprintf(how, sizeof how, "ended with status %d", WEXITSTATUS(p->status));
    }
    return fail(p, IB_E_IO, "the program %s after %zu of the %zu bytes of an answer", how, got, all);
}

/* Writing to a program that hung up is an error, not a signal that ends the caller. */
static ssize_t write_quietly(int fd, const char *b, size_t n) {
    sigset_t broken, before, pending;
    sigemptyset(&broken);
    sigaddset(&broken, SIGPIPE);
    sigpending(&pending);
    bool theirs = sigismember(&pending, SIGPIPE);
    pthread_sigmask(SIG_BLOCK, &broken, &before);
    ssize_t done = write(fd, b, n);
    int why = errno;
    if (done < 0 && why == EPIPE && !theirs) {
        while (sigtimedwait(&broken, NULL, &(struct timespec){0}) < 0 && errno == EINTR) {
        }
    }
    pthread_sigmask(SIG_SETMASK, &before, NULL);
    errno = why;
    return done;
}

static int fail_waiting(ib_program *p) {
    return fail(p, IB_E_IO, "the program is stuck: it has taken and given nothing for %.0f seconds",
                p->patience_seconds);
}

static bool is_passing(int why) {
    return why == EAGAIN || why == EWOULDBLOCK || why == EINTR;
}

/* Sends the n bytes of the question and takes the answer, at the same time, as the program may begin to
 * answer before it has read everything. */
static int exchange(ib_program *p, size_t n, char *answer, size_t all) {
    size_t sent = 0, got = 0;
    double last = ib_clock_seconds();
    while (sent < n || got < all) {
        struct pollfd f[2] = {{.fd = sent < n ? p->in : -1, .events = POLLOUT},
                              {.fd = p->out, .events = POLLIN}};
        int rc = poll(f, 2, LOOK_MS);
        if (p->stop && atomic_load(p->stop)) {
            return fail(p, IB_E_INTERRUPTED, "interrupted");
        }
        if (rc < 0 && errno != EINTR) {
            return fail(p, IB_E_IO, "waiting for the program failed: %s", strerror(errno));
        }
        if (rc <= 0) {
            if (ib_clock_seconds() - last > p->patience_seconds) {
                return fail_waiting(p);
            }
            continue;
        }
        last = ib_clock_seconds();
        if (f[0].revents) {
            ssize_t done = write_quietly(p->in, p->question + sent, n - sent);
            if (done < 0 && !is_passing(errno)) {
                if (errno != EPIPE) {
                    return fail(p, IB_E_IO, "cannot be written to: %s", strerror(errno));
                }
                while (got < all && (done = read(p->out, answer + got, all - got)) > 0) {
                    got += (size_t)done; /* it may have answered before */
                }
                return fail_ended(p, got, all);
            }
            sent += done > 0 ? (size_t)done : 0;
        }
        if (f[1].revents) {
            char more;
            ssize_t done = read(p->out, got < all ? answer + got : &more, got < all ? all - got : 1);
            if (done == 0) {
                return fail_ended(p, got, all);
            }
            if (done < 0 && !is_passing(errno)) {
                return fail(p, IB_E_IO, "cannot be read from: %s", strerror(errno));
            }
            if (done > 0 && got == all) {
                return fail(p, IB_E_FORMAT, "the program wrote more than the %zu bytes of its answer", all);
            }
            got += done > 0 ? (size_t)done : 0;
        }
    }
    return IB_OK;
}

/* Something that nobody asked for. */
static int check_silence(ib_program *p) {
    char more;
    ssize_t got = read(p->out, &more, 1);
    return got > 0 ? fail(p, IB_E_FORMAT, "the program wrote something that is no part of an answer") : IB_OK;
}

static size_t bytes_of(const ib_frame *f) {
    size_t half_w = (size_t)(f->width + 1) / 2, half_h = (size_t)(f->height + 1) / 2;
    return (size_t)f->width * (size_t)f->height + 2 * half_w * half_h;
}

/* Rows of a frame's planes to and from bytes without gaps. */
static char *pack(const ib_frame *f, char *b) {
    for (int i = 0; i < 3; i++) {
        size_t w = (size_t)(i ? (f->width + 1) / 2 : f->width);
        for (int y = 0, h = i ? (f->height + 1) / 2 : f->height; y < h; y++, b += w) {
            memcpy(b, f->plane[i] + (size_t)y * f->stride[i], w);
        }
    }
    return b;
}

static const char *unpack(ib_frame *f, const char *b) {
    for (int i = 0; i < 3; i++) {
        size_t w = (size_t)(i ? (f->width + 1) / 2 : f->width);
        for (int y = 0, h = i ? (f->height + 1) / 2 : f->height; y < h; y++, b += w) {
            memcpy(f->plane[i] + (size_t)y * f->stride[i], b, w);
        }
    }
    return b;
}

static const char *matrix_word(ib_matrix m) {
    return m == IB_MATRIX_BT709 ? "bt709" : m == IB_MATRIX_BT2020 ? "bt2020" : "bt601";
}

/* The bytes of the question, or 0 if memory is out. */
static size_t write_question(ib_program *p, const ib_frame *key0, const ib_frame *key1, const float *at,
                             size_t n, float seconds) {
    size_t room = HEAD_BYTES + 24 * n + 2 * bytes_of(key0);
    if (room > p->question_room) {
        char *more = realloc(p->question, room);
        if (!more) {
            return 0;
        }
        p->question = more;
        p->question_room = room;
    }
    char *b = p->question;
    b += sprintf(b, "inbetween 1 %d %d %zu", key0->width, key0->height, n);
    for (size_t i = 0; i < n; i++) {
        b += sprintf(b, " %.9g", (double)at[i]);
    }
    b += sprintf(b, " matrix=%s range=limited seconds=%.9g\n", matrix_word(key0->matrix), (double)seconds);
    b = pack(key0, b);
    return (size_t)(pack(key1, b) - p->question);
}

static int take_answer(const char *answer, const ib_frame *like, size_t n, ib_frame *out, ib_error *err) {
    int rc = IB_OK;
    for (size_t i = 0; i < n && !rc; i++) {
        rc = ib_frame_alloc(&out[i], like->width, like->height, err);
        if (!rc) {
            out[i].matrix = like->matrix;
            answer = unpack(&out[i], answer);
        }
    }
    for (size_t i = 0; i < n && rc; i++) {
        ib_frame_free(&out[i]);
    }
    return rc;
}

int ib_program_ask(ib_program *p, const ib_frame *key0, const ib_frame *key1, const float *at, size_t n,
                   float seconds, ib_frame *out, ib_error *err) {
    size_t all;
    for (size_t i = 0; i < n; i++) {
        out[i] = (ib_frame){0};
    }
    char *answer = ib_size_mul(n, bytes_of(key0), &all) ? NULL : malloc(all + 1);
    if (!answer) {
        return ib_fail(err, IB_E_MEMORY, "out of memory for %zu frames of %s", n, p->name);
    }
    pthread_mutex_lock(&p->one);
    if (!p->failure.code) {
        size_t question = write_question(p, key0, key1, at, n, seconds);
        if (!question) {
            fail(p, IB_E_MEMORY, "out of memory for a question of %zu frames", n);
        } else if (!check_silence(p)) {
            exchange(p, question, answer, all);
        }
    }
    ib_error failure = p->failure;
    pthread_mutex_unlock(&p->one);
    int rc = failure.code ? ib_fail(err, failure.code, "%s", failure.text)
                          : take_answer(answer, key0, n, out, err);
    free(answer);
    return rc;
}

int ib_program_finish(ib_program *p, ib_error *err) {
    pthread_mutex_lock(&p->one);
    close_end(&p->in);
    for (int waited = 0; !p->failure.code && waited < KIND_MS; waited += LOOK_MS) {
        struct pollfd f = {.fd = p->out, .events = POLLIN};
        if (poll(&f, 1, LOOK_MS) > 0) {
            check_silence(p);
            break; /* it said something or hung up */
        }
    }
    ib_error failure = p->failure;
    pthread_mutex_unlock(&p->one);
    return failure.code ? ib_fail(err, failure.code, "%s", failure.text) : IB_OK;
}
